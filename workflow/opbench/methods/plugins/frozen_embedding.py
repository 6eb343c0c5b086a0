"""The frozen model's own cell embedding (Cui et al. 2024, Nat Methods 21:1470), read by the same linear probes."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant

POOLS = ("cls", "mean")


class FrozenEmbedding(Method):
    """What the model itself says of a cell, before anything is extracted from it."""

    label = "frozen embedding"
    citation = "doi:10.1038/s41592-024-02201-0"
    protocol = "zero-shot"
    operator_kinds = ("embedding",)
    memory_mb = 2000

    def variants(self, plan: Plan) -> list[Variant]:
        """The `<cls>` token and the average over gene tokens."""
        return [Variant(operator=f"embedding-{pool}", arm=pool) for pool in POOLS]

    def run(self, task: Task, variant: Variant) -> Output:
        """Return the embedding of both sides, (n, d)."""
        train, test = (cells.features(variant.operator) for cells in (task.train, task.test))
        return Output(representation=(train, test), fits=0)

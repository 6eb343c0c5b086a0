"""The frozen model's cell embedding (Cui et al. 2024, Nat Methods 21:1470) under the paper's three-layer MLP."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.mlp import mlp_output

POOLS = ("cls", "mean")
#: Hidden widths as shares of the embedding's: 512 gives 512-256-128-64-C, and so the paper's 172,610 trained
#: parameters for two classes and 174,690 for 34 (spec D).
SHARES = (2, 4, 8)


class FrozenEmbeddingMlp(Method):
    """The comparator of arXiv:2603.10261: everything learnt is in the MLP."""

    label = "frozen embedding + MLP"
    citation = "baseline of arXiv:2603.10261"
    protocol = "zero-shot"
    settings = ("adaptor",)
    needs_labels = True
    operator_kinds = ("embedding",)
    memory_mb = 2000
    gpu = 1

    def variants(self, plan: Plan) -> list[Variant]:
        """`<cls>` and the mean over gene tokens; to a plateau on whole training donors, as heads with that budget."""
        seed = plan.adaptor.seed
        return [Variant(operator=f"embedding-{pool}", arm=pool, budget="plateau", seed=seed) for pool in POOLS]

    def run(self, task: Task, variant: Variant) -> Output:
        """Class scores of the MLPs; the embedding itself is the method `frozen_embedding`."""
        train, test = (cells.features(variant.operator) for cells in (task.train, task.test))
        hidden = hidden_widths(train.shape[1])
        return mlp_output(train, test, task, variant, hidden, task.plan.device)


def hidden_widths(width: int) -> tuple[int, ...]:
    """Widths of the hidden layers on an embedding of `width`."""
    return tuple(max(width // share, 1) for share in SHARES)

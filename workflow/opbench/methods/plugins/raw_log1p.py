"""Raw expression: log1p(CP10k) of the panel genes."""

from opbench.methods.interface import Method, Output, Task, Variant


class RawLog1p(Method):
    """The cells as they are: what any representation must beat."""

    label = "raw log1p"
    citation = "baseline of arXiv:2603.10261"
    protocol = "inductive"
    memory_mb = 3000

    def run(self, task: Task, variant: Variant) -> Output:
        """Return dense log1p vectors, (n, G)."""
        return Output(representation=(task.train.log1p.toarray(), task.test.log1p.toarray()), fits=0)

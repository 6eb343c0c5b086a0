"""The extracted algorithm: pooled attention drift, cell head, linear readout (arXiv:2603.10261)."""

from opbench.methods.heads import HeadFitter, head_variants
from opbench.methods.interface import Method, Output, Plan, Task, Variant


class ExtractedHead(Method):
    """The head on the real operator, fitted on the split's training donors alone."""

    label = "extracted head"
    citation = "arXiv:2603.10261"
    protocol = "inductive"
    settings = ("adaptor",)
    core = True
    needs_labels = True
    operator_kinds = ("drift",)
    memory_mb = 3000

    def __init__(self) -> None:
        """Start with no fitted heads."""
        self.fitter = HeadFitter()

    def variants(self, plan: Plan) -> list[Variant]:
        """The drift operator at each budget."""
        return head_variants(plan, "drift", "real")

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit on training cells, return the latent of both sides."""
        before = self.fitter.fits, self.fitter.reused
        head = self.fitter.fit(task.train, task.classes.ruler, variant, task.plan.adaptor, task.seed, task.store)
        latent = tuple(head.transform(cells.features(variant.operator)) for cells in (task.train, task.test))
        reason = f"no plateau within {task.plan.adaptor.max_epochs} epochs" if head.status == "cap" else ""
        return Output(
            representation=latent,
            parameters=head.parameters,
            fits=self.fitter.fits - before[0],
            reused=self.fitter.reused - before[1],
            status=head.status,
            reason=reason,
        )

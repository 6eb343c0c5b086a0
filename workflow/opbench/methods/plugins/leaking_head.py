"""The paper's own arrangement: one head for all splits, whose donors may be tested. It leaks, and says so."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from opbench.methods.interface import Cells, Output, Plan, Task, Variant
from opbench.methods.plugins.extracted_head import ExtractedHead


class LeakingHead(ExtractedHead):
    """One head trained on every donor of the panel, test donors included; only the readout is held out."""

    label = "extracted head, paper's arrangement (leaking)"
    citation = "arXiv:2603.10261"
    protocol = "leaking"
    settings = ("adaptor",)
    core = True
    needs_labels = True
    reads_test_labels = True
    operator_kinds = ("drift",)
    memory_mb = 3000

    def skip(self, plan: Plan) -> str | None:
        """A frozen campaign has no overlap to show."""
        return "frozen campaign: the head is trained elsewhere" if plan.frozen else None

    def variants(self, plan: Plan) -> list[Variant]:
        """The paper's fixed budget only."""
        return super().variants(replace(plan, budgets=("fixed",)))

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit on both sides (the same cells in every split, so fitted once a job), transform each."""
        everything = _join(task.train, task.test, variant.operator)
        before = self.fitter.fits, self.fitter.reused
        head = self.fitter.fit(everything, task.classes.ruler, variant, task.plan.adaptor, variant.seed, task.store)
        latent = tuple(head.transform(cells.features(variant.operator)) for cells in (task.train, task.test))
        return Output(
            representation=latent,
            parameters=head.parameters,
            fits=self.fitter.fits - before[0],
            reused=self.fitter.reused - before[1],
        )


def _join(a: Cells, b: Cells, operator: str) -> Cells:
    """Both sides as one set of cells, in an order that does not depend on the split."""
    order = np.argsort(np.concatenate([a.ids, b.ids]), kind="stable")

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(a, name), getattr(b, name)])[order]

    return Cells(
        ids=both("ids"),
        log1p=sp.vstack([a.log1p, b.log1p]).tocsr()[order],
        counts=sp.vstack([a.counts, b.counts]).tocsr()[order],
        donor=both("donor"),
        features=lambda name: np.concatenate([a.features(name), b.features(name)])[order],
        label=both("label"),
        branch=both("branch"),
        depth=both("depth"),
    )

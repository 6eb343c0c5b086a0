"""CellTypist (Domínguez Conde et al. 2022, Science 376:eabl5197) trained on a split's donors, with all genes."""

from opbench.methods.celltypist_model import trained_output
from opbench.methods.interface import Method, Output, Task, Variant


class CellTypistNative(Method):
    """A custom model as its users would train one. It learns stage labels; branches follow from them.

    Without majority voting, which would mix the test cells.
    """

    label = "CellTypist"
    citation = "Domínguez Conde et al. 2022, Science 376:eabl5197"
    protocol = "inductive"
    needs_labels = True
    needs_all_genes = True
    memory_mb = 3000
    environment = "celltypist"

    def run(self, task: Task, variant: Variant) -> Output:
        """Decision scores of stage, branch and two-class tasks."""
        assert task.train.all_genes is not None and task.test.all_genes is not None
        return trained_output(task, task.train.all_genes(), task.test.all_genes(), task.all_genes)

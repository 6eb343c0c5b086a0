"""CellTypist (Domínguez Conde et al. 2022, Science 376:eabl5197) trained on a split's donors, with panel genes."""

from opbench.methods.celltypist_model import trained_output
from opbench.methods.interface import Method, Output, Task, Variant


class CellTypistPanel(Method):
    """The same training as `celltypist_native` on what the other methods see (decision 8)."""

    label = "CellTypist, panel genes"
    citation = "Domínguez Conde et al. 2022, Science 376:eabl5197"
    protocol = "inductive"
    needs_labels = True
    memory_mb = 2000
    environment = "celltypist"

    def run(self, task: Task, variant: Variant) -> Output:
        """Decision scores of stage, branch and two-class tasks."""
        return trained_output(task, task.train.log1p, task.test.log1p, task.genes)

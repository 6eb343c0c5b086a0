"""The ceiling: it reads the test labels. It brackets every endpoint from above."""

import numpy as np

from opbench.methods.interface import Method, Output, Task, Variant


class Oracle(Method):
    """Class scores and pseudotime made from the truth."""

    label = "oracle"
    citation = "control"
    protocol = "oracle"
    core = True
    reads_test_labels = True

    def run(self, task: Task, variant: Variant) -> Output:
        """One-hot truth for branch and stage; +1 or -1 for two-class tasks; depth as pseudotime."""
        cells, classes = task.test, task.classes
        assert cells.label is not None and cells.branch is not None and cells.depth is not None
        scores = {
            "stage": np.eye(len(classes.labels), dtype=np.float32)[cells.label],
            "branch": np.eye(len(classes.branches), dtype=np.float32)[cells.branch],
            **{
                name: np.where(np.isin(cells.label, list(positive)), 1.0, -1.0)
                for name, (positive, _) in classes.binary.items()
            },
        }
        return Output(scores=scores, pseudotime=cells.depth, depth=cells.depth, fits=0)

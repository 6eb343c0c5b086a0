"""Floor: every cell gets the training cells' class frequencies, whatever it expresses."""

import numpy as np

from opbench.methods.interface import Method, Output, Task, Variant


class MajorityClass(Method):
    """The commonest training class for everyone."""

    label = "floor: majority class"
    citation = "control"
    protocol = "floor"
    core = True
    needs_labels = True
    memory_mb = 1000

    def run(self, task: Task, variant: Variant) -> Output:
        """Class frequencies as scores; for two-class tasks the positive side's less the negative side's."""
        label, branch, classes = task.train.label, task.train.branch, task.classes
        assert label is not None and branch is not None
        n = len(task.test.ids)

        def frequencies(codes: np.ndarray, n_classes: int) -> np.ndarray:
            return np.tile(np.bincount(codes, minlength=n_classes) / len(codes), (n, 1))

        scores = {
            "branch": frequencies(branch, len(classes.branches)),
            "stage": frequencies(label, len(classes.labels)),
        }
        for name, sides in classes.binary.items():
            positive, negative = (np.isin(label, list(side)).sum() for side in sides)
            if positive and negative:
                scores[name] = np.full(n, (positive - negative) / (positive + negative))
        return Output(scores=scores, fits=0)

"""Floor: the number of detected panel genes, and nothing else."""

import numpy as np

from opbench.methods.floors import floor_output
from opbench.methods.interface import Method, Output, Task, Variant


class FloorDetection(Method):
    """What the detection rate of a cell alone tells of its type."""

    label = "floor: detected genes"
    citation = "control"
    protocol = "floor"
    core = True
    uses_start_cell = True
    memory_mb = 1000

    def run(self, task: Task, variant: Variant) -> Output:
        """Count each cell's panel genes that have a count."""
        train, test = (np.asarray((cells.counts > 0).sum(axis=1)) for cells in (task.train, task.test))
        return floor_output(train, test, task)

"""Floor: the mean log1p expression over the panel's genes, and nothing else."""

import numpy as np

from opbench.methods.floors import floor_output
from opbench.methods.interface import Method, Output, Task, Variant


class FloorMean(Method):
    """What the overall level of a cell's panel genes alone tells of its type."""

    label = "floor: mean expression"
    citation = "control"
    protocol = "floor"
    core = True
    uses_start_cell = True
    memory_mb = 1000

    def run(self, task: Task, variant: Variant) -> Output:
        """Mean of each cell's log1p values."""
        train, test = (np.asarray(cells.log1p.mean(axis=1, dtype=np.float64)) for cells in (task.train, task.test))
        return floor_output(train, test, task)

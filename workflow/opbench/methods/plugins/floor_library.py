"""Floor: the log library size, and nothing else."""

import numpy as np

from opbench.methods.floors import floor_output
from opbench.methods.interface import Cells, Method, Output, Task, Variant

#: Counts per cell that log1p values were scaled to.
SCALED_TO = 1e4


class FloorLibrary(Method):
    """What the sequencing depth of a cell alone tells of its type."""

    label = "floor: library size"
    citation = "control"
    protocol = "floor"
    core = True
    uses_start_cell = True
    memory_mb = 1000

    def run(self, task: Task, variant: Variant) -> Output:
        """Log of each cell's library over all genes; the training median for cells that do not tell theirs."""
        train, test = log_library(task.train), log_library(task.test)
        known = train[np.isfinite(train)]
        usual = np.median(known) if len(known) else 0.0
        train, test = (np.where(np.isfinite(side), side, usual) for side in (train, test))
        return floor_output(train, test, task)


def log_library(cells: Cells) -> np.ndarray:
    """Log library size (n,), NaN for cells without a count in the panel.

    A gene with c counts has log1p(c * 10,000 / library): summed over the panel's genes, which are a part of the
    library, this gives the full library back.
    """
    counted = np.asarray(cells.counts.sum(axis=1), dtype=np.float64).ravel()
    scaled = np.asarray(cells.log1p.astype(np.float64).expm1().sum(axis=1)).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(counted * SCALED_TO / scaled)

"""Floors: one number per cell that any method must beat."""

import numpy as np

from opbench.methods.interface import Output, Task


def floor_output(train: np.ndarray, test: np.ndarray, task: Task) -> Output:
    """A representation of one number per cell, (n_train,) and (n_test,), and a pseudotime where there are start cells.

    Pseudotime is the distance from the donor's start cell. Diffusion pseudotime on a line says much the same, but is
    undefined where more cells tie than a neighbourhood holds, as counts do.
    """
    sides = tuple(np.asarray(side, dtype=np.float32).reshape(-1, 1) for side in (train, test))
    output = Output(representation=sides, fits=0)
    if task.start_cells:
        values = sides[1].ravel().astype(np.float64)
        output.pseudotime = np.full(len(values), np.nan)
        position = {cell: row for row, cell in enumerate(task.test.ids)}
        for donor in np.unique(task.test.donor):
            mine = task.test.donor == donor
            if (start := position.get(task.start_cells.get(donor, ""))) is None:
                output.problems[str(donor)] = "no start cell"
            else:
                output.pseudotime[mine] = np.abs(values[mine] - values[start])
    return output

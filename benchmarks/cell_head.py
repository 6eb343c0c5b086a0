"""Seconds per epoch of the cell head, by cells and features: `python benchmarks/cell_head.py`.

One thread; the numbers decide how many draws and donors a run can afford (decision 19 of the design).
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from opbench.adaptors.cell_head import HeadData, fit_cell_head
from opbench.config.model import Adaptor

LABELS, EPOCHS = 15, 30


def main() -> None:
    rng = np.random.default_rng(0)
    ruler = np.abs(np.subtract.outer(np.arange(LABELS), np.arange(LABELS))).astype(float)
    # The first call loads libraries; it is not timed.
    fit_cell_head(
        HeadData(rng.normal(size=(64, 20)).astype(np.float32), np.arange(64) % LABELS, np.arange(64) % 5, ruler, 5),
        Adaptor(epochs=1),
        0,
    )
    print("cells\tfeatures\tseconds per epoch\tseconds to prepare")
    for cells, features in ((1200, 800), (1200, 2400), (3200, 2400)):
        label = rng.integers(0, LABELS, cells)
        x = (rng.normal(size=(LABELS, features))[label] + rng.normal(size=(cells, features))).astype(np.float32)
        data = HeadData(x, label, label // 3, ruler, 5)
        start = time.perf_counter()
        fit_cell_head(data, Adaptor(epochs=1), 0)
        prepared = time.perf_counter()
        fit_cell_head(data, Adaptor(epochs=EPOCHS), 0)
        epoch = (time.perf_counter() - prepared - (prepared - start)) / (EPOCHS - 1)
        print(f"{cells}\t{features}\t{epoch:.4f}\t{prepared - start:.2f}")


if __name__ == "__main__":
    main()

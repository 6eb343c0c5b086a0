"""A small task with known structure, as a method sees one split."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from opbench.config.baselines import Baselines, ScVI
from opbench.config.model import Adaptor
from opbench.methods.interface import Cells, Classes, Plan, Task

LABELS, BRANCHES, GENES, OTHER_GENES, WIDTH = 5, 3, 60, 40, 120
CONTROLS = {"shuffle": 1, "uniform": 1, "label_lookup": 1}
FEATURES = (
    "drift", "gaussian-0", "gaussian-1", "embedding-cls", "embedding-mean", "shuffle-0", "uniform", "label_lookup-0",
)  # fmt: skip
RULER = np.abs(np.subtract.outer(np.arange(LABELS), np.arange(LABELS))).astype(float)


class Trial(NamedTuple):
    """A task, and the truth of its test cells that most methods must not see."""

    task: Task
    truth: Cells


def make_plan() -> Plan:
    adaptor = Adaptor(width=4, epochs=30, max_epochs=40, patience=5, batch=64, cells_per_stage=40)
    baselines = Baselines(scvi=ScVI(max_epochs=30, query_epochs=10))
    return Plan(
        adaptor, ("fixed", "plateau"), 2, "halves", frozen=False, model="none", baselines=baselines, controls=CONTROLS
    )  # fmt: skip


def make_trial(permute: bool = False) -> Trial:
    rng = np.random.default_rng(0)
    n = 400
    label = rng.integers(0, LABELS, n)
    depth = rng.gamma(2, 0.5, (n, 1))
    rate = np.exp(rng.normal(0, 1, (LABELS, GENES)))[label] * depth
    counts = sp.csr_matrix(rng.poisson(rate).astype(np.int32))
    others = sp.csr_matrix(rng.poisson(np.exp(rng.normal(0, 1, OTHER_GENES)) * depth).astype(np.int32))
    everything = sp.hstack([counts, others]).tocsr()
    library = np.asarray(everything.sum(1)).ravel().clip(1)
    all_log1p = everything.astype(np.float32).multiply(1e4 / library[:, None]).tocsr()
    all_log1p.data = np.log1p(all_log1p.data)
    log1p = all_log1p[:, :GENES]
    matrices = {name: rng.normal(size=(GENES, WIDTH)).astype(np.float32) for name in FEATURES}
    donor = np.array([f"donor{i % 8}" for i in range(n)])
    train, test = np.flatnonzero(np.arange(n) % 8 < 6), np.flatnonzero(np.arange(n) % 8 >= 6)
    shown = label.copy()
    if permute:
        shown[train] = rng.permutation(label[train])

    def cells(rows: np.ndarray, truth: bool) -> Cells:
        return Cells(
            ids=np.array([f"c{i}" for i in rows]),
            log1p=log1p[rows],
            counts=counts[rows],
            donor=donor[rows],
            features=lambda name: log1p[rows] @ matrices[name],
            label=shown[rows] if truth else None,
            branch=shown[rows] // 2 if truth else None,
            depth=shown[rows].astype(float) if truth else None,
            all_genes=lambda: all_log1p[rows],
        )

    classes = Classes(
        tuple(f"x:{i}" for i in range(LABELS)),
        tuple("abc"),
        RULER,
        {"pair": (frozenset({1}), frozenset({0}))},
    )
    genes = tuple(f"g{i}" for i in range(GENES + OTHER_GENES))
    starts = {d: f"c{min((i for i in test if donor[i] == d), key=lambda i: label[i])}" for d in np.unique(donor[test])}
    task = Task(
        cells(train, True), cells(test, False), classes, 7, make_plan(), starts, genes[:GENES], genes,
        projection=matrices.get,
    )  # fmt: skip
    return Trial(task, cells(test, True))


@pytest.fixture(scope="session")
def trial() -> Trial:
    return make_trial()


@pytest.fixture(scope="session")
def permuted() -> Trial:
    return make_trial(permute=True)

"""Every arm of every baseline on a simulated cohort: on branch above the trivial floor, with permuted labels at chance.

A badly run baseline is how benchmarks of this kind fail. The floor is the best that one trivial number per cell does.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import FEATURES, Trial, make_plan
from sklearn.metrics import balanced_accuracy_score

from opbench.config.data import Simulation
from opbench.io.store import Store
from opbench.methods import registry
from opbench.methods.interface import Cells, Classes, Task, check_output
from opbench.panels.ontology import Ontology
from opbench.panels.simulate import LABELS, draw_cohort
from opbench.readouts.probes import class_scores, standardise

ONTOLOGY = Path(__file__).parents[2] / "resources/ontology"
GENES, WIDTH = 600, 100
NOT_COMPETING = ("oracle", "chance", "floor", "per-donor")
BASELINES = [name for name in registry.plugin_files() if registry.declared(name).get("protocol") not in NOT_COMPETING]
FLOORS = [name for name in registry.plugin_files() if registry.declared(name).get("protocol") == "floor"]


@pytest.fixture(scope="module")
def cohort() -> Trial:
    """Six donors of the demo cohort, two of them tested; the operators are random projections."""
    ontology = Ontology.read(ONTOLOGY)
    sizes = {"cells_per_donor": 200, "corpus_donors": 1, "corpus_cells_per_donor": 30}
    counts, obs = draw_cohort(Simulation(donors=6, genes=GENES, seed=3, **sizes), ontology)
    used = (obs["role"] == "evaluation").to_numpy()
    counts, obs = counts[used], obs[used]
    log1p = sp.csr_matrix(counts.multiply(1e4 / counts.sum(1)), dtype=np.float32).log1p()
    names = sorted(LABELS)
    stages = [frozenset(LABELS[name][0]) for name in names]
    label = obs["cell_type"].map({name: i for i, name in enumerate(names)}).to_numpy(dtype=np.int64)
    branches = sorted({ontology.branch(s) for s in stages})  # the cohort has no granulocytes
    of_label = [branches.index(ontology.branch(s)) for s in stages]
    depth = np.array([ontology.depth(s) for s in stages], dtype=float)
    depth, branch = depth[label], np.array(of_label)[label]
    donor, ids = obs["donor"].to_numpy(str), obs.index.to_numpy()
    rng = np.random.default_rng(0)
    matrices = {name: rng.normal(size=(GENES, WIDTH)).astype(np.float32) for name in FEATURES}
    test = np.isin(donor, sorted(set(donor))[:2])

    def cells(rows: np.ndarray, truth: bool) -> Cells:
        return Cells(
            ids[rows], log1p[rows], counts[rows], donor[rows], lambda name: log1p[rows] @ matrices[name],
            label[rows] if truth else None, branch[rows] if truth else None, depth[rows] if truth else None,
            lambda: log1p[rows],
        )  # fmt: skip

    where = dict(zip(ontology.stages, ontology.branches, strict=True))
    pair = {"pair": (frozenset({names.index("Mono")}), frozenset({names.index("GMP")}))}
    classes = Classes(
        tuple(f"x:{n}" for n in names), tuple(branches), ontology.set_distance(stages), pair, tuple(stages), where
    )  # fmt: skip
    genes = tuple(f"G{g}" for g in range(GENES))
    train, tested = np.flatnonzero(~test), np.flatnonzero(test)
    task = Task(cells(train, True), cells(tested, False), classes, 7, make_plan(), {}, genes, genes)
    return Trial(task, cells(tested, True))


def branch_accuracies(name: str, trial: Trial) -> list[float]:
    """Branch balanced accuracy on the tested donors of every arm, by its own scores or by the shared probe."""
    method = registry.load(name)
    plan = trial.task.plan.shown_to(method)
    if reason := method.skip(plan):
        pytest.skip(reason)  # its own unit test covers it
    task = replace(trial.task, plan=plan, store=Store())
    task = replace(task, test=trial.truth) if method.reads_test_labels else task
    found = []
    for variant in method.variants(plan):
        output = check_output(method.run(task, variant), task)
        if "branch" in output.scores:
            scores = output.scores["branch"]
        else:
            sides = output.representation
            if output.projection is not None:
                sides = tuple(cells.log1p @ output.projection for cells in (task.train, task.test))
            dense = [side.toarray() if sp.issparse(side) else side for side in sides]
            scores = class_scores(*_probe_arguments(dense, task))
        found.append(balanced_accuracy_score(trial.truth.branch, scores.argmax(1)))
    return found


def _probe_arguments(sides: list[np.ndarray], task: Task) -> tuple:
    train, test = standardise(*sides)
    return train, task.train.branch, test, len(task.classes.branches)


@pytest.fixture(scope="module")
def floor(cohort) -> float:
    return max(max(branch_accuracies(name, cohort)) for name in FLOORS)


@pytest.mark.parametrize("name", BASELINES)
def test_every_arm_is_above_the_trivial_floor(name, cohort, floor):
    assert 1 / 6 <= floor < 0.4
    assert min(branch_accuracies(name, cohort)) > floor + 0.1


@pytest.mark.parametrize("name", [n for n in BASELINES if not registry.declared(n).get("reads_test_labels")])
def test_permuted_labels_are_at_chance(name, cohort):
    train = cohort.task.train
    order = np.random.default_rng(1).permutation(len(train.ids))
    shuffled = replace(train, label=train.label[order], branch=train.branch[order], depth=train.depth[order])
    blind = branch_accuracies(name, Trial(replace(cohort.task, train=shuffled), cohort.truth))
    # Six branches: chance is 0.17. Cells of one type can all fall into one wrong branch, hence the width.
    assert max(blind) < 0.33
    assert abs(np.mean(blind) - 1 / 6) < 0.12

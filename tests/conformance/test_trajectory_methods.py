"""Methods that run inside a donor: what they must find on a simulated cohort, and what they must not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr

from opbench.config.data import Simulation
from opbench.config.model import Adaptor
from opbench.io.errors import InputError
from opbench.io.store import Store
from opbench.methods import registry
from opbench.methods.interface import Cells, Classes, Output, Plan, Task
from opbench.methods.plugins import palantir as palantir_plugin
from opbench.methods.plugins.palantir import attempt, ladder
from opbench.panels.ontology import Ontology
from opbench.panels.simulate import LABELS, draw_cohort

ONTOLOGY = Path(__file__).parents[2] / "resources/ontology"
NAMES = [n for n in registry.plugin_files() if registry.declared(n).get("protocol") == "per-donor"]
PLAN = Plan(Adaptor(), ("fixed",), 0, "halves", frozen=False, model="none")


def some(log1p: sp.csr_matrix, ids: np.ndarray, donor: np.ndarray) -> Cells:
    """Cells without labels; these methods may look at nothing but expression."""
    return Cells(ids, log1p, log1p, donor, lambda name: pytest.fail(name), None, None, None)


@pytest.fixture(scope="module")
def cohort() -> tuple[Task, np.ndarray]:
    """Three donors of the demo cohort as a task, and their true depths."""
    sizes = {"cells_per_donor": 220, "corpus_donors": 1, "corpus_cells_per_donor": 30}
    ontology = Ontology.read(ONTOLOGY)
    counts, obs = draw_cohort(Simulation(donors=3, genes=1000, seed=1, **sizes), ontology)
    used = (obs["role"] == "evaluation").to_numpy()
    counts, obs = counts[used], obs[used]
    log1p = sp.csr_matrix(counts.multiply(1e4 / counts.sum(1)), dtype=np.float32).log1p()
    depth = obs["cell_type"].map({name: ontology.depth(frozenset(s)) for name, (s, _) in LABELS.items()})
    ids, donor = obs.index.to_numpy(), obs["donor"].to_numpy(str)
    starts = {d: ids[(donor == d) & (depth == 0)][0] for d in np.unique(donor)}
    cells = some(log1p, ids, donor)
    empty = some(log1p[:0], ids[:0], donor[:0])
    task = Task(empty, cells, Classes((), (), np.zeros((0, 0)), {}), 1, PLAN, starts)
    return task, depth.to_numpy(dtype=float)


def run(name: str, task: Task) -> Output:
    method = registry.load(name)
    return method.run(task, method.variants(task.plan)[0])


@pytest.fixture(scope="module")
def found(cohort) -> dict[str, Output]:
    return {name: run(name, cohort[0]) for name in NAMES}


def mean_spearman(task: Task, pseudotime: np.ndarray, depth: np.ndarray) -> float:
    """Over donors, so that no order of donors can help."""
    rows = [np.flatnonzero((task.test.donor == donor) & np.isfinite(pseudotime)) for donor in task.start_cells]
    return float(np.mean([spearmanr(pseudotime[r], depth[r])[0] for r in rows]))


def test_both_are_here():
    assert {"dpt", "palantir"} <= set(NAMES)
    assert all(registry.declared(name)["uses_start_cell"] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_depth_and_starts_at_the_start(name, cohort, found):
    task, depth = cohort
    output = found[name]
    assert output.problems == {}
    assert np.isfinite(output.pseudotime).mean() > 0.98
    assert mean_spearman(task, output.pseudotime, depth) > 0.45
    for donor, cell in task.start_cells.items():
        mine = output.pseudotime[task.test.donor == donor]
        assert (mine < output.pseudotime[task.test.ids == cell]).mean() < 0.03


@pytest.mark.parametrize("name", NAMES)
def test_is_at_chance_without_structure(name, cohort):
    """Every gene is shuffled among a donor's cells: its distribution stays, cells mean nothing."""
    task, depth = cohort
    rng = np.random.default_rng(0)
    dense = task.test.log1p.toarray()
    for donor in task.start_cells:
        rows = np.flatnonzero(task.test.donor == donor)
        dense[rows] = rng.permuted(dense[rows], axis=0)
    output = run(name, replace(task, test=replace(task.test, log1p=sp.csr_matrix(dense))))
    assert output.problems == {}
    assert abs(mean_spearman(task, output.pseudotime, depth)) < 0.12  # three standard errors are 0.12


@pytest.mark.parametrize("name", NAMES)
def test_a_donor_is_alone_and_computed_once(name, cohort, found):
    task, _ = cohort
    first = sorted(task.start_cells)[0]
    assert (found[name].fits, found[name].reused) == (len(task.start_cells), 0)
    keep = task.test.donor == first
    alone = replace(task, test=some(task.test.log1p[keep], task.test.ids[keep], task.test.donor[keep]), seed=9)
    again = run(name, alone)
    assert (again.fits, again.reused) == (0, 1)  # another split, the same donor and start
    fresh = run(name, replace(alone, store=Store()))
    assert (fresh.fits, fresh.reused) == (1, 0)
    for output in (again, fresh):
        np.testing.assert_array_equal(output.pseudotime, found[name].pseudotime[keep])
        assert output.notes == {d: note for d, note in found[name].notes.items() if d == first}
    moved = run(name, replace(alone, start_cells={first: alone.test.ids[alone.test.ids != task.start_cells[first]][7]}))
    assert (moved.fits, moved.reused) == (1, 0)
    assert not np.array_equal(moved.pseudotime, fresh.pseudotime)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_start_is_a_problem_and_a_wrong_one_an_error(name, cohort):
    task, _ = cohort
    first, *others = sorted(task.start_cells)
    output = run(name, replace(task, start_cells={d: task.start_cells[d] for d in others}))
    assert list(output.problems) == [first]
    assert np.isnan(output.pseudotime[task.test.donor == first]).all()
    with pytest.raises(InputError, match="start cell 'nobody' is none of donor"):
        run(name, replace(task, start_cells=task.start_cells | {first: "nobody"}))


def test_palantir_s_pseudotime_does_not_hang_on_the_named_end(cohort, found):
    """The plug-in names one terminal cell to spare Palantir the search: the order must be as if it had not."""
    import palantir

    task, _ = cohort
    plugin, seen = registry.load("palantir"), []
    original = palantir.core.run_palantir

    def searching(*args, **kwargs):
        seen.append(kwargs.pop("terminal_states"))
        return original(*args, **kwargs)

    palantir.core.run_palantir = searching
    try:
        output = plugin.run(replace(task, store=Store()), plugin.variants(task.plan)[0])
    finally:
        palantir.core.run_palantir = original
    assert len(seen) == len(task.start_cells)
    np.testing.assert_array_equal(output.pseudotime, found["palantir"].pseudotime)


@pytest.fixture
def islands() -> np.ndarray:
    """100 cells on an arc, in order, and 20 far away."""
    rng = np.random.default_rng(0)
    angle = np.sort(rng.random(100)) * 3
    arc = np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.03, (100, 2))
    return np.vstack([arc, rng.normal(1e3, 0.1, (20, 2))]).astype(np.float32)


def test_palantir_leaves_out_what_the_start_does_not_reach(islands):
    (_, rung), *_ = ladder(25, 4, 100, 0)
    found = attempt(islands, 0, rung)
    assert "20 of 120 cells not connected to the root (2 components)" in found.note
    assert np.isnan(found.values[100:]).all()
    assert spearmanr(found.values[:100], np.arange(100))[0] > 0.9
    assert attempt(islands, 110, rung).problem == "graph has 2 components; the root reaches 17%"


def test_palantir_refuses_graphs_that_hang_by_a_thread(islands, monkeypatch):
    (_, rung), *_ = ladder(25, 4, 100, 0)
    monkeypatch.setattr(palantir_plugin, "TOLERANCE", 0.5)
    assert "nearly disconnected: eigenvalue 0.9" in attempt(islands[:100], 0, rung).problem
    space = pd.DataFrame(islands)
    assert palantir_plugin.separate_parts(space, 12) == 2
    assert palantir_plugin.separate_parts(space, 60) == 1


def test_palantir_s_ladder_goes_up_and_fits_small_donors():
    rungs = [rung for _, rung in ladder(1000, 4, 500, 0)]
    assert [(r.neighbours, r.eigenvectors) for r in rungs] == [(30, 4), (60, 4), (60, 10), (120, 10)]
    small = ladder(41, 4, 500, 0)
    assert [(r.neighbours, r.eigenvectors) for _, r in small] == [(20, 4), (20, 10)]

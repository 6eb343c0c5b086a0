"""The core of donor-local trajectories on graphs whose order, or lack of one, is known."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import spearmanr

from opbench.methods import donor_local
from opbench.methods.donor_local import Pseudotime, climb, diffusion_pseudotime, no_pseudotime, principal_axes


def branching(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cells on a stem that splits in three, (n, 10), and their times."""
    rng = np.random.default_rng(seed)
    time, branch, ways = rng.random(n), rng.integers(0, 3, n), rng.normal(size=(4, 10))
    x = np.minimum(time, 0.3)[:, None] * ways[3] + np.maximum(time - 0.3, 0)[:, None] * ways[branch]
    return (x + rng.normal(0, noise, (n, 10))).astype(np.float32), time


def test_axes_are_the_donor_s_own_and_bounded():
    log1p = sp.random(30, 12, density=0.4, random_state=0, format="csr", dtype=np.float32)
    axes = principal_axes(log1p, 50, scaled=False)
    assert axes.shape == (30, 11)
    assert axes.dtype == np.float32
    dense = log1p.toarray()
    centred = dense - dense.mean(0)
    expected = np.linalg.svd(centred, compute_uv=False)[:11]
    np.testing.assert_allclose(np.linalg.norm(axes, axis=0), expected, rtol=1e-4)
    scaled = principal_axes(log1p, 3, scaled=True)
    unit = np.linalg.svd(centred / dense.std(0, ddof=1), compute_uv=False)[:3]
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=0), unit, rtol=1e-3)
    assert log1p.max() <= 1  # scanpy scales in place: not the caller's matrix


def test_cells_out_of_reach_have_no_pseudotime_and_are_counted():
    x, time = branching(120, 0.02)
    x[100:] += 1e4
    root = int(time[:100].argmin())
    found = diffusion_pseudotime(x, root, 10)
    assert found.components == 2
    assert "20 of 120 cells not connected to the root (2 components)" in found.note
    assert np.isnan(found.values[100:]).all()
    np.testing.assert_array_equal(found.values[:100], diffusion_pseudotime(x[:100], root, 10).values)
    few = diffusion_pseudotime(x, 110, 10)
    assert few.problem == "graph has 2 components; the root reaches 17%"
    assert np.isnan(few.values).all()


def test_slow_components_that_scanpy_drops_are_kept(monkeypatch):
    """On a long thin graph scanpy's own distance has lost the order; the published one has it."""
    x, time = branching(2500, 0.004)
    root = int(time.argmin())
    kept = diffusion_pseudotime(x, root, 15)
    assert "are kept" in kept.note
    assert spearmanr(kept.values, time)[0] > 0.9
    monkeypatch.setattr(donor_local, "SCANPY_SLOWEST", 2.0)
    assert spearmanr(diffusion_pseudotime(x, root, 15).values, time)[0] < 0.7


def test_without_slow_components_the_published_distance_is_scanpy_s(monkeypatch):
    x, time = branching(200, 0.05)
    root = int(time.argmin())
    plain = diffusion_pseudotime(x, root, 15)
    assert plain.note == ""
    monkeypatch.setattr(donor_local, "SCANPY_SLOWEST", 0.0)
    np.testing.assert_allclose(diffusion_pseudotime(x, root, 15).values, plain.values, atol=2e-3)


def test_a_graph_that_hangs_by_a_thread_is_refused(monkeypatch):
    x, time = branching(200, 0.05)
    monkeypatch.setattr(donor_local, "SCANPY_SLOWEST", 0.0)
    monkeypatch.setattr(donor_local, "RESOLVED", 0.5)
    assert "nearly disconnected" in diffusion_pseudotime(x, int(time.argmin()), 15).problem


@pytest.mark.parametrize("x", [np.zeros((50, 3)), np.random.default_rng(0).normal(size=(10, 3))])
def test_too_little_is_a_problem(x):
    assert "too few cells or a constant" in diffusion_pseudotime(x, 0, 15).problem


def test_the_ladder_says_what_it_left_and_why():
    good = Pseudotime(np.arange(3.0), 1, note="plain")

    def broken() -> Pseudotime:
        raise ValueError("no eigenvectors\nsecond line")

    def exhausted() -> Pseudotime:
        raise MemoryError

    rungs = [("one", broken), ("two", lambda: no_pseudotime(3, "it fell apart")), ("three", lambda: good)]
    found = climb(rungs, 3)
    assert found.note == "one: ValueError: no eigenvectors; two: it fell apart; retried with three; plain"
    assert found.values.tolist() == [0, 1, 2]
    assert climb(rungs[2:], 3).note == "plain"
    none = climb(rungs[:2], 3)
    assert none.problem == "one: ValueError: no eigenvectors; two: it fell apart"
    assert np.isnan(none.values).all()
    with pytest.raises(MemoryError):
        climb([("one", exhausted), *rungs], 3)

"""Probes along principal axes: the optimum of the plain ones, also where those do not get there."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from opbench.readouts import logistic
from opbench.readouts.axes import principal_axes
from opbench.readouts.logistic import Labels
from opbench.readouts.probes import Part, probe_shared

N, G, D = 400, 60, 100


@pytest.fixture(scope="module")
def problem():
    """Cells of three classes, and features whose variances along their axes fall over six orders of magnitude."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, N)
    x = sp.csr_matrix(rng.poisson(np.exp(rng.normal(0, 0.6, (3, G)))[label] * 0.5).astype(np.float32)).log1p()
    mixing = np.linalg.qr(rng.normal(size=(G, G)))[0] * 10 ** -np.linspace(0, 3, G)
    projection = (mixing @ rng.normal(size=(G, D))).astype(np.float32)
    projection[5] = 0  # a gene that the operator does not read
    tasks = {"stage": Labels(label, 3), "pair": Labels(np.where(label == 2, -1, label), 2)}
    return x, projection, tasks, rng.normal(size=N) + label, np.arange(N) % 5 != 0


def probed(problem, correlated):
    x, projection, tasks, depth, train = problem
    parts = [Part(np.flatnonzero(train), np.flatnonzero(~train), projection, correlated)]
    return probe_shared(x, tasks, depth, parts)[0]


def test_axes_span_the_standardised_features_with_the_same_penalty(problem):
    x, projection, _, _, train = problem
    x = x.toarray()[train].astype(np.float64)
    mean, centred = x.mean(0), x - x.mean(0)
    features = centred @ projection
    scale = features.std(0)
    axes = principal_axes(projection, mean, centred.T @ centred, scale)
    coordinates = x @ axes.projection - axes.mean
    np.testing.assert_allclose(coordinates.T @ coordinates, np.diag(axes.squares), atol=1e-3 * axes.squares.max())
    weights = np.random.default_rng(1).normal(size=len(axes.penalty))
    # The shortest weights on features that score alike are as long as the penalty says.
    on_features = np.linalg.lstsq(features / scale, coordinates @ weights, rcond=1e-9)[0]
    assert on_features @ on_features == pytest.approx((axes.penalty * weights**2).sum(), rel=1e-2)
    assert len(axes.penalty) == G - 1


def test_scores_are_scikit_learn_s_where_plain_passes_do_not_suffice(problem, monkeypatch):
    x, projection, tasks, depth, train = problem
    scaler = StandardScaler().fit(x[train] @ projection.astype(float))
    a, b = (scaler.transform(x[rows] @ projection.astype(float)) for rows in (train, ~train))
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 40)
    plain, along = probed(problem, False), probed(problem, True)
    assert plain.unfinished == {"stage", "pair"}
    assert along.unfinished == frozenset()
    for name, task in tasks.items():
        kept = train & (task.codes >= 0)
        fit = LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=50_000)
        found = fit.fit(a[kept[train]], task.codes[kept]).decision_function(b)
        ours = along.scores[name] if name == "stage" else along.scores[name][:, 1]
        np.testing.assert_allclose(ours, found, atol=2e-3)
    np.testing.assert_allclose(along.depth, Ridge(1.0).fit(a, depth[train]).predict(b), atol=1e-4)
    np.testing.assert_allclose(along.depth, plain.depth, atol=1e-4)


def test_features_that_say_nothing_give_the_same_score_to_all(problem):
    x, projection, tasks, depth, train = problem
    blank = (x, np.zeros_like(projection), tasks, depth, train)
    found = probed(blank, True)
    assert np.ptp(found.scores["stage"], axis=0).max() == 0
    np.testing.assert_allclose(found.depth, depth[train].mean())

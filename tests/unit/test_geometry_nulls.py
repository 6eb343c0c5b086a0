"""Shared permutation machinery: p, max-T, strata, rewired graphs, bootstrap counts, AUROCs."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from opbench.geometry.logistic import cross_validated_aurocs, fit_scores, make_folds
from opbench.geometry.nulls import (
    bootstrap_counts,
    make_strata,
    max_t_p,
    movable_share,
    permutation_p,
    permutations_within,
    rewired,
    smallest_p,
)
from opbench.geometry.pairs import clustered_aurocs, placements, rank_codes, residuals, weighted_aurocs
from opbench.geometry.rows import cells, null_rows
from opbench.io.seeds import keyed_rng


def test_p_counts_the_observation_and_never_reaches_zero():
    draws = np.arange(99.0)[:, None]
    assert permutation_p(np.array([1000.0]), draws) == smallest_p(99) == 0.01
    assert permutation_p(np.array([90.0]), draws)[0] == 10 / 100  # 90 to 98 are as large, and itself
    assert permutation_p(np.array([-5.0]), draws, "less")[0] == 0.01
    assert permutation_p(np.array([-5.0]), draws, "two-sided")[0] == smallest_p(99, "two-sided") == 0.02
    assert np.isnan(permutation_p(np.array([np.nan]), draws)[0])
    # Ties count although draws are kept in single precision.
    thirds = np.full((9, 1), 1 / 3, dtype=np.float32)
    assert permutation_p(np.array([1 / 3]), thirds)[0] == permutation_p(np.array([1 / 3]), thirds, "less")[0] == 1


def test_max_t_holds_the_family_where_single_p_do_not():
    single = family = 0
    for repeat in range(200):
        values = keyed_rng("max-t", repeat).normal(size=(100, 40)) * np.arange(1, 41)
        single += permutation_p(values[0], values[1:]).min() <= 0.05
        family += max_t_p(values[0], values[1:]).min() <= 0.05
    assert single > 150
    assert 2 <= family <= 22  # 10 expected
    shifted = values.copy()
    shifted[0, 7] += 8 * 10
    assert max_t_p(shifted[0], shifted[1:])[7] == 0.01


def test_strata_permutations_stay_within_and_are_uniform():
    rng = keyed_rng("strata")
    strata = np.array([0, 1, 0, 1, 1, 0, 2])
    drawn = permutations_within(strata, 7, 6000, rng)
    assert (strata[drawn] == strata).all()
    assert (np.sort(drawn, axis=1) == np.arange(7)).all()
    assert movable_share(strata) == pytest.approx(6 / 7)
    share = np.bincount(drawn[:, 0], minlength=7)[[0, 2, 5]] / 6000
    assert np.allclose(share, 1 / 3, atol=0.03)


def test_small_strata_join_their_neighbour():
    rng = keyed_rng("make-strata")
    x = rng.random((203, 1))
    strata = make_strata(np.hstack([x, x + 0.1 * rng.random((203, 1))]), bins=10, least=5)
    assert np.bincount(strata).min() >= 5
    spread = [np.ptp(x[strata == s]) for s in np.unique(strata)]
    assert max(spread) < 0.35  # neighbours in detection, not anything


@pytest.mark.parametrize("directed", [True, False])
def test_rewired_graphs_keep_degrees_and_change_partners(directed):
    rng = keyed_rng("rewired", directed)
    i, j = np.triu_indices(30, 1)
    chosen = rng.choice(len(i), 80, replace=False)
    edges = np.column_stack([i, j])[chosen]
    ends = (lambda g: [np.bincount(g[:, 0], minlength=30), np.bincount(g[:, 1], minlength=30)]) if directed else (
        lambda g: [np.bincount(g.ravel(), minlength=30)]
    )  # fmt: skip
    graphs = list(rewired(edges, 30, 50, rng, directed))
    assert len(graphs) == 50
    for graph in graphs:
        assert all((a == b).all() for a, b in zip(ends(graph), ends(edges), strict=True))
        assert (graph[:, 0] != graph[:, 1]).all()
        keys = graph if directed else np.sort(graph, axis=1)
        assert len(np.unique(keys, axis=0)) == 80
    kept = {tuple(e) for e in np.sort(edges, axis=1)} & {tuple(e) for e in np.sort(graphs[-1], axis=1)}
    assert len(kept) < 50


def test_rewiring_visits_all_graphs_of_a_degree_sequence_alike():
    """Sources 0, 1, 2 with one target each of 3, 4, 5: six graphs."""
    edges = np.array([[0, 3], [1, 4], [2, 5]])
    drawn = [tuple(g[np.argsort(g[:, 0]), 1]) for g in rewired(edges, 6, 6000, keyed_rng("all"), True, 4)]
    _, counts = np.unique(np.array(drawn), axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.allclose(counts / 6000, 1 / 6, atol=0.04)


def test_bootstrap_counts_draw_whole_clusters():
    counts = bootstrap_counts(np.array(["a", "b", "a", "c"]), 500, keyed_rng("boot"))
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_aurocs_agree_with_scikit_learn():
    rng = keyed_rng("auroc")
    scores, label = rng.normal(size=400).round(1), rng.random(400) < 0.3
    weights = rng.integers(0, 4, (3, 400))
    expected = [roc_auc_score(label, scores, sample_weight=w) for w in weights]
    assert np.allclose(weighted_aurocs(scores, label, weights), expected)
    assert placements(scores, label).mean() == pytest.approx(roc_auc_score(label, scores))
    cluster = rng.integers(0, 20, 400)
    counts = rng.integers(0, 3, (5, 20))
    scores = rng.normal(size=400) + label
    codes = rank_codes(scores.argsort().argsort() + 1.0)
    expected = [roc_auc_score(label, scores, sample_weight=c[cluster]) for c in counts]
    assert np.allclose(clustered_aurocs(codes, label, cluster, counts), expected, atol=0.005)


def test_residuals_are_free_of_the_covariates():
    rng = keyed_rng("residuals")
    x = rng.normal(size=(100, 2))
    y = (x @ [[1.0], [2.0]]).T + rng.normal(size=(1, 100))
    rest = residuals(y, np.column_stack([x, x[:, 0]]))  # a repeated covariate changes nothing
    assert np.allclose(rest @ x, 0, atol=1e-8)


def test_batched_logistic_regression_is_that_of_scikit_learn():
    rng = keyed_rng("logistic")
    x, train = rng.normal(size=(120, 6)) * np.arange(1, 7), np.arange(120) < 90
    y = (rng.random((4, 120)) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    for shared, scores in ((y, fit_scores(x, y, train)), (y[0], fit_scores(np.stack([x, x]), y[0], train))):
        for labels, got in zip(np.atleast_2d(shared), scores, strict=False):
            fitted = LogisticRegression(C=1.0, tol=1e-8).fit(z[train], labels[train])
            assert np.allclose(got, fitted.decision_function(z), atol=2e-3)


def test_folds_keep_groups_whole_and_a_fold_without_a_class_does_not_count():
    groups = np.repeat(np.arange(20), 3)
    folds = make_folds(groups, 5, 2, keyed_rng("folds"))
    assert all(len(np.unique(row[groups == g])) == 1 for row in folds for g in range(20))
    assert (np.array([np.bincount(row) for row in folds]) == 12).all()
    y = np.zeros(60)
    y[:2] = 1  # one group
    value = cross_validated_aurocs(np.random.default_rng(0).normal(size=(60, 2)), y, folds)
    assert np.isnan(value).all()  # either training or testing lacks the class


def test_a_null_without_draws_and_a_value_that_is_not_defined_are_typed_rows():
    where = cells([0, 1], ["SV1"])
    rows = null_rows(where, np.array([0.1, 0.2]), np.empty((0, 2)), "degree", "greater", False, analysis="x")
    assert list(rows["status"]) == ["not_testable"] * 2
    assert rows["reason"].str.len().min() > 10
    rows = null_rows(where, np.array([np.nan, 0.2]), np.zeros((9, 2)), "strata", "greater", True, analysis="x")
    assert list(rows["status"]) == ["not_testable", "ok"]
    assert rows["p_floor"].tolist() == [0.1, 0.1]

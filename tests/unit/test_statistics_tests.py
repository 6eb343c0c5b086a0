from itertools import product

import numpy as np
import pytest
from scipy import stats

from opbench.statistics.tests import bh, bootstrap_means, signed_rank_exact, signed_rank_split


def brute_force(differences: np.ndarray) -> float:
    """Two-sided p over all sign flips of the mid-ranks: how often the rank sum is as far from its mean."""
    values = differences[differences != 0]
    ranks = stats.rankdata(np.abs(values))
    flips = np.array(list(product((0, 1), repeat=len(values)))) @ ranks
    mean = ranks.sum() / 2
    return float(np.mean(np.abs(flips - mean) >= abs(ranks[values > 0].sum() - mean) - 1e-9))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
@pytest.mark.parametrize("seed", range(6))
def test_exact_p_equals_all_sign_flips_with_ties_and_zeros(n, seed):
    rng = np.random.default_rng(seed)
    tied = rng.integers(-3, 4, size=n) / 10
    if not tied.any():
        tied[0] = 0.1
    for differences in (rng.normal(size=n), tied):
        found = signed_rank_exact(differences)
        assert found.p == pytest.approx(brute_force(differences), abs=1e-12)
        assert found.n == np.count_nonzero(differences)
        assert found.p >= found.p_floor


@pytest.mark.parametrize("n", [3, 14, 30, 49, 60])
def test_exact_p_equals_scipy_without_ties(n):
    rng = np.random.default_rng(n)
    for shift in (0, 0.4, 1.5):
        differences = rng.normal(shift, 1, n)
        expected = stats.wilcoxon(differences, method="exact")
        found = signed_rank_exact(differences)
        assert found.statistic == expected.statistic
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_floor_is_reached_when_all_signs_agree_and_rounding_makes_no_difference():
    fourteen = signed_rank_exact(np.arange(1, 15) / 100)
    assert fourteen.p == fourteen.p_floor == 2 / 2**14
    assert signed_rank_exact(np.zeros(5)) == (0, 1, 1, 0)
    noisy = np.array([0.1 + 0.2 - 0.3, 0.3 - 0.1, -0.2, 0.5])  # a zero and a tie, but for rounding errors
    assert signed_rank_exact(noisy) == signed_rank_exact(np.array([0, 0.2, -0.2, 0.5]))
    with pytest.raises(ValueError, match="finite"):
        signed_rank_exact(np.array([0.1, np.nan]))


@pytest.mark.parametrize("n", [4, 9, 14, 40, 88])
@pytest.mark.parametrize("kind", ["distinct", "tied", "zeros"])
def test_split_test_is_scipys_default(n, kind):
    rng = np.random.default_rng(n)
    differences = np.round(rng.normal(0.3, 1, n), {"distinct": 9, "tied": 1, "zeros": 9}[kind])
    if kind == "tied":
        differences[:2] = [0.7, -0.7]
    if kind == "zeros":
        differences[-1] = 0
    expected = stats.wilcoxon(differences)
    found = signed_rank_split(differences)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_bh_leaves_nan_out_of_the_family():
    p = np.array([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(bh(p), [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(bh(np.array([np.nan]))).all()
    assert bh(np.array([])).size == 0


def test_bootstrap_leaves_a_missing_donor_out_of_its_column_only():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 4))
    values[2, 1] = np.nan
    values[1:, 2] = np.nan
    values[:, 3] = np.nan
    mean, low, high = bootstrap_means(values, 2000, 3, 0.9)
    np.testing.assert_allclose(mean[:2], [values[:, 0].mean(), np.nanmean(values[:, 1])])
    alone = bootstrap_means(np.delete(values[:, 1:2], 2, axis=0), 2000, 3, 0.9)
    np.testing.assert_array_equal([low[1], high[1]], [alone[1][0], alone[2][0]])
    assert mean[2] == values[0, 2]
    assert np.isnan([low[2], high[2], mean[3], low[3]]).all()
    assert (low[:2] < mean[:2]).all()
    assert (mean[:2] < high[:2]).all()


def test_bootstrap_interval_has_the_width_of_the_standard_error():
    values = np.random.default_rng(1).normal(size=(200, 1))
    _, low, high = bootstrap_means(values, 5000, 0, 0.95)
    expected = 2 * 1.96 * values.std() / np.sqrt(200)
    assert (high - low)[0] == pytest.approx(expected, rel=0.05)

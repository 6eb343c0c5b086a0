"""Endpoints, probes, pseudotime and their nulls, on cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from opbench.readouts import endpoints as ep
from opbench.readouts.nulls import mean_null
from opbench.readouts.probes import class_scores, standardise
from opbench.readouts.pseudotime import DiffusionPseudotime, null_correlations, spearman, within_lineage


def test_small_classes_are_left_out_and_their_predictions_are_errors():
    truth = np.array([0] * 6 + [1] * 6 + [2] * 2)
    predicted = truth.copy()
    predicted[:3] = 2
    values, n = ep.multiclass(truth, predicted, min_cells=5)
    assert n == 12
    assert values["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert values["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(ep.multiclass(truth[:6], truth[:6], 5)[0]["macro_f1"])


def test_label_sets_that_share_a_stage_count_as_right():
    # 0 and 1 are trained label sets, 2 and 3 tested ones; 0 fits 2, and 1 fits both.
    compatible = np.eye(4, dtype=bool)
    compatible[0, 2] = compatible[1, 2] = compatible[1, 3] = True
    truth, predicted = np.array([2, 2, 3, 3]), np.array([0, 1, 1, 0])
    assert ep.compatible_prediction(predicted, truth, compatible).tolist() == [2, 2, 3, 2]
    same = np.eye(4, dtype=bool)
    assert ep.compatible_prediction(np.array([2, 3]), np.array([3, 3]), same).tolist() == [-1, 3]


def test_binary_needs_both_classes():
    positive = np.array([True] * 5 + [False] * 5)
    values, _ = ep.binary(positive, np.r_[np.full(5, -1.0), np.full(4, -2.0), 3.0], 5)
    assert values["auroc"] == pytest.approx(0.8)
    assert values["balanced_accuracy"] == pytest.approx(0.4)
    assert np.isnan(ep.binary(positive, np.zeros(10), 6)[0]["auroc"])


def test_probe_never_predicts_an_untrained_class_and_uses_training_scale():
    rng = np.random.default_rng(0)
    train, codes = rng.normal(size=(90, 3)), np.repeat([0, 2, 3], 30)
    train[:, 0] += 4 * codes
    scores = class_scores(train, codes, train, 5)
    assert np.isneginf(scores[:, [1, 4]]).all()
    assert (scores.argmax(1) == codes).mean() > 0.9
    scaled_train, scaled_test = standardise(train, train[:10] + 100)
    assert abs(scaled_train.mean()) < 1e-6
    assert scaled_test.mean() > 10
    two = class_scores(train, (codes == 3).astype(int), train, 2)
    assert (two.argmax(1) == (codes == 3)).mean() > 0.9


def test_diffusion_pseudotime_recovers_an_order_and_is_computed_once():
    rng = np.random.default_rng(0)
    t = np.sort(rng.random(120))
    line = np.column_stack([np.cos(2 * t), np.sin(2 * t)]) + rng.normal(0, 0.02, (120, 2))
    dpt = DiffusionPseudotime(neighbours=15)
    assert spearman(dpt(line, 0).values, t) > 0.95
    dpt(line, 0)
    assert dpt.fits == 1


def test_disconnected_cells_never_enter_a_correlation():
    rng = np.random.default_rng(1)
    blob = rng.normal(0, 0.1, (100, 3))
    few = np.vstack([blob, rng.normal(1e5, 0.1, (18, 3))])
    found = DiffusionPseudotime(neighbours=10)(few, 0)
    assert found.components == 2
    assert np.isnan(found.values[100:]).all()
    assert np.isfinite(found.values[:100]).all()
    half = np.vstack([blob, rng.normal(1e5, 0.1, (90, 3))])
    assert "components" in DiffusionPseudotime(neighbours=10)(half, 0).problem


def test_spearman_is_the_textbook_one_and_within_lineage_weighs_cells():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 50), rng.integers(0, 5, 50)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert np.isnan(spearman(a, np.ones(50)))
    pseudotime, depth = np.arange(30.0), np.r_[np.arange(20) // 10, 5 - np.arange(10) // 5]
    branch = np.repeat([0, 1], [20, 10])
    up, down = spearman(pseudotime[:20], depth[:20]), spearman(pseudotime[20:], depth[20:])
    assert within_lineage(pseudotime, depth, branch, 10) == pytest.approx((2 * up + down) / 3)


def test_nulls_match_brute_force():
    rng = np.random.default_rng(2)
    label = np.repeat(np.arange(5), [30, 20, 10, 25, 15])
    depth = np.array([0.0, 1, 2, 2, 4])[label]
    pseudotime = depth + rng.normal(size=100)
    fast = null_correlations(pseudotime, depth, label, 2000, seed=0)
    types = [np.array([0.0, 1, 2, 2, 4])[rng.permutation(5)][label] for _ in range(400)]
    permuted = [abs(spearmanr(pseudotime, values)[0]) for values in types]
    assert fast["pseudotime_null_permuted_mean"] == pytest.approx(np.mean(permuted), abs=0.04)
    random = [abs(spearmanr(rng.random(5)[label], depth)[0]) for _ in range(400)]
    assert fast["pseudotime_null_random_mean"] == pytest.approx(np.mean(random), abs=0.04)
    assert fast["pseudotime_null_cells_mean"] == pytest.approx(0.8 / 10, abs=0.02)


def test_null_of_the_mean_shares_a_type_s_value_over_donors():
    """With equal donors the mean over donors is one donor's |rho|: it must not average away."""
    donor = pd.DataFrame({"label": np.repeat(list("abcd"), 10), "depth": np.repeat([0.0, 1, 2, 3], 10)})
    one = mean_null(donor.assign(donor="x"), 300, 0)
    many = mean_null(pd.concat([donor.assign(donor=str(i)) for i in range(10)]), 300, 0)
    np.testing.assert_allclose(one, many)
    assert one.mean() > 0.3

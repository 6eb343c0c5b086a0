"""Anchor heads trained side by side are those that `fit_let` trains one by one."""

import numpy as np
import pytest

from opbench.adaptors.let import AnchorData, LetSettings, fit_let, fit_let_rates
from opbench.adaptors.let_batch import fit_let_batch, fit_let_batch_rates

RULER = np.abs(np.subtract.outer(np.arange(6), np.arange(6))).astype(float)
SIGNAL = np.random.default_rng(99).normal(size=(5, 6, 40)).cumsum(1)


def anchors(seed: int, n: int = 36) -> AnchorData:
    """Features of 5 heads; one feature is constant."""
    rng, label = np.random.default_rng(seed), np.arange(n) % 6
    features = (SIGNAL[:, label] + rng.normal(size=(5, n, 40))).astype(np.float32)
    features[:, :, 3] = 2
    return AnchorData(features, label, RULER)


def alone(data: AnchorData, i: int) -> AnchorData:
    return AnchorData(data.features[i], data.label, data.ruler)


def test_heads_of_a_fixed_budget_are_those_trained_alone():
    data, settings = anchors(0), LetSettings(width=4, learning_rate=0.01)
    found = fit_let_batch(data, settings, 7, 25)
    for i, head in enumerate(found):
        one = fit_let(alone(data, i), settings, 7, [25])[25]
        np.testing.assert_allclose(head.weight, one.weight, atol=1e-4)
        np.testing.assert_array_equal(head.mean, one.mean)
        np.testing.assert_array_equal(head.scale, one.scale)
        assert head.beta == pytest.approx(one.beta, abs=1e-5)
        assert head.loss == pytest.approx(one.loss, abs=1e-5)
        assert (head.epochs, head.status) == (25, "ok")
    assert np.abs(found[0].weight - found[1].weight).max() > 0.01


def test_blocks_do_not_change_heads():
    data, settings = anchors(0), LetSettings(width=4)
    for whole, small in zip(
        fit_let_batch(data, settings, 1, 30), fit_let_batch(data, settings, 1, 30, block=2), strict=True
    ):
        np.testing.assert_allclose(whole.weight, small.weight, atol=1e-4)


def test_each_head_takes_the_rate_with_the_lower_training_loss():
    data, settings, rates = anchors(0), LetSettings(width=4), [1.0, 0.01]
    found = fit_let_batch_rates(data, settings, rates, 7, 25)
    for i, head in enumerate(found):
        one, rate = fit_let_rates(alone(data, i), settings, rates, 7, 25)
        assert rate == 0.01  # steps of 1 do not settle
        assert head.loss == pytest.approx(one.loss, abs=1e-5)
        np.testing.assert_allclose(head.weight, one.weight, atol=1e-4)

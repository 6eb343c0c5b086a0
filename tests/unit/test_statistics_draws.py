"""A random arm's interval covers its draws as well as its donors."""

import numpy as np
import pandas as pd

from opbench.statistics.draws import by_draw, two_way_interval


def arms(rng, donors=14, draws=5, donor_sd=0.02, draw_sd=0.0):
    base = rng.normal(0, 0.1, (donors, 1))
    real = base + rng.normal(0, donor_sd, (donors, 1)) + rng.normal(0, draw_sd)
    return real, base + rng.normal(0, donor_sd, (donors, draws)) + rng.normal(0, draw_sd, draws)


def test_covers_a_real_arm_that_is_one_more_draw():
    """With a draw effect the donor-only interval misses far more often than the two-way one."""
    missed = {"two-way": 0, "donors": 0}
    for repeat in range(150):
        rng = np.random.default_rng(repeat)
        real, fake = arms(rng, draw_sd=0.03, draws=20)
        # an exchangeable "real" arm: compare another single draw with the rest
        low, high = two_way_interval(fake[:, :10], fake[:, 10:], 400, repeat, 0.95)
        missed["two-way"] += not low <= 0 <= high
        low, high = two_way_interval(
            fake[:, :10].mean(1, keepdims=True), fake[:, 10:].mean(1, keepdims=True), 400, repeat, 0.95
        )
        missed["donors"] += not low <= 0 <= high
        assert np.isfinite(real).all()
    assert missed["two-way"] / 150 < 0.12
    assert missed["donors"] > 3 * missed["two-way"]


def test_finds_a_real_difference_and_needs_two_donors():
    rng = np.random.default_rng(0)
    real, fake = arms(rng)
    low, high = two_way_interval(real + 0.1, fake, 500, 0, 0.95)
    assert 0.05 < low < 0.1 < high < 0.15
    assert np.isnan(two_way_interval(real[:1], fake[:1], 100, 0, 0.95)).all()


def test_draws_are_columns_and_splits_are_averaged():
    scores = pd.DataFrame({"label": "g", "donor": ["d", "d", "d", "e"], "draw": [0, 0, 1, 0], "value": [1.0, 3, 5, 7]})
    np.testing.assert_array_equal(by_draw(scores)["g"], [[2, 5], [7, np.nan]])

"""Planted truth: every analysis finds what is there, and its matched null holds its level in empty worlds.

A few dozen empty worlds a case show a null that is far off; benchmarks/geometry_level.py measures with 200 or more.
"""

import numpy as np
import pytest

from opbench.geometry.planted import TRIALS, trials
from opbench.geometry.planted_intervals import INTERVALS, intervals
from opbench.geometry.planted_worlds import count_of, detection_of, draw_tensor, strata_without_count
from opbench.io.seeds import keyed_rng

UNCOUNTED = "strata without count, max-T"
#: Analysis, tests that decide, tests that lose more than what is tested, in empty worlds; least power planted.
CASES = [
    ("compartments", ["strata, max-T"], [UNCOUNTED, "paper, one cell"], 0.8),
    ("compartments, order", ["peaks in order, strata"], [], 0.3),
    ("ppi", ["strata, max-T", "degree, max-T"], [], 0.4),
    ("ppi, alike", ["strata, max-T"], [UNCOUNTED, "degree, max-T", "paper, max-T"], 0.4),
    ("gradient", ["slope, strata, max-T"], [], 0.5),
    ("pair model", ["partial, strata, max-T"], ["raw, paper"], 0.8),
    (
        "tf_target",
        ["strata, max-T", "strata, mean over layers", "delta over covariates, max-T"],
        [UNCOUNTED, "paper, max-T"],
        0.8,
    ),
    ("tf_target, subspaces", ["random_subspaces, one layer"], [], 0.5),
    ("edges", ["targets, max-T", "residual, targets, max-T"], [], 0.8),
    ("edges, trend", ["layer trend, targets"], [], 0.1),
    ("signs", ["tf_signs, max-T"], ["all signs, max-T"], 0.8),
    ("convergence", ["three genes, matched count"], [], 0.3),
    ("markers", ["labels, mean over layers", "pseudo-panel, max-T"], [], 0.5),
    (
        "markers, counted",
        ["pseudo-panel, mean over layers"],
        ["labels, mean over layers", "pseudo-panel without count, mean over layers"],
        0.3,
    ),
    ("attention", ["strata, max-T", "complement, one block"], [UNCOUNTED, "paper, max-T"], 0.7),
]
#: P(more than this of 40 at level 0.05) is 0.003, of 25 and of 12 it is 0.001 and 0.002.
MOST = {40: 6, 25: 5, 12: 3}
#: Worlds of the trials that are quick, and of those that are slow.
REPEATS = {"compartments": 40, "signs": 40} | dict.fromkeys(
    ("tf_target", "tf_target, subspaces", "convergence", "attention", "markers, counted"), 12
)


@pytest.mark.parametrize(("name", "decides", "loses", "power"), CASES, ids=[case[0] for case in CASES])
def test_the_matched_null_holds_and_what_is_planted_is_found(name, decides, loses, power):
    repeats = REPEATS.get(name, 25)
    empty, planted = trials(name, False, repeats, 39), trials(name, True, 8 if repeats > 12 else 5, 39)
    for test in decides:
        assert (empty[test].dropna() <= 0.05).sum() <= MOST[repeats], test
        assert (planted[test].dropna() <= 0.05).mean() >= power, test
    for test in loses:
        assert (empty[test] <= 0.05).mean() >= 0.3, test


def test_every_trial_is_a_case():
    assert {case[0] for case in CASES} | {"ppi, groups"} == set(TRIALS)


def test_the_count_departs_from_detection_and_strata_without_it_leave_it_free():
    """With counts that are a multiple of detection, a null that ignores the count could not fail."""
    tensor = draw_tensor(keyed_rng("departs"))
    level, strata = count_of(tensor), strata_without_count(tensor)
    assert 0.4 < np.corrcoef(level, detection_of(tensor))[0, 1] < 0.9
    assert (tensor.count <= np.maximum(1, np.round(256 * tensor.detection))).all()
    within = np.concatenate([level[strata == s] - level[strata == s].mean() for s in np.unique(strata)])
    assert within.std() > 0.4 * level.std()
    assert np.corrcoef(level, tensor.tensor[0, :, 0])[0, 1] > 0.4


@pytest.mark.parametrize("name", INTERVALS)
def test_intervals_cover_and_are_not_far_too_wide(name):
    made = intervals(name, 50, 99)
    assert made["misses"].sum() <= 8  # 2.5 are expected; P(more) is 0.001
    width = (made["ci_high"] - made["ci_low"]).mean() / (2 * 1.96 * made["value"].std())
    assert 0.7 < width < 3

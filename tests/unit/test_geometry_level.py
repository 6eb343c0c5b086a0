"""Planted truth: every analysis finds what is there, and its matched null holds its level in empty worlds.

A few dozen empty worlds a case show a null that is far off; benchmarks/geometry_level.py measures with 200 or more.
"""

import pytest

from opbench.geometry.planted import TRIALS, trials

#: Analysis, tests that decide, tests that lose more than what is tested, in empty worlds; least power planted.
CASES = [
    ("compartments", ["strata, max-T"], ["paper, one cell"], 0.8),
    ("ppi", ["strata, max-T", "degree, max-T"], [], 0.4),
    ("ppi, alike", ["strata, max-T"], ["degree, max-T", "paper, max-T"], 0.4),
    ("gradient", ["slope, strata, max-T"], [], 0.5),
    ("pair model", ["partial, strata, max-T"], ["raw, paper"], 0.8),
    ("tf_target", ["strata, max-T", "delta over covariates, max-T"], ["paper, max-T"], 0.8),
    ("edges", ["targets, max-T", "residual, targets, max-T"], [], 0.8),
    ("signs", ["tf_signs, max-T"], ["all signs, max-T"], 0.8),
    ("convergence", ["three genes, matched"], [], 0.3),
    ("markers", ["labels, mean over layers"], [], 0.5),
    ("attention", ["strata, max-T", "complement, one block"], ["paper, max-T"], 0.7),
]
#: P(more than this of 40 at level 0.05) is 0.003, of 25 is 0.001.
MOST = {40: 6, 25: 5}


@pytest.mark.parametrize(("name", "decides", "loses", "power"), CASES, ids=[case[0] for case in CASES])
def test_the_matched_null_holds_and_what_is_planted_is_found(name, decides, loses, power):
    repeats = 40 if name in ("compartments", "signs", "markers") else 25
    empty, planted = trials(name, False, repeats, 39), trials(name, True, 8, 39)
    for test in decides:
        assert (empty[test].dropna() <= 0.05).sum() <= MOST[repeats], test
        assert (planted[test].dropna() <= 0.05).mean() >= power, test
    for test in loses:
        assert (empty[test] <= 0.05).mean() >= 0.3, test


def test_every_trial_is_a_case():
    assert {case[0] for case in CASES} | {"ppi, groups"} == set(TRIALS)

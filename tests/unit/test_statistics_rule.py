"""The rule, case by case: one comparison to its outcome, a claim's comparisons to its verdict."""

import pandas as pd
import pytest

from opbench.config.evidence import Evidence
from opbench.statistics.rule import judge_claim, outcome

NAN = float("nan")
#: A comparison that wins: lead 0.05, floor 0.02, interval above 0, q and p small, far from equivalent.
WIN = {
    "n_donors": 14, "effect": 0.05, "null_floor": 0.02, "ci_low": 0.03, "ci_high": 0.07, "q": 0.01, "p": 0.002,
    "p_equivalence": 0.9, "margin": 0.02,
}  # fmt: skip
LOSS = {"effect": -0.05, "ci_low": -0.07, "ci_high": -0.03}


@pytest.mark.parametrize(
    ("change", "expected", "told"),
    [
        ({}, "beats", "difference +0.050 [+0.030, +0.070], null floor 0.020, q 0.01"),
        ({"q": NAN}, "beats", "p 0.002"),
        (LOSS, "loses", "difference -0.050"),
        ({"null_floor": 0.05}, "not_separable", "within the null floor"),
        (LOSS | {"null_floor": 0.05}, "not_separable", "within the null floor"),
        ({"ci_low": 0.0}, "not_separable", "interval holds 0"),
        (LOSS | {"ci_high": 0.001}, "not_separable", "interval holds 0"),
        ({"q": 0.05}, "not_separable", "q not below 0.05"),
        ({"q": NAN, "p": 0.05}, "not_separable", "p not below 0.05"),
        ({"q": 0.06, "p": 0.002}, "not_separable", "q not below 0.05"),
        ({"effect": 0.0, "ci_low": -0.01, "ci_high": 0.01, "p_equivalence": 0.2}, "not_separable", "within"),
        ({"effect": 0.0, "ci_low": -0.01, "ci_high": 0.01, "p_equivalence": 0.01}, "equivalent", "±the null floor"),
        ({"null_floor": 0.06, "p_equivalence": 0.01, "margin": 0.07}, "equivalent", "±0.070"),
        ({"p_equivalence": 0.01}, "beats", "difference"),  # a lead inside the margin is still a lead
        ({"n_donors": 7}, "not_testable", "7 donors, fewer than 8"),
        ({"null_floor": NAN}, "not_testable", "no null floor"),
        ({"kind": "random", "n_draws": 4, "rank": 0}, "not_testable", "4 draws, fewer than 5"),
        ({"kind": "random", "n_draws": 5, "rank": 1}, "beats", "1 of 5 draws at least as good"),
        ({"kind": "fixed", "n_draws": 1}, "beats", "difference"),
        ({"capped_control": 0.5, "capped_real": 0.3}, "not_testable", "50% of the control's heads were still training"),
        ({"capped_control": 0.5, "capped_real": 0.45}, "beats", "difference"),
        (LOSS | {"capped_control": 0.5, "capped_real": 0.0}, "loses", "difference"),  # behind what is not even trained
    ],
)
def test_outcome(change, expected, told):
    found = outcome(WIN | change, alpha=0.05, min_donors=8, min_draws=5)
    assert found.outcome == expected
    assert told in found.reason


RULE = Evidence(must_beat=["gaussian", "uniform"], trivial=["identity", "floor_mean"])
READ = {"floor_mean": "beats", "identity": "beats"}
WON = {"gaussian": "beats", "uniform": "beats"}


def claim(outcomes: dict[str, str], endpoint="e", **columns) -> pd.DataFrame:
    """Evidence rows of one endpoint; the later a control is named, the smaller is its lead."""
    rows = [
        {"control": control, "outcome": found, "effect": 0.3 - 0.1 * place, "reason": f"about {control}"}
        for place, (control, found) in enumerate(outcomes.items())
    ]
    frame = pd.DataFrame(rows).assign(
        endpoint=endpoint, null_floor=0.02, subset="all", run="r", panel="p", campaign="c"
    )
    family = frame["control"].map(lambda control: "verdict" if control in RULE.must_beat else "readable")
    return frame.assign(family=family).assign(**columns)


@pytest.mark.parametrize(
    ("outcomes", "verdict", "readable", "told"),
    [
        (WON | READ, "model_specific", True, "the strongest is uniform on e: about uniform"),
        (WON, "not_testable", None, "none of identity, floor_mean ran"),
        (WON | READ | {"identity": "not_separable"}, "not_separable", False, "but not identity on e: about identity"),
        (WON | READ | {"floor_mean": "loses"}, "not_separable", False, "but not floor_mean on e"),
        (WON | READ | {"uniform": "not_separable"}, "not_separable", True, "uniform on e"),
        (WON | {"uniform": "equivalent"}, "not_separable", None, "matched control: uniform"),
        ({"gaussian": "not_separable"}, "not_separable", None, "gaussian on e"),  # one missing arm excuses nothing
        (WON | READ | {"uniform": "loses"}, "contradicted", True, "against the claim: uniform"),
        ({"gaussian": "not_separable", "uniform": "loses"}, "contradicted", None, "against"),
        ({"gaussian": "beats"} | READ, "readable", True, "no uniform at budget plateau on e"),
        (WON | READ | {"uniform": "not_testable"}, "readable", True, "uniform on e: about uniform"),
        ({"gaussian": "beats"}, "not_testable", None, "no uniform"),
        ({"gaussian": "beats", "floor_mean": "not_separable"}, "not_testable", False, "no uniform"),
        ({"gaussian": "not_testable", "uniform": "not_testable"} | READ, "not_testable", True, "about gaussian"),
        (READ, "not_testable", True, "no comparison that carries a verdict on e"),
    ],
)
def test_verdict(outcomes, verdict, readable, told):
    found = judge_claim(claim(outcomes), ["e"], RULE)
    assert (found.verdict, found.readable) == (verdict, readable)
    assert told in found.reason


def test_a_claim_that_the_real_operator_is_worse_is_read_from_the_other_side():
    lost = claim({"gaussian": "loses", "uniform": "loses"})
    assert judge_claim(lost, ["e"], RULE).verdict == "contradicted"
    assert judge_claim(lost, ["e"], RULE, direction=-1).verdict == "model_specific"
    assert judge_claim(claim(WON), ["e"], RULE, direction=-1).verdict == "contradicted"
    assert judge_claim(claim(WON | READ), ["e"], RULE, direction=-1).readable


def test_a_claim_on_two_endpoints_must_hold_on_both():
    both = pd.concat([claim(WON | READ), claim(WON | {"gaussian": "not_separable"}, "f")])
    assert judge_claim(both, ["e"], RULE).verdict == "model_specific"
    assert judge_claim(both, ["e", "f"], RULE).verdict == "not_separable"
    assert "no comparison that carries a verdict on g" in judge_claim(both, ["e", "g"], RULE).reason
    assert judge_claim(both, ["e", "g"], RULE).verdict == "not_testable"


def test_the_strongest_control_leaves_the_smallest_lead_beyond_its_floor():
    rows = claim(WON)
    rows["null_floor"] = [0.25, 0.02]  # leads beyond the floor: 0.05 and 0.18
    assert judge_claim(rows, ["e"], RULE).strongest == "gaussian"
    rows["null_floor"] = 0.02
    assert judge_claim(rows, ["e"], RULE).strongest == "uniform"


@pytest.mark.parametrize("column", [{"family": "descriptive"}, {"family": "healthy"}, {"subset": "healthy"}])
def test_rows_outside_the_family_decide_nothing(column):
    assert judge_claim(claim(WON, **column), ["e"], RULE).verdict == "not_testable"


def test_rows_of_two_campaigns_are_refused():
    with pytest.raises(ValueError, match="one campaign"):
        judge_claim(pd.concat([claim(WON), claim(WON, campaign="d")]), ["e"], RULE)

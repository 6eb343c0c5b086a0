"""What is not shown counts for nothing: an absent difference, a lead within the null floor, an absent competitor."""

import numpy as np
import pandas as pd
import pytest
from claims_tables import DONORS, changed, found, one, only, rows, without, world

from opbench.io import tables as contracts

GAUSSIAN = {"campaign": "arms", "control": "gaussian", "endpoint": "branch_balanced_accuracy", "budget": "plateau"}


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({"effect": 0.001, "ci_low": -0.02, "ci_high": 0.02, "p": 0.9, "p_equivalence": 0.4}, "undecided"),
        ({"effect": 0.001, "ci_low": -0.005, "ci_high": 0.005, "p": 0.9, "p_equivalence": 0.01}, "holds"),
        ({"effect": -0.03, "ci_low": -0.04, "ci_high": -0.02, "p": 0.01, "p_equivalence": 0.9}, "holds"),
        ({"effect": -0.03, "ci_low": -0.09, "ci_high": 0.02, "p": 0.2, "p_equivalence": 0.9}, "undecided"),
        ({"effect": 0.03, "ci_low": 0.02, "ci_high": 0.04, "p": 0.01, "p_equivalence": 0.9}, "contradicted"),
        ({"n_draws": 2}, "not_testable"),
    ],
)
def test_a_tie_needs_equivalence(numbers, verdict):
    row = one(found(changed("evidence", GAUSSIAN, **numbers), only(26)), 26, "cell head, branch")
    assert (row["analogue"], row["campaign"]) == (
        verdict,
        "arms",
    )  # donor folds with most draws, not the other campaign
    if verdict == "undecided":
        assert "P equivalence" in row["analogue_reason"]


def sweeps(real: np.ndarray | float, width: int = 10) -> dict[str, pd.DataFrame]:
    """Anchor heads whose real operator lies `real` above the donors; the mean Gaussian is 0.01 above them."""
    frame = world()["sweeps"].copy()
    hit = (frame["sweep"] == "width") & (frame["arm"] == "real") & (frame["width"] == width)
    frame.loc[hit, "value"] = np.arange(len(DONORS)) + real
    return world() | {"sweeps": frame}


@pytest.mark.parametrize(
    ("real", "verdict"),
    [
        (0.012, "holds"),  # a lead, but within the null floor of 0.004
        (0.02, "contradicted"),
        (0.01 + 0.05 * np.tile([1, -1], 5), "undecided"),
        (-0.02, "holds"),
    ],
)
def test_anchor_heads_have_a_null_floor_and_no_campaign(real, verdict):
    row = one(found(sweeps(real), only(26)), 26, "anchor head, width 10")
    assert row["analogue"] == verdict
    assert row["null_floor"] == pytest.approx(0.004)
    assert (row["panel"], row["campaign"]) == ("p", "")
    assert row["case"] == "anchor head, width 10, branch_balanced_accuracy, p"


def test_one_draw_gives_no_floor():
    tables = without("sweeps", arm="gaussian_halves", draw=[1, 2, 3, 4])
    row = one(found(tables, only(26)), 26, "anchor head, width 50")
    assert row["analogue"] == "not_testable"
    assert "single member" in row["analogue_reason"]


@pytest.mark.parametrize(("slope", "n", "verdict"), [(0, 100, "holds"), (0, 24, "undecided"), (1, 100, "contradicted")])
def test_a_correlation_is_absent_when_its_interval_is_narrow(slope, n, verdict):
    frame = world()["sweeps"]
    heads = frame[frame["sweep"] == "heads"].drop_duplicates(["endpoint", "donor"])
    score, other = np.arange(n) % 2, np.arange(n) // 2 % 2
    parts = []
    for head in range(n):
        value = np.where(heads["endpoint"] == "selection_score", score[head], other[head] + slope * score[head])
        parts.append(heads.assign(operator=f"head-{head}", value=value.astype(float)))
    tables = world() | {"sweeps": pd.concat(parts)}
    row = one(found(tables, only(28)), 28, "subtype")
    assert row["analogue"] == verdict
    assert row["ci_low"] < row["value"] < row["ci_high"]


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, "holds"), (0.02, "contradicted"), (0.05 * np.tile([1, -1], 5), "undecided")],
)
def test_gram_is_no_better_only_when_its_interval_says_so(shift, verdict):
    scores = world()["scores"].copy()
    hit = (scores["arm"] == "gram") & (scores["endpoint"] == "branch_balanced_accuracy")
    extra = pd.Series(shift, DONORS)
    scores.loc[hit, "value"] += scores.loc[hit, "donor"].map(extra)
    assert one(found(world() | {"scores": scores}, only(30)), 30, "branch")["analogue"] == verdict


def test_a_lead_within_the_floor_is_none():
    where = {"campaign": "arms", "endpoint": "branch_balanced_accuracy", "budget": "plateau", "width": 10}
    table = found(changed("evidence", where, effect=0.002, ci_low=0.001, ci_high=0.003), only(27))
    assert one(table, 27, "cell head, plateau, branch")["analogue"] == "undecided"
    where["budget"] = "fixed"
    table = found(changed("evidence", where, effect=-0.002, ci_low=-0.003, ci_high=-0.001), only(27))
    assert one(table, 27, "cell head, fixed budget, branch")["analogue"] == "undecided"
    table = found(changed("evidence", where, effect=-0.02, ci_low=-0.03, ci_high=-0.01), only(27))
    assert one(table, 27, "cell head, fixed budget, branch")["analogue"] == "holds"


def test_arms_of_the_fixed_budget_are_counted_there():
    arms = ["gaussian", "shuffle", "uniform"]
    table = found(without("evidence", budget="fixed", control=arms), only(27))
    assert "arms fixed (2)" in one(table, 27, "cell head, fixed budget, branch")["analogue_reason"]
    assert one(table, 27, "cell head, plateau, branch")["analogue"] == "holds"


@pytest.mark.parametrize(
    ("control", "numbers", "verdict"),
    [
        # No operator lies at 0.60, the real one at 0.69: half of its margin is 0.045, the floor of shuffles 0.004.
        ("shuffle", {"control_value": 0.646}, "holds"),
        ("shuffle", {"control_value": 0.643}, "undecided"),
        ("shuffle", {"control_value": 0.62}, "contradicted"),
        ("identity", {"null_floor": 0.1}, "not_testable"),
    ],
)
def test_shuffled_values_keep_half_of_a_margin_that_is_one(control, numbers, verdict):
    where = {"campaign": "arms", "control": control, "endpoint": "branch_balanced_accuracy", "width": 10}
    assert one(found(changed("evidence", where, **numbers), only(29)), 29, "branch")["analogue"] == verdict


def test_absent_alternatives_are_named():
    tables = world()
    pairs = tables["comparisons"]
    gone = pairs[(pairs["method_a"] != "scvi") & (pairs["method_b"] != "scvi")]
    row = one(found(tables | {"comparisons": gone}, only(13)), 13, "lead")
    assert row["analogue"] == "not_testable"
    assert "nothing of scvi where" in row["analogue_reason"]
    assert row["value"] == pytest.approx(0.01)
    arm = "direct_mlp (64)"
    gone = pairs[(pairs["method_a"] != arm) & (pairs["method_b"] != arm)]
    row = one(found(tables | {"comparisons": gone}, only(16)), 16)
    assert row["analogue"] == "not_testable"
    assert "nothing of 64 where" in row["analogue_reason"]


def test_every_alternative_must_be_led():
    """The smallest effect is not always the least certain one."""
    pairs = world()["comparisons"]
    labels = pairs.loc[pairs["method_a"].str.startswith("extracted_head [plateau]"), "method_a"].unique()
    wide = changed("comparisons", {"method_a": list(labels), "method_b": "scvi"}, ci_low=-0.1, ci_high=0.3)
    row = one(found(wide, only(13)), 13, "lead")
    assert row["analogue"] == "not_separable"
    assert "lowest (-0.1) is not above 0" in row["analogue_reason"]


def test_six_of_eight_needs_six():
    few = ["branch_balanced_accuracy", "branch_macro_f1", "stage_balanced_accuracy"]
    row = one(found(without("comparisons", endpoint=few), only(15)), 15)
    assert row["analogue"] == "not_testable"
    assert "endpoints (5) is not at least 6" in row["analogue_reason"]


def test_blood_and_marrow_both_speak():
    """Another panel whose labels have the paper's own endpoint is not hidden by one that has a stand-in."""
    tables = {}
    for name in ("scores", "summary", "comparisons", "evidence", "splits"):
        frame = world()[name]
        blood = frame[frame["campaign"] == "lodo"].assign(panel="q", campaign="blood")
        if "endpoint" in blood:
            named = blood["endpoint"].str.replace("t_vs_ctl", "cd4_vs_cd8").str.replace("mono_vs_dc", "cd14_vs_fcgr3a")
            blood["endpoint"] = named
        tables[name] = pd.concat([frame, blood], ignore_index=True)
        contracts.to_table(tables[name], getattr(contracts, name.upper()), name)
    table = found(world() | tables, only(14, 15, 16, 31))
    for number in (14, 16, 31):
        assert set(zip(rows(table, number)["panel"], rows(table, number)["endpoint"], strict=True)) >= {
            ("p", "t_vs_ctl_auroc"), ("q", "cd4_vs_cd8_auroc"),
        }  # fmt: skip
    assert set(rows(table, 15)["campaign"]) == {"lodo", "blood"}


def test_a_frozen_campaign_is_the_last_resort():
    tables = changed("splits", {"campaign": ["lodo", "arms"]}, design="frozen")
    assert "lodo" in set(rows(found(tables, only(14)), 14)["campaign"])

"""Performance claims without a campaign: control rows of the same table, once there is such a table."""

import pandas as pd
import pytest
from claims_tables import found, one, only

#: Arm -> height of its value; random arms have five draws 0.001 apart about it, others two seeds.
HEIGHTS = {"real": 0.9, "gaussian_halves": 0.8, "shuffle": 0.8, "row_permuted": 0.8, "uniform": 0.8,
           "coexpression": 0.8, "identity": 0.7, "label_lookup": 0.99}  # fmt: skip
RANDOM = ("gaussian_halves", "shuffle", "row_permuted", "label_lookup")


def arms(column: str = "value", draws: int = 5, heights: dict[str, float] = HEIGHTS, **about: object) -> pd.DataFrame:
    records = []
    for arm, height in heights.items():
        n = draws if arm in RANDOM else 2
        shift = 0.001 if arm in RANDOM else 0.0
        records += [{"arm": arm, "draw": k, column: height + (k - (n - 1) / 2) * shift} for k in range(n)]
    return pd.DataFrame(records).assign(run="r", panel="p", **about)


def trust(**changes: float) -> pd.DataFrame:
    kept = {name: changes.get(name, height) for name, height in HEIGHTS.items() if changes.get(name, 0) is not None}
    return arms(heights=kept, part="internal", gate="trustworthiness")


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({}, "model_specific", "beats every control"),
        ({"shuffle": 0.897}, "not_separable", "shuffle"),  # its best draw is 0.899, the floor 0.004
        ({"shuffle": 0.89}, "model_specific", "shuffle"),
        ({"uniform": 0.95}, "contradicted", "uniform"),
        ({"uniform": None}, "readable", "no uniform"),
        ({"identity": 0.95}, "not_separable", "but not identity"),
        ({"identity": None}, "not_testable", "none of identity"),
    ],
)
def test_gates_are_judged_in_their_own_table(changes, verdict, said):
    row = one(found({"gates": trust(**changes)}, only(5)), 5)
    assert row["value"] == pytest.approx(0.9)
    assert row["analogue"] == verdict
    assert said.lower() in row["analogue_reason"].lower()


def test_few_draws_give_no_verdict():
    table = arms(draws=3, part="internal", gate="trustworthiness")
    row = one(found({"gates": table}, only(5)), 5)
    assert "3 draws, fewer than 5" in row["analogue_reason"]
    assert row["analogue"] == "readable"


def test_without_the_table_or_its_arms_the_reason_says_so():
    assert one(found({}, only(5)), 5)["analogue_reason"] == "Table 'gates' is not in this run."
    plain = trust().query("arm == 'real'").drop(columns="draw")
    assert "has no draw" in one(found({"gates": plain}, only(5)), 5)["analogue_reason"]


def test_the_label_lookup_is_shown_and_need_not_be_beaten():
    row = one(found({"gates": arms(part="internal", gate="geodesic")}, only(6)), 6)
    assert row["analogue"] == "model_specific"
    assert (row["strongest_control"], row["control_value"]) == ("label_lookup", pytest.approx(0.99))
    for number in (6, 7, 8, 9):
        assert "label_lookup" not in only(number).claims[0].controls.arms


def test_losses_are_better_when_they_are_fewer_and_a_claim_of_a_loss_wants_more():
    heights = {name: 3 - height for name, height in HEIGHTS.items()}  # the real operator loses least
    few = arms("losses", heights=heights, variant="rank64")
    assert (
        one(found({"compaction": few.assign(variant="top1")}, only(20)), 20)["analogue"] == "not_separable"
    )  # 2.1 > 1
    few["losses"] -= 1.5
    assert one(found({"compaction": few.assign(variant="top1")}, only(20)), 20)["analogue"] == "model_specific"
    assert one(found({"compaction": few}, only(21)), 21, "rank 64")["analogue"] == "contradicted"
    many = arms("losses", variant="rank64")
    assert one(found({"compaction": many}, only(21)), 21, "rank 64")["analogue"] == "model_specific"


def test_a_core_that_is_not_enough_lies_below_random_ones():
    quantity = "core_branch_balanced_accuracy"
    assert one(found({"factors": arms(quantity=quantity)}, only(23)), 23, "branch")["analogue"] == "contradicted"
    low = arms(quantity=quantity, heights=HEIGHTS | {"real": 0.5})
    assert one(found({"factors": low}, only(23)), 23, "branch")["analogue"] == "model_specific"


@pytest.mark.parametrize(
    ("passed", "verdict"), [([True, True], "contradicted"), ([True, False], "holds"), ([False, False], "holds")]
)
def test_a_null_branch_that_passes_all_gates_contradicts(passed, verdict):
    table = pd.DataFrame({"gate": ["a", "b"], "passed": passed, "value": [0.9, 0.9]})
    table = table.assign(run="r", panel="p", part="null_branch", arm="real", draw=0)
    assert one(found({"gates": table}, only(11)), 11)["analogue"] == verdict


@pytest.mark.parametrize(
    ("number", "name", "about", "control"),
    [
        (10, "gates", {"part": "control", "gate": "trustworthiness"}, "random_labels"),
        (12, "gates", {"part": "dimension", "gate": ["objective_3", "objective_6", "objective_10"]}, "gaussian"),
        (22, "factors", {"quantity": "top4_share"}, "gaussian"),
        (25, "manifold2", {"quantity": "margin_pca2"}, "shuffled_path"),
    ],
)
def test_claims_that_need_a_control_are_not_testable_without(number, name, about, control):
    table = pd.DataFrame(about if isinstance(about.get("gate"), list) else about | {"x": [0]})
    table = table.assign(run="r", panel="p", arm="real", draw=0, value=[0.6, 0.7, 0.75][: len(table)])
    table = table.assign(ci_low=table["value"] - 0.1, ci_high=table["value"] + 0.1)
    row = one(found({name: table}, only(number)), number)
    assert row["analogue"] == "not_testable"
    assert control in row["analogue_reason"]
    both = pd.concat([table, table.assign(arm=control, value=0.3)])
    row = one(found({name: both}, only(number)), number)
    assert row["control_value"] == pytest.approx(0.3)
    assert control not in row["analogue_reason"] or row["analogue"] != "not_testable" or number == 22

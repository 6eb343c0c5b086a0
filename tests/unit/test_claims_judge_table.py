"""Claims on tables of the discovery chain: control rows of the same table stand in for a campaign's evidence."""

import pandas as pd
import pytest
from claims_tables import chain, found, one, only, rows

#: Arm -> height of its value; random arms have five draws 0.001 apart about it, others two seeds.
HEIGHTS = {"real": 0.9, "gaussian_halves": 0.8, "shuffle": 0.8, "row_permuted": 0.8, "uniform": 0.8,
           "coexpression": 0.8, "identity": 0.7, "label_lookup": 0.99}  # fmt: skip
RANDOM = ("gaussian_halves", "shuffle", "row_permuted", "label_lookup")
BRANCH, SUBTYPE, MONO = "branch_balanced_accuracy", "t_vs_ctl_auroc", "mono_vs_dc_auroc"


def arms(
    name: str, column: str = "value", draws: int = 5, heights: dict[str, float] = HEIGHTS, **about: object
) -> pd.DataFrame:
    records = []
    for arm, height in heights.items():
        n = draws if arm in RANDOM else 2
        shift = 0.001 if arm in RANDOM else 0.0
        records += [{"arm": arm, "draw": k, column: height + (k - (n - 1) / 2) * shift} for k in range(n)]
    return chain(name, records, **about)


def trust(gate: str = "trustworthiness", **changes: float) -> pd.DataFrame:
    kept = {name: changes.get(name, height) for name, height in HEIGHTS.items() if changes.get(name, 0) is not None}
    return arms("gates", heights=kept, part="internal", gate=gate)


def judged(number: int, case: str = "", **tables: pd.DataFrame) -> pd.Series:
    """The only row of a claim and case on these tables."""
    table = found(tables, only(number))
    assert len(rows(table, number, case)) == 1
    return one(table, number, case)


def uncounted(name: str, reason: str, **about: object) -> pd.DataFrame:
    return chain(name, [{"status": "not_testable", "reason": reason}], **about)


@pytest.mark.parametrize(("gate", "case"), [("trustworthiness", "p"), ("trust_margin", "beyond random")])
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
def test_gates_are_judged_in_their_own_table(gate, case, changes, verdict, said):
    row = judged(5, case, gates=trust(gate, **changes))
    assert row["value"] == pytest.approx(0.9)
    assert row["analogue"] == verdict
    assert said.lower() in row["analogue_reason"].lower()


def test_only_gates_of_the_rules_budget_and_of_the_part_are_read():
    table = trust()
    other = [table.assign(budget="fixed", value=0.1), table.assign(part="external", value=0.2)]
    row = judged(5, "p", gates=pd.concat([table, *other]))
    assert (row["value"], row["analogue"]) == (pytest.approx(0.9), "model_specific")
    row = judged(5, "p", gates=other[0])
    assert row["analogue"] == "not_testable"
    assert 'budget == "plateau"' in row["analogue_reason"]


def test_the_reference_of_random_projections_stands_beside_trust():
    row = judged(5, "p", gates=pd.concat([trust(), trust("trust_reference", real=0.85)]))
    assert (row["strongest_control"], row["control_value"]) == ("reference", pytest.approx(0.85))


def test_gates_of_the_external_part_have_a_case_each():
    gates = ("trustworthiness", "random", "donor", "branch", "trust_margin", "correlation_between")
    tables = [arms("gates", heights=HEIGHTS | {"real": 0.9 + k / 100}, part="external", gate=gate)
              for k, gate in enumerate(gates)]  # fmt: skip
    table = found({"gates": pd.concat([*tables, trust(real=0.1)])}, only(8))
    assert table["value"].tolist() == pytest.approx([0.9 + k / 100 for k in range(6)])
    assert set(table["analogue"]) == {"model_specific"}


def test_few_draws_give_no_verdict():
    row = judged(5, "p", gates=arms("gates", draws=3, part="internal", gate="trustworthiness"))
    assert "3 draws, fewer than 5" in row["analogue_reason"]
    assert row["analogue"] == "readable"


def test_draws_that_do_not_count_are_none():
    table = trust()
    table.loc[(table["arm"] == "shuffle") & (table["draw"] > 2), ["status", "value"]] = ["failed", 5.0]
    row = judged(5, "p", gates=table)
    assert "shuffle: 3 draws, fewer than 5" in row["analogue_reason"].lower()


def test_without_the_table_or_its_arms_the_reason_says_so():
    assert one(found({}, only(5)), 5)["analogue_reason"] == "Table 'gates' is not in this run."
    plain = trust().query("arm == 'real'").drop(columns="draw")
    assert "has no draw" in judged(5, "p", gates=plain)["analogue_reason"]


def test_the_label_lookup_is_shown_and_need_not_be_beaten():
    row = judged(6, gates=arms("gates", part="internal", gate="geodesic"))
    assert row["analogue"] == "model_specific"
    assert (row["strongest_control"], row["control_value"]) == ("label_lookup", pytest.approx(0.99))
    for number in (6, 7, 8, 9):
        assert "label_lookup" not in only(number).claims[0].controls.arms


@pytest.mark.parametrize(
    ("real", "null", "verdict"),
    [
        ([True] * 3, [True] * 4, "contradicted"),
        ([True] * 3, [True] * 2 + [False] * 2, "contradicted"),
        ([True] * 3, [True] + [False] * 3, "fails"),
        ([True] * 3, [False] * 4, "holds"),
        ([True, True, False], [False] * 4, "holds"),
        ([False] * 3, [False] * 4, "not_testable"),
        ([True, False], [False] * 4, "not_testable"),
    ],
)
def test_false_rulers_fail_where_the_real_one_passes(real, null, verdict):
    about = {"internal": real, "null_branch": null}
    row = judged(11, gates=pd.concat([gate_all(part, passed) for part, passed in about.items()]))
    assert row["analogue"] == verdict
    assert row["value"] == pytest.approx(sum(null) / len(null))
    assert row["control_value"] == pytest.approx(sum(real) / len(real))
    assert ("does not apply: real passed" in row["analogue_reason"]) == (verdict == "not_testable")


def gate_all(part: str, passed: list[bool], **about: object) -> pd.DataFrame:
    records = [{"draw": draw, "passed": one, "value": float(one)} for draw, one in enumerate(passed)]
    other = chain("gates", records, part=part, gate="branch").assign(passed=True)  # a single gate says nothing
    return pd.concat([chain("gates", records, part=part, gate="all", **about), other])


def test_a_ruler_that_could_not_be_tested_is_no_failed_gate():
    real, null = gate_all("internal", [True]), gate_all("null_branch", [True])
    idle = [uncounted("gates", "2 classes", part="null_branch", gate="all", draw=1 + k) for k in range(30)]
    row = judged(11, gates=pd.concat([real, null, *idle]))
    assert (row["value"], row["analogue"]) == (1.0, "contradicted")  # 1 of 31, were they failures: it would hold
    row = judged(11, gates=pd.concat([real, *idle]))
    assert row["analogue"] == "not_testable"
    assert row["analogue_reason"].endswith(": 2 classes.")


@pytest.mark.parametrize(
    ("at_3", "at_6", "at_10", "verdict"),
    [
        ((0.50, 0.51), (0.60, 0.59), (0.61, 0.62), "holds"),
        ((0.50, 0.51), (0.60, 0.59), (0.70, 0.58), "undecided"),  # means rise, the second seed does not
        ((0.50, 0.61), (0.60, 0.59), (0.70, 0.70), "undecided"),
        ((0.50, 0.51), (0.60, 0.59), (0.40, 0.41), "contradicted"),
    ],
)
def test_every_head_seed_must_rise_with_width(at_3, at_6, at_10, verdict):
    row = judged(12, gates=dimension(at_3, at_6, at_10))
    assert row["value"] == pytest.approx(sum(at_10) / 2)
    assert (row["analogue"], row["strongest_control"]) == (verdict, "gaussian_at_10")
    assert row["control_value"] == pytest.approx(0.3)


def dimension(*by_width: tuple[float, ...], controls: bool = True) -> pd.DataFrame:
    records = [
        {"gate": f"objective_{width}", "draw": draw, "value": value}
        for width, values in zip((3, 6, 10), by_width, strict=True)
        for draw, value in enumerate(values)
    ]
    gaussian = [{"gate": "objective_10", "arm": "gaussian_halves", "draw": k, "value": 0.3} for k in range(5)]
    return chain("gates", records + gaussian * controls, part="dimension")


def test_the_external_scan_ranks_the_head_and_the_best_is_readable_at_most():
    about = {"part": "external", "head": "L2H5", "rank": 3.0}
    table = arms("heads", "residualised", **about).assign(rank=lambda t: t["rank"].where(t["arm"] == "real", 90.0))
    inside = table.assign(part="internal", rank=50.0, residualised=0.1)
    best = arms("heads", "residualised", part="external", head="best")
    claims = found({"heads": pd.concat([table, inside, best])}, only(19))
    assert claims["value"].tolist() == pytest.approx([3, 0.9, 0.9])
    assert set(claims["analogue"]) == {"readable"}
    assert "for a fixed budget" in one(claims, 19, "best")["analogue_reason"]


def losses(variant: str, heights: dict[str, float], **about: object) -> pd.DataFrame:
    about = {"variant": variant, "endpoint": BRANCH, "q": 0.5} | about
    return arms("compaction", "losses", heights=heights, **about)


def test_losses_are_better_when_they_are_fewer_and_a_fixed_budget_lowers_the_verdict():
    heights = {name: 3 - height for name, height in HEIGHTS.items()}  # the real operator loses least
    assert judged(20, compaction=losses("top1", heights))["analogue"] == "not_separable"  # 2.1 > 1
    few = losses("top1", {name: height - 1.5 for name, height in heights.items()})
    row = judged(20, compaction=few)
    assert row["analogue"] == "readable"
    assert row["analogue_reason"].startswith("Beats every control")
    assert row["analogue_reason"].endswith("the paper's fixed budget, and the rule asks for a plateau.")
    unbound = found({"compaction": few}, only(20, readable_at_most=""))
    assert one(unbound, 20)["analogue"] == "model_specific"
    behind = losses("top1", {name: height - 1.5 for name, height in heights.items()} | {"shuffle": 0.0})
    row = judged(20, compaction=behind)
    assert row["analogue"] == "contradicted"  # what is below readable stays, and says its own reason
    assert "plateau" not in row["analogue_reason"]


def test_an_endpoint_with_few_donors_is_none_of_those_that_losses_count():
    table = losses("rank64", {"real": 5})
    thin = losses("rank64", {"real": 5}, endpoint=SUBTYPE, n=3, q=float("nan"))
    row = judged(21, "rank 64", compaction=pd.concat([table, thin]))
    assert (row["analogue"], row["n_donors"]) == ("holds", 10)
    row = judged(21, "rank 64", compaction=table.assign(n=3))
    assert "3 donors, fewer than the 8" in row["analogue_reason"]


@pytest.mark.parametrize("controls", [0, 3, 8])
@pytest.mark.parametrize(
    ("case", "lost", "verdict"),
    [
        ("rank 64", 4, "holds"), ("rank 64", 3, "undecided"), ("rank 64", 1, "contradicted"),
        ("rank 32", 5, "holds"), ("rank 32", 4, "undecided"), ("rank 32", 0, "contradicted"),
        ("sparse", 6, "holds"), ("sparse", 5, "undecided"), ("sparse", 1, "contradicted"),
    ],
)  # fmt: skip
def test_a_claim_of_losses_is_decided_by_its_own_numbers(controls, case, lost, verdict):
    table = losses(case.replace(" ", ""), dict.fromkeys(HEIGHTS, controls) | {"real": lost})
    row = judged(21, case, compaction=table)
    assert (row["value"], row["control_value"], row["analogue"]) == (lost, controls, verdict)


def factors(records: list[dict], **about: object) -> pd.DataFrame:
    return chain("factors", records, **({"form": "rank64", "probes": "fixed"} | about))


@pytest.mark.parametrize("case", [("branch", BRANCH), ("CD4/CD8", SUBTYPE)])
@pytest.mark.parametrize("cores", [0.1, 0.95])
@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.05, 0.2, "holds"), (-0.05, 0.2, "undecided"), (-0.2, -0.05, "contradicted")]
)
def test_a_core_is_not_enough_by_the_interval_of_what_is_lost(case, cores, low, high, verdict):
    name, endpoint = case
    core = {"quantity": "core", "low": 0.5, "high": 0.6}
    drop = {"quantity": "core_drop", "value": (low + high) / 2, "low": low, "high": high}
    random = [{"quantity": "random_core", "subset": f"{k}+9", "value": 0.4 + k / 10} for k in range(3)]
    other = [core | {"value": cores}, drop | {"low": 0.3, "high": 0.4}]
    table = pd.concat([
        factors([core | {"value": 0.55}, drop, *random]),
        factors([core | {"value": 0.1}, drop], draw=1),  # another head seed
        factors([core | {"value": 0.2}, drop], probes="retrained"),
        *[factors(other, arm=arm) for arm in HEIGHTS if arm != "real"],
    ]).assign(endpoint=endpoint)  # fmt: skip
    row = judged(23, name, factors=table)
    assert (row["value"], row["ci_low"], row["analogue"]) == (pytest.approx(0.55), pytest.approx(0.5), verdict)
    assert (row["strongest_control"], row["control_value"]) == ("random_factors", pytest.approx(0.5))


@pytest.mark.parametrize(
    ("kept", "others", "verdict"),
    [(0.95, 0.8, "holds"), (0.9, 0.85, "holds"), (0.89, 0.8, "undecided"), (0.95, 0.95, "undecided"),
     (0.95, 0.97, "contradicted"), (0.6, 0.7, "contradicted")],
)  # fmt: skip
def test_a_pair_must_keep_most_above_chance_and_more_than_other_pairs(kept, others, verdict):
    values = {"best_pair_share": 0.97, "best_pair_kept": kept, "best_other_pair_kept": others}
    table = factors([{"quantity": name, "value": value} for name, value in values.items()], endpoint=MONO)
    row = judged(24, factors=table)
    assert (row["value"], row["control_value"]) == (pytest.approx(0.97), pytest.approx(others))
    assert (row["analogue"], row["endpoint"]) == (verdict, MONO)


@pytest.mark.parametrize(("number", "quantity"), [(22, "top4_share"), (23, "core"), (24, "best_pair_share")])
def test_factors_of_few_donors_are_not_testable(number, quantity):
    endpoint = {22: "pooled", 23: BRANCH, 24: MONO}[number]
    table = factors([{"quantity": quantity, "value": 0.7}], endpoint=endpoint, n=5)
    row = judged(number, "branch" * (number == 23), factors=table)
    assert row["analogue_reason"] == "5 donors, fewer than the 8 of endpoints.min_donors."
    assert (row["analogue"], row["value"]) == ("not_testable", pytest.approx(0.7))
    row = judged(number, "branch" * (number == 23), factors=table.assign(n=8))
    assert "donors, fewer" not in row["analogue_reason"]


def test_a_concentrated_core_is_readable_at_most():
    table = arms("factors", form="rank64", probes="fixed", quantity="top4_share", endpoint="pooled")
    other = [table.assign(form="rank32", value=0.1), table.assign(probes="retrained", value=0.1)]
    row = judged(22, factors=pd.concat([table, *other]))
    assert (row["value"], row["analogue"]) == (pytest.approx(0.9), "readable")
    assert "fixed budget" in row["analogue_reason"]


def manifold(low: float, high: float, follows: float = 0.3, shuffled: float = 0.0) -> pd.DataFrame:
    lead = {"quantity": "margin_pca2", "value": (low + high) / 2, "low": low, "high": high, "chosen": True}
    records = [lead, {"quantity": "correlation", "value": follows, "chosen": True}]
    records += [lead | {"chosen": False, "value": 9.0}]
    records += [lead | {"arm": "shuffled_path", "draw": k, "value": shuffled + (k - 1) / 100} for k in range(3)]
    table = chain("manifold2", records, part="external")
    return pd.concat([table, table.assign(part="internal", value=7.0)])


@pytest.mark.parametrize(
    ("table", "verdict", "said"),
    [
        (manifold(0.1, 0.3), "holds", ""),
        (manifold(0.1, 0.3, shuffled=0.2), "undecided", "shuffled path"),
        (manifold(0.1, 0.3, shuffled=0.4), "undecided", "shuffled path"),
        (manifold(0.1, 0.3, follows=-0.2), "undecided", "follows (-0.2) is not above 0"),
        (manifold(-0.1, 0.3), "undecided", "lower bound of lead"),
        (manifold(-0.3, -0.1), "contradicted", "upper bound of lead"),
    ],
)
def test_a_second_manifold_must_lead_where_a_shuffled_path_does_not(table, verdict, said):
    row = judged(25, manifold2=table)
    assert row["analogue"] == verdict
    assert said in row["analogue_reason"].lower()
    assert row["strongest_control"] == "shuffled_path"


@pytest.mark.parametrize(
    ("number", "case", "name", "about"),
    [
        (5, "p", "gates", {"part": "internal", "gate": "trustworthiness"}),
        (19, "rank", "heads", {"part": "external", "head": "L2H5"}),
        (20, "", "compaction", {"variant": "top1", "endpoint": BRANCH}),
        (23, "branch", "factors", {"form": "rank64", "probes": "fixed", "quantity": "core", "endpoint": BRANCH}),
        (25, "", "manifold2", {"part": "external", "chosen": True, "quantity": "margin_pca2"}),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_the_reason_of_a_row_that_does_not_count_is_the_claims(number, case, name, about, alone):
    """Whether or not the table has other rows."""
    table = uncounted(name, "all 3 anchors are alike", **about)
    if not alone:
        table = pd.concat([table, chain(name, [about], arm="shuffle")])
    row = judged(number, case, **{name: table})
    assert (row["analogue"], row["panel"]) == ("not_testable", "p")
    assert row["analogue_reason"].endswith(": all 3 anchors are alike.")


def control_part(controls: bool) -> pd.DataFrame:
    records = [{"arm": arm, "value": value} for arm, value in (("real", 0.6), ("random_labels", 0.3))]
    return chain("gates", records[: 1 + controls], part="control", gate="trustworthiness")


def shares(controls: bool) -> pd.DataFrame:
    about = {"form": "rank64", "probes": "fixed", "quantity": "top4_share", "endpoint": "pooled"}
    heights = {"real": 0.6, "gaussian_halves": 0.3}
    return arms("factors", heights=heights if controls else {"real": 0.6}, **about)


@pytest.mark.parametrize(
    ("number", "name", "make", "control"),
    [
        (10, "gates", control_part, "random_labels"),
        (12, "gates", lambda controls: dimension((0.5, 0.5), (0.6, 0.6), (0.7, 0.7), controls=controls), "gaussian"),
        (22, "factors", shares, "gaussian"),
        (25, "manifold2", lambda on: manifold(0.5, 0.7, shuffled=0.3).query(f"{on} or arm == 'real'"), "shuffled_path"),
    ],
)
def test_claims_that_need_a_control_are_not_testable_without(number, name, make, control):
    case = "trust" * (number == 10)
    row = judged(number, case, **{name: make(False)})
    assert row["analogue"] == "not_testable"
    assert control in row["analogue_reason"]
    row = judged(number, case, **{name: make(True)})
    assert row["control_value"] == pytest.approx(0.3)
    assert "no row where" not in row["analogue_reason"]

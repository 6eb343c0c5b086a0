import numpy as np
import pandas as pd
import pytest

from opbench.config.benchmark import Binary, Endpoints, Statistics
from opbench.io.tables import COMPARISONS, SCORES, SUMMARY, read_table, to_table, write_table
from opbench.statistics.compare import compare_methods, write_comparisons
from opbench.statistics.summarise import summarise_scores, write_summary
from opbench.statistics.tests import bh, signed_rank_exact, signed_rank_split

STATISTICS = Statistics(bootstraps=200)
ENDPOINTS = Endpoints(
    binary={
        "b": Binary(positive={"a": ["x"]}, negative={"a": ["y"]}),
        "side": Binary(positive={"a": ["x"]}, negative={"a": ["y"]}, verdict=False),
    },
    verdict=["branch_macro_f1"],
)
PAIR = ["method_a", "method_b"]


def scores(methods, endpoints=("branch_macro_f1",), donors=9, splits=None, campaign="c", seed=0) -> pd.DataFrame:
    """Random scores: `methods` maps a name to further columns; `splits` lists the test donors of each split."""
    rng = np.random.default_rng(seed)
    splits = [[f"d{i:02}"] for i in range(donors)] if splits is None else splits
    lines = [
        {"split": s, "donor": d, "method": m, "endpoint": e, "value": rng.random(), **columns}
        for m, columns in methods.items()
        for e in endpoints
        for s, group in enumerate(splits)
        for d in group
    ]
    base = dict.fromkeys(("model", "operator", "arm", "budget", "reason"), "")
    base |= {"run": "r", "panel": "p", "campaign": campaign, "protocol": "inductive", "draw": -1, "width": 10}
    base |= {"seed": 0, "n": 50, "status": "ok", "condition": "AML", "pretraining_overlap": False, "leaking": False}
    frame = pd.DataFrame(lines)
    return frame.assign(**{k: v for k, v in base.items() if k not in frame}).fillna(base)[SCORES.names]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    found = compare_methods(table, ENDPOINTS, STATISTICS)
    to_table(found, COMPARISONS, "comparisons")
    return found


def donor_rows(table: pd.DataFrame) -> pd.DataFrame:
    found = compared(table)
    return found[(found["unit"] == "donor") & (found["family"] != "healthy")]


def test_each_pair_occurs_once_and_the_effect_is_a_minus_b():
    table = scores({"b": {}, "a": {}, "c": {}})
    found = donor_rows(table)
    assert found[PAIR].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    wide = table.pivot(index="donor", columns="method", values="value")
    expected = signed_rank_exact((wide["a"] - wide["c"]).to_numpy())
    row = found.iloc[1]
    assert row["effect"] == pytest.approx((wide["a"] - wide["c"]).mean())
    assert (row["statistic"], row["p"], row["p_floor"], row["n"]) == (*expected[:3], 9)
    assert row["ci_low"] < row["effect"] < row["ci_high"]


def test_family_is_verdict_endpoints_times_competing_pairs():
    methods = {"m1": {}, "m2": {}, "oracle": {"protocol": "oracle"}, "chance": {"protocol": "chance"}}
    methods["leaky"] = {"protocol": "leaking", "leaking": True}
    names = ("branch_macro_f1", "b_auroc", "b_balanced_accuracy", "side_auroc", "other", "pseudotime_null_random_mean")
    found = donor_rows(scores(methods, names))
    verdict = found[found["family"] == "verdict"]
    assert set(verdict["endpoint"]) == {"branch_macro_f1", "b_auroc", "b_balanced_accuracy"}
    assert set(map(tuple, verdict[PAIR].to_numpy())) == {("m1", "m2")}
    np.testing.assert_allclose(verdict["q"], bh(verdict["p"].to_numpy()))
    assert (found["family"] == "descriptive").sum() == 5 * 10 - 3
    assert found.loc[found["family"] == "descriptive", "q"].isna().all()
    assert found["p"].notna().all()


@pytest.mark.parametrize("protocol", ["floor", "transductive", "pretrained", "oracle", "chance"])
def test_who_carries_no_verdict_changes_nobody_s_correction(protocol):
    table = scores({name: {} for name in "abc"})
    other = scores({name: {"protocol": protocol} for name in "xyz"}).assign(value=0.0)
    alone, beside = donor_rows(table), donor_rows(pd.concat([table, other]))
    beside = beside.merge(alone[PAIR])
    np.testing.assert_array_equal(beside["q"], alone["q"])


def test_families_of_two_campaigns_are_corrected_apart():
    one = scores({"m1": {}, "m2": {}, "m3": {}})
    both = compared(pd.concat([one, scores({"m1": {}, "m2": {}}, campaign="z", seed=1)]))
    alone = compared(one)
    kept = both[both["campaign"] == "c"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, alone)


def test_too_few_donors_are_descriptive():
    assert set(donor_rows(scores({"m1": {}, "m2": {}}, donors=7))["family"]) == {"descriptive"}
    assert set(donor_rows(scores({"m1": {}, "m2": {}}, donors=8))["family"]) == {"verdict"}
    table = scores({"m1": {}, "m2": {}, "m3": {}}, donors=8)
    table.loc[(table["method"] == "m3") & (table["donor"] == "d03"), ["status", "value"]] = ["failed", np.nan]
    found = donor_rows(table).set_index(PAIR)
    assert found["n"].to_dict() == {("m1", "m2"): 8, ("m1", "m3"): 7, ("m2", "m3"): 7}
    assert found.loc[("m1", "m2"), "family"] == "verdict"
    assert found.loc[("m1", "m3"), "family"] == "descriptive"


@pytest.mark.parametrize(("status", "used"), [("failed", False), ("not_applicable", False), ("cap", True)])
def test_only_statuses_that_count_are_used(status, used):
    table = scores({"m1": {}, "m2": {}})
    table.loc[0, ["status", "value"]] = [status, 1e6]
    assert (compared(table)["effect"].abs() > 1).any() == used


def test_draws_are_averaged_before_pairing():
    fixed = scores({"m": {}})
    draws = pd.concat([scores({"random": {}}, seed=i).assign(draw=i) for i in range(4)])
    found = donor_rows(pd.concat([fixed, draws])).iloc[0]
    mean = draws.groupby("donor")["value"].mean()
    difference = (fixed.set_index("donor")["value"] - mean).to_numpy()
    assert found["n"] == 9
    assert found["effect"] == pytest.approx(difference.mean())
    assert found["p"] == signed_rank_exact(difference).p


def test_units_of_grouped_splits():
    groups = [["d0", "d1"], ["d1", "d2"], ["d2", "d3"], ["d0", "d3"], ["d0", "d2"]]
    table = scores({"m1": {}, "m2": {}}, splits=groups)
    found = compared(table).set_index("unit")
    wide = table.pivot(index=["split", "donor"], columns="method", values="value")
    difference = wide["m1"] - wide["m2"]
    by_split = difference.groupby("split").mean()
    by_donor = difference.groupby("donor").mean()
    assert found["n"].to_dict() == {"split": 5, "donor": 4}
    assert found.loc["split", "p"] == signed_rank_split(by_split.to_numpy()).p
    assert found.loc["donor", "p"] == signed_rank_exact(by_donor.to_numpy()).p
    assert found.loc["donor", "effect"] == pytest.approx(by_donor.mean())
    assert np.isnan(found.loc["split", "ci_low"])


def test_papers_family_is_the_endpoints_of_a_pair_and_one_split_is_no_test():
    names = ("branch_macro_f1", "other", "b_auroc")
    found = compared(scores({"m1": {}, "m2": {}, "m3": {}}, names))
    paper = found[found["family"] == "paper: pair"]
    assert set(paper["unit"]) == {"split"}
    for _, part in paper.groupby(PAIR):
        assert len(part) == 3
        np.testing.assert_allclose(part["q"], bh(part["p"].to_numpy()))
    frozen = compared(scores({"m1": {}, "m2": {}}, splits=[[f"d{i}" for i in range(8)]])).set_index("unit")
    assert np.isnan(frozen.loc["split", ["p", "q", "statistic"]].astype(float)).all()
    assert frozen.loc["donor", "family"] == "verdict"


def test_labels_name_the_budget_only_where_there_are_several():
    table = pd.concat([scores({"head": {"budget": b}, "raw": {}}, seed=i) for i, b in enumerate(("fixed", "plateau"))])
    table = table[~((table["method"] == "raw") & table.duplicated(["method", "donor"]))]
    assert donor_rows(table)[PAIR].to_numpy().tolist() == [
        ["head [fixed]", "head [plateau]"],
        ["head [fixed]", "raw"],
        ["head [plateau]", "raw"],
    ]
    assert donor_rows(table[table["budget"] != "plateau"])[PAIR].to_numpy().tolist() == [["head", "raw"]]


def test_healthy_donors_again_and_only_when_some_are_not():
    table = scores({"m1": {}, "m2": {}})
    assert "healthy" not in set(compared(table)["family"])
    table["condition"] = np.where(table["donor"].isin(["d00", "d01", "d02"]), "healthy", "AML")
    found = compared(table).set_index("family")
    wide = table[table["condition"] == "healthy"].pivot(index="donor", columns="method", values="value")
    assert found.loc["healthy", "n"] == 3
    assert found.loc["healthy", "effect"] == pytest.approx((wide["m1"] - wide["m2"]).mean())
    assert np.isnan(found.loc["healthy", "q"])
    assert found.loc["verdict", "n"] == 9
    assert "healthy" not in set(compared(table.assign(condition="healthy"))["family"])


def test_summary_means_spread_and_counts():
    table = pd.concat([scores({"random": {}, "raw": {}}, seed=i).assign(draw=i) for i in range(3)])
    table = table[(table["method"] == "random") | (table["draw"] == 0)].reset_index(drop=True)
    table["n"] = np.where(table["donor"] == "d00", 500, 50)
    table["condition"] = np.where(table["donor"].isin(["d00", "d01"]), "healthy", "AML")
    bad = (table["method"] == "raw") & (table["donor"] == "d08")
    table.loc[bad, ["status", "value"]] = ["failed", np.nan]
    found = summarise_scores(table, ENDPOINTS, STATISTICS)
    to_table(found, SUMMARY, "summary")
    found = found.set_index(["subset", "method"])
    random = table[table["method"] == "random"]
    by_donor = random.groupby("donor")["value"].mean()
    row = found.loc[("all", "random")]
    assert row["mean"] == pytest.approx(by_donor.mean())
    assert row["weighted_mean"] == pytest.approx(np.average(by_donor, weights=[500] + [50] * 8))
    assert row["sd_draws"] == pytest.approx(random.groupby("draw")["value"].mean().std(ddof=1))
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    raw = found.loc[("all", "raw")]
    assert (raw["n_donors"], raw["n_not_ok"], raw["verdict"]) == (8, 1, True)
    assert np.isnan(raw["sd_draws"])
    assert found.loc[("healthy", "raw"), "n_donors"] == 2
    assert not found.loc["healthy", "verdict"].any()


def test_summary_keeps_a_method_that_gave_nothing_and_flags_few_donors():
    table = scores({"m": {}, "broken": {"status": "failed"}}, ("b_auroc", "side_auroc"))
    table.loc[table["method"] == "broken", "value"] = np.nan
    found = summarise_scores(table, ENDPOINTS, STATISTICS).set_index(["method", "endpoint"])
    assert found.loc[("broken", "b_auroc"), ["n_donors", "n_not_ok", "verdict"]].tolist() == [0, 9, False]
    assert np.isnan(found.loc[("broken", "b_auroc"), "mean"])
    assert found["verdict"].to_dict()[("m", "b_auroc")]
    assert not found.loc[("m", "side_auroc"), "verdict"]
    assert not summarise_scores(scores({"m": {}}, donors=7), ENDPOINTS, STATISTICS)["verdict"].any()
    nothing = summarise_scores(table[table["method"] == "broken"], ENDPOINTS, STATISTICS)
    to_table(nothing, SUMMARY, "summary")
    assert len(compare_methods(table[table["method"] == "broken"], ENDPOINTS, STATISTICS)) == 0


def test_wrappers_write_the_same_bits_twice_with_tsv_copies(tmp_path):
    write_table(scores({"m1": {}, "m2": {}}), tmp_path / "scores.parquet", SCORES)
    for turn in ("a", "b"):
        write_comparisons(
            tmp_path / "scores.parquet", ENDPOINTS, STATISTICS, (), (), tmp_path / turn / "comparisons.parquet"
        )
        write_summary(tmp_path / "scores.parquet", ENDPOINTS, STATISTICS, (), tmp_path / turn / "summary.parquet")
    for name in ("comparisons.parquet", "comparisons.tsv", "summary.parquet", "summary.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(read_table(tmp_path / "a" / "comparisons.parquet", COMPARISONS)) == 2


def test_a_battery_of_controls_is_left_out():
    table = scores({"m1": {}, "m2": {}})
    assert len(compare_methods(table, ENDPOINTS, STATISTICS))
    assert compare_methods(table, ENDPOINTS, STATISTICS, (), {table["campaign"].iloc[0]}).empty

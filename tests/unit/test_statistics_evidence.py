"""Null floors, equivalence, and the comparison of the real operator with its controls."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import ttost_paired

from opbench.config.benchmark import Endpoints, Statistics
from opbench.config.evidence import Evidence
from opbench.io.tables import EVIDENCE, SCORES, read_table, to_table, write_table
from opbench.statistics.arms import Arm, compare_arms, complete, operator_spread
from opbench.statistics.equivalence import Component, components, margin_tests
from opbench.statistics.evidence import effective_donors, judge_arms, write_evidence
from opbench.statistics.floors import null_differences, null_floor
from opbench.statistics.tests import bh, signed_rank_exact

STATISTICS = Statistics(bootstraps=400)
ENDPOINTS = Endpoints(verdict=["branch_balanced_accuracy", "stage_macro_f1"])
EVIDENCE_RULE = Evidence(must_beat=["gaussian", "uniform"])
NAN = float("nan")
#: method, draw and budget of an arm's rows.
ARMS = {
    "real": ("extracted_head", "plateau"),
    "gaussian_halves": ("gaussian_head", "plateau"),
    "shuffle": ("control_head", "plateau"),
    "uniform": ("control_head", "plateau"),
    "floor_mean": ("floor_mean", ""),
}


def table(
    arms: dict[str, np.ndarray], endpoint="branch_balanced_accuracy", random=("gaussian_halves", "shuffle"), **more
):
    """Score rows of arms (donors, columns): columns are draws of random arms and adaptor seeds of the others."""
    rows = []
    for arm, values in arms.items():
        method, budget = ARMS[arm]
        for (donor, column), value in np.ndenumerate(values):
            drawn = arm in random
            rows.append(
                {
                    "donor": f"d{donor:02d}", "split": donor % 5, "method": method, "budget": budget, "value": value,
                    "arm": "" if method == arm else arm,
                    "draw": column if drawn else -1, "seed": 0 if drawn else column,
                }
            )  # fmt: skip
    base = {
        "run": "r",
        "panel": "p",
        "campaign": "c",
        "protocol": "inductive",
        "model": "",
        "operator": "",
        "width": 10,
    }
    base |= {"endpoint": endpoint, "n": 50, "status": "ok", "reason": "", "condition": "AML"}
    base |= {"pretraining_overlap": False, "leaking": False} | more
    return pd.DataFrame(rows).assign(**base)[SCORES.names]


def judged(scores, rule=EVIDENCE_RULE, **kwargs) -> pd.DataFrame:
    found = judge_arms(scores, ENDPOINTS, STATISTICS, rule, **kwargs)
    to_table(found, EVIDENCE, "evidence")
    return found.set_index("control")


def simulated(rng, donors=14, draws=10, seeds=3, lead=0.0, draw_sd=0.01, noise=0.02):
    """A real operator that is one more draw of the Gaussian arm, plus `lead`; the uniform arm is far behind."""
    donor = rng.normal(0.8, 0.1, (donors, 1))

    def operator():
        return donor + rng.normal(0, draw_sd) + rng.normal(0, noise, (donors, 1))

    real = operator() + lead + rng.normal(0, 0.002, (donors, seeds))
    gaussian = np.hstack([operator() for _ in range(draws)])
    return {
        "real": real,
        "gaussian_halves": gaussian,
        "uniform": operator() - 0.2 + rng.normal(0, 0.002, (donors, seeds)),
    }


# Floors.


def test_floor_of_three_draws_by_hand():
    values = np.array([[0.1, 0.4, 0.2], [0.3, 0.2, 0.9]])  # means 0.20, 0.30, 0.55
    np.testing.assert_allclose(null_differences(values), [0.10, 0.35, 0.25])
    assert null_floor(values, 0.95) == pytest.approx(0.35)
    assert null_floor(values, 0.6) == pytest.approx(0.35)  # of 0.10, 0.25, 0.35 the next one above 0.6 of the way
    assert null_floor(values, 0.5) == pytest.approx(0.25)


@pytest.mark.parametrize(("draws", "larger"), [(5, 0), (6, 0), (7, 1), (20, 9)])
def test_floor_is_the_pair_that_the_documentation_names(draws, larger):
    values = np.random.default_rng(draws).normal(size=(4, draws))
    pairs = np.sort(null_differences(values))
    assert len(pairs) == draws * (draws - 1) // 2
    assert (pairs > null_floor(values, 0.95)).sum() == larger


def test_one_draw_has_no_floor():
    assert np.isnan(null_floor(np.ones((3, 1)), 0.95))
    assert Arm(np.ones((3, 1)), seeded=False).floor(0.95) == 0
    assert np.isnan(Arm(np.ones((3, 1))).floor(0.95))


def test_a_fixed_arm_takes_the_larger_floor_of_its_seeds_and_the_real_ones():
    steady, loose = np.tile([0.5, 0.51], (8, 1)), np.tile([0.5, 0.54], (8, 1))
    real, control = Arm(loose), Arm(steady)
    assert compare_arms(real, control, STATISTICS, Evidence()).null_floor == pytest.approx(0.04)
    assert compare_arms(control, real, STATISTICS, Evidence()).null_floor == pytest.approx(0.04)
    found = compare_arms(real, Arm(steady, random=True), STATISTICS, Evidence())
    assert (found.null_floor, found.real_floor) == (pytest.approx(0.01), pytest.approx(0.04))


# Equivalence.


def test_margin_tests_are_the_paired_tost_when_only_donors_vary():
    differences = np.random.default_rng(1).normal(0.004, 0.012, 12)
    p, lower, upper = ttost_paired(differences, np.zeros(12), -0.01, 0.01)
    found = margin_tests(differences.mean(), components(differences), 0.01)
    assert found.p_equivalence == pytest.approx(p)
    assert found.p_noninferiority == pytest.approx(lower[1])
    assert found.p_equivalence == pytest.approx(max(lower[1], upper[1]))


def test_what_draws_add_makes_equivalence_harder_to_show():
    differences = np.random.default_rng(1).normal(0, 0.005, 12)
    alone = margin_tests(0.0, components(differences), 0.01)
    draws = np.array([0.5, 0.53, 0.47]) + np.zeros((12, 1))
    parts = components(differences, draws)
    assert parts[1] == Component(pytest.approx(0.03**2 / 3), 2)
    assert alone.p_equivalence < 0.001 < 0.1 < margin_tests(0.0, parts, 0.01).p_equivalence


def test_no_significance_is_no_equivalence():
    """Few noisy donors: neither a difference nor its absence is shown."""
    rng = np.random.default_rng(3)
    arms = {name: rng.normal(0.8, 0.1, (8, 1)) + np.array([0, 0.001]) for name in ("real", "uniform")}
    row = judged(table(arms)).loc["uniform"]
    assert row["margin"] == 0.01
    assert row["p"] > 0.05
    assert row["p_equivalence"] > 0.05
    assert row["outcome"] == "not_separable"


# Comparisons.


def test_a_failed_draw_costs_no_donor_and_a_failing_donor_no_draw():
    real, draws = np.ones((6, 1)), np.ones((6, 10))
    draws[:3, 0] = np.nan
    donors, _, kept = complete(real, draws)
    assert donors.all()
    assert kept.shape == (6, 9)
    draws = np.ones((6, 10))
    draws[2, :7] = np.nan
    donors, a, kept = complete(real, draws)
    assert donors.tolist() == [True, True, False, True, True, True]  # it lacks 7 of 10
    assert (a.shape, kept.shape) == ((5, 1), (5, 10))
    draws[:] = np.nan
    assert not complete(real, draws)[0].any()


def test_a_row_holds_what_it_says():
    arms = simulated(np.random.default_rng(0), lead=0.03)
    row = judged(table(arms)).loc["gaussian"]
    real, draws = arms["real"].mean(1), arms["gaussian_halves"]
    difference = real - draws.mean(1)
    assert row["effect"] == pytest.approx(difference.mean())
    test = signed_rank_exact(difference)
    assert (row["statistic"], row["p"], row["p_floor"]) == test[:3]
    assert row["rank"] == (draws.mean(0) >= real.mean()).sum()
    assert row["p_draws"] == (1 + row["rank"]) / 11
    assert row["null_floor"] == null_floor(draws, 0.95)
    assert row["margin"] == max(0.01, row["null_floor"])
    assert (row["draw_low"], row["draw_high"]) == (draws.mean(0).min(), draws.mean(0).max())
    assert (row["n_donors"], row["n_real"], row["n_draws"], row["kind"]) == (14, 3, 10, "random")
    assert row["detectable"] == pytest.approx(0.81 * difference.std(ddof=1), rel=0.03)  # t-test: 0.81 sd with 14 pairs
    uniform = judged(table(arms)).loc["uniform"]
    assert uniform["kind"] == "fixed"
    assert np.isnan(uniform["p_draws"])


def test_family_is_verdict_endpoints_by_must_beat_controls_at_the_rule_s_budget_and_width():
    rng = np.random.default_rng(0)
    arms = simulated(rng) | {"shuffle": simulated(rng)["gaussian_halves"], "floor_mean": np.full((14, 1), 0.2)}
    parts = [table(arms, name) for name in ("branch_balanced_accuracy", "stage_macro_f1", "branch_macro_f1")]
    at_fixed = parts[0].assign(budget=parts[0]["budget"].replace("plateau", "fixed"))
    parts += [at_fixed, table(arms, width=20), table(arms, "pseudotime_null_random")]
    found = judge_arms(pd.concat(parts), ENDPOINTS, STATISTICS, EVIDENCE_RULE)
    assert len(found) == 3 * 4 + 4 + 4
    family = found[found["family"] == "verdict"]
    assert set(family["control"]) == {"gaussian", "uniform"}
    assert set(family["endpoint"]) == {"branch_balanced_accuracy", "stage_macro_f1"}
    assert set(zip(family["width"], family["budget"], strict=True)) == {(10, "plateau")}
    np.testing.assert_allclose(family["q"], bh(family["p"].to_numpy()))
    assert found.loc[found["family"] != "verdict", "q"].isna().all()
    assert set(found.loc[found["family"] == "readable", "control"]) == {"floor_mean"}
    none = judge_arms(pd.concat(parts), ENDPOINTS, STATISTICS, EVIDENCE_RULE, without_verdict=["c"])
    assert set(none["family"]) == {"descriptive"}


def test_healthy_donors_stand_apart_and_few_donors_are_not_testable():
    arms = simulated(np.random.default_rng(0), lead=0.2)
    scores = table(arms)
    scores["condition"] = scores["donor"].map(lambda donor: "healthy" if donor < "d04" else "AML")
    found = judge_arms(scores, ENDPOINTS, STATISTICS, EVIDENCE_RULE)
    healthy = found[found["subset"] == "healthy"]
    assert set(healthy["family"]) == {"healthy"}
    assert set(healthy["n_donors"]) == {4}
    assert set(healthy["outcome"]) == {"not_testable"}
    assert set(judged(table({name: v[:7] for name, v in arms.items()}))["outcome"]) == {"not_testable"}
    assert set(judged(table({name: v[:8] for name, v in arms.items()}))["outcome"]) == {"beats"}


def test_arms_without_a_partner_and_failed_rows_are_left_out():
    arms = simulated(np.random.default_rng(0))
    assert judge_arms(table({"gaussian_halves": arms["gaussian_halves"]}), ENDPOINTS, STATISTICS, EVIDENCE_RULE).empty
    scores = table(arms)
    bad = (scores["arm"] == "gaussian_halves") & (scores["draw"] == 2) & (scores["donor"] == "d03")
    scores.loc[bad, ["value", "status"]] = [1e6, "failed"]
    row = judged(scores).loc["gaussian"]
    assert (row["n_donors"], row["n_draws"], row["left_out"]) == (14, 9, 1)
    assert abs(row["effect"]) < 1


def test_effective_donors_are_all_of_them_or_what_the_largest_leaves():
    assert effective_donors(np.full(14, 30.0)) == pytest.approx(14)
    assert effective_donors(np.array([1e6, 1, 1, 1])) == pytest.approx(1, abs=1e-4)


def test_evidence_is_written_under_its_contract(tmp_path):
    scores = table(simulated(np.random.default_rng(0), lead=0.1))
    write_table(scores, tmp_path / "scores.parquet", SCORES)
    output = tmp_path / "evidence.parquet"
    write_evidence(tmp_path / "scores.parquet", ENDPOINTS, STATISTICS, EVIDENCE_RULE, 10, [], output)
    found = read_table(output, EVIDENCE)
    pd.testing.assert_frame_equal(found, judge_arms(scores, ENDPOINTS, STATISTICS, EVIDENCE_RULE))
    assert len(pd.read_csv(tmp_path / "evidence.tsv", sep="\t")) == len(found) == 2


# The rule at work.


def rates(lead: float, repeats: int) -> pd.Series:
    outcomes = []
    for repeat in range(repeats):
        arms = simulated(np.random.default_rng(repeat), lead=lead)
        rows = {name: Arm(values, name == "gaussian_halves") for name, values in arms.items()}
        outcomes.append(compare_arms(rows["real"], rows["gaussian_halves"], STATISTICS, EVIDENCE_RULE))
    frame = pd.DataFrame(outcomes)
    ahead = (frame["effect"] > frame["null_floor"]) & (frame["ci_low"] > 0) & (frame["p"] < 0.05)
    return pd.Series({"beats": ahead.mean(), "p": (frame["p"] < 0.05).mean()})


def test_one_more_draw_of_a_control_seldom_beats_it_though_the_test_over_donors_alone_does():
    found = rates(0.0, 300)
    assert found["beats"] <= 0.05
    assert found["p"] > 0.15  # a fixed operator differs from others: donors alone cannot see that it is one draw


def test_a_planted_lead_beats_both_controls():
    assert rates(0.08, 40)["beats"] > 0.9
    found = judged(table(simulated(np.random.default_rng(5), lead=0.08)))
    assert found["outcome"].to_dict() == {"gaussian": "beats", "uniform": "beats"}
    behind = judged(table(simulated(np.random.default_rng(5), lead=-0.4)))
    assert behind["outcome"].to_dict() == {"gaussian": "loses", "uniform": "loses"}


def test_a_single_operator_is_guarded_by_how_far_random_ones_lie_apart():
    rng = np.random.default_rng(5)
    donor = rng.normal(0.8, 0.02, (14, 1))
    draws = Arm(donor + np.array([0.0, 0.03, 0.06, 0.01, 0.02]), random=True)
    alike = Arm(donor + np.array([0.0, 0.001, 0.002]))
    real = Arm(donor + 0.02 + np.array([0.0, 0.001]))
    rule = Evidence(must_beat=["gaussian", "uniform"])
    spread = operator_spread(real, {"gaussian": draws, "uniform": alike}, rule)
    assert spread == pytest.approx(0.06)  # of the ten pairs of draws the largest
    assert compare_arms(real, alike, STATISTICS, rule).null_floor == pytest.approx(0.002)
    assert compare_arms(real, alike, STATISTICS, rule, spread).null_floor == pytest.approx(0.06)
    assert compare_arms(real, draws, STATISTICS, rule, 1.0).null_floor == pytest.approx(0.06)  # draws have their own
    assert np.isnan(compare_arms(real, Arm(donor), STATISTICS, rule, spread).null_floor)
    assert np.isnan(operator_spread(real, {"dense": draws}, rule))

import numpy as np
import pandas as pd
import pytest
from check_cohort import edited
from scipy import stats

from opbench.check.findings import Findings
from opbench.check.power import donor_spread, needed_at_floor, pairs, smallest_p
from opbench.check.settings import campaign_arms, competitors
from opbench.config import parse_config
from opbench.config.benchmark import Endpoints, Statistics
from opbench.io.tables import SCORES
from opbench.statistics.compare import compare_methods
from opbench.statistics.power import detectable, power
from opbench.statistics.tests import bh, signed_rank_exact


@pytest.mark.parametrize("n", [1, 2, 5, 6, 8, 14, 21])
def test_smallest_p_is_that_of_scipys_exact_test(n):
    assert smallest_p(n) == pytest.approx(stats.wilcoxon(np.arange(1, n + 1), method="exact").pvalue)


@pytest.mark.parametrize(("n", "effect"), [(6, 2.0), (8, 1.2), (14, 0.5), (14, 0.9)])
def test_power_is_that_of_a_simulation_of_the_test(n, effect):
    rng = np.random.default_rng(n)
    share = np.mean([signed_rank_exact(rng.normal(effect, 1, n)).p <= 0.05 for _ in range(2000)])
    assert power(n, effect) == pytest.approx(share, abs=3 * np.sqrt(0.25 / 2000))


def test_power_has_the_size_of_the_test_without_an_effect():
    assert power(6, 0.0) == pytest.approx(2 / 64, abs=0.005)  # only the two extremes of 64 sign patterns reject
    assert power(6, 3.0) == pytest.approx(stats.norm.cdf(3.0) ** 6, abs=0.005)  # all differences have one sign


def test_detectable_difference_shrinks_with_donors_and_needs_six():
    found = [detectable(n) for n in (6, 8, 11, 14)]
    assert found == sorted(found, reverse=True)
    assert power(8, found[1]) >= 0.8 > power(8, found[1] - 0.02)
    assert detectable(5) is None  # its smallest p is 0.0625


@pytest.mark.parametrize(("n", "family"), [(8, 54), (9, 126), (14, 126), (6, 10), (6, 100)])
def test_as_many_tests_at_the_floor_as_benjamini_hochberg_wants(n, family):
    floor, needed = smallest_p(n), needed_at_floor(smallest_p(n), family)

    def q(k: int) -> float:
        return bh(np.array([floor] * k + [1.0] * (family - k)))[0]

    if needed is None:
        assert q(family) >= 0.05
    else:
        assert q(needed) < 0.05
        assert needed == 1 or q(needed - 1) >= 0.05


def scores(values: dict[str, dict[str, list[float]]], **columns: object) -> pd.DataFrame:
    """SCORES rows of a campaign: method -> endpoint -> value of each donor."""
    rows = [
        {"method": method, "endpoint": endpoint, "donor": f"D{i}", "split": i, "value": value}
        for method, by_endpoint in values.items()
        for endpoint, found in by_endpoint.items()
        for i, value in enumerate(found)
    ]
    common = {"run": "r", "panel": "p", "campaign": "c", "protocol": "inductive", "model": "", "operator": "",
              "arm": "", "draw": -1, "width": -1, "budget": "", "seed": 0, "n": 50, "status": "ok", "reason": "",
              "condition": "healthy", "pretraining_overlap": False, "leaking": False} | columns  # fmt: skip
    return pd.DataFrame(rows).assign(**common)[SCORES.names]


def test_spread_is_the_sd_of_donor_differences_of_competing_methods():
    a, b = [0.1, 0.4, 0.2, 0.7], [0.3, 0.3, 0.3, 0.3]
    table = scores({"a": {"stage_macro_f1": a}, "b": {"stage_macro_f1": b}})
    drawn = scores({"random": {"stage_macro_f1": [9.0, -9.0, 9.0, -9.0]}}, draw=0)
    found = donor_spread(pd.concat([table, drawn], ignore_index=True))
    assert found == {("c", "stage_macro_f1"): pytest.approx(np.std(np.subtract(a, b), ddof=1))}


def test_pairs_of_different_budgets_do_not_compete():
    assert pairs({"h [fixed]": "fixed", "h [plateau]": "plateau", "raw": ""}) == [
        ("h [fixed]", "raw"),
        ("h [plateau]", "raw"),
    ]


def test_the_family_has_as_many_pairs_as_compare_methods_corrects():
    raw = edited(lambda raw: raw.pop("methods"))
    config, findings = parse_config(raw), Findings()
    arms = campaign_arms(config, findings)
    expected = len(pairs(competitors(arms)["lodo"]))
    rng = np.random.default_rng(0)
    table = pd.concat(
        [
            scores({item.method: {"stage_macro_f1": rng.random(9).tolist()}}, protocol=item.protocol, draw=variant.draw,
                   budget=variant.budget, leaking=item.protocol == "leaking")
            for item in arms["lodo"]
            for variant in item.variants
        ],
        ignore_index=True,
    )  # fmt: skip
    found = compare_methods(table, Endpoints(), Statistics(bootstraps=100))
    assert expected == (found["family"] == "verdict").sum() > 5
    assert findings == Findings()

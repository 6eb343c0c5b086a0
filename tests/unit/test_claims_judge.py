"""The rule on a claim: a share of its endpoints, methods as controls, the correction of its own controls."""

import numpy as np
import pandas as pd
import pytest
from claims_tables import ENDPOINTS, changed, config, found, one, only, world

from opbench.claims.against_methods import random_outcome, with_outcomes
from opbench.config.claims import Controls
from opbench.io.tables import EVIDENCE
from opbench.statistics.rule import VERDICT

EIGHT = [name for name in ENDPOINTS if not name.startswith(("pseudotime", "depth"))]
GAUSSIAN = {"campaign": "arms", "control": "gaussian", "family": VERDICT}


def gaussian_on(endpoints: list[str], outcome: str) -> dict[str, pd.DataFrame]:
    return changed("evidence", GAUSSIAN | {"endpoint": endpoints}, outcome=outcome, reason="so made")


@pytest.mark.parametrize(
    ("n", "outcome", "verdict"),
    [
        (3, "not_separable", "model_specific"), (4, "not_separable", "not_separable"), (3, "loses", "model_specific"),
        (4, "loses", "not_separable"), (5, "loses", "contradicted"), (4, "not_testable", "readable"),
    ],
)  # fmt: skip
def test_six_of_eight_is_a_share_of_endpoints(n, outcome, verdict):
    row = one(found(gaussian_on(EIGHT[:n], outcome), only(15)), 15)
    assert row["analogue"] == verdict
    assert f"{8 - n} model specific" in row["analogue_reason"]
    assert "5 must agree" in row["analogue_reason"]
    whole = one(found(gaussian_on(EIGHT[:n], outcome), only(15, judged_share=1)), 15)
    assert whole["analogue"] != "model_specific"


def test_methods_have_the_floor_of_the_real_operators_seeds():
    """A lead of 0.01 over raw genes is none where two seeds of the real operator lie 0.02 apart."""
    where = {"campaign": "arms", "family": VERDICT, "endpoint": "t_vs_ctl_auroc"}
    row = one(found(changed("evidence", where, real_floor=0.02), only(14)), 14)
    assert (row["analogue"], row["strongest_control"], row["null_floor"]) == ("not_separable", "raw_log1p", 0.02)
    assert "within the null floor" in row["analogue_reason"]


@pytest.mark.parametrize(
    ("effect", "low", "high", "outcome"),
    [(0.09, 0.005, 0.2, "not_separable"), (0.09, 0.02, 0.2, "beats"), (-0.09, -0.2, -0.005, "not_separable"),
     (-0.09, -0.2, -0.02, "loses")],
)  # fmt: skip
def test_a_random_method_is_judged_by_its_interval(effect, low, high, outcome):
    row = {"n_donors": 10, "null_floor": 0.01, "effect": effect, "ci_low": low, "ci_high": high, "p": 1e-6}
    judged = random_outcome(row, 8)
    assert judged.outcome == outcome
    assert "no q" in judged.reason
    assert random_outcome(row | {"n_donors": 5}, 8).outcome == "not_testable"


def test_a_random_methods_p_does_not_decide():
    pairs = world()["comparisons"]
    mine = list(pairs.loc[pairs["method_a"].str.startswith("extracted_head [plateau]"), "method_a"].unique())
    where = {"method_a": mine, "method_b": "random_projection", "unit": "donor"}
    tables = changed("comparisons", where, effect=-0.02, ci_low=-0.05, ci_high=0.01, p=1e-6)
    row = one(found(tables, only(14)), 14)
    assert row["analogue"] == "not_separable"
    assert "random_projection" in row["analogue_reason"]
    assert "no q" in row["analogue_reason"]


def test_a_claims_own_controls_are_corrected_together():
    base = dict.fromkeys(EVIDENCE.names, np.nan) | {"effect": 0.05, "ci_low": 0.02, "ci_high": 0.08, "n_donors": 10,
            "null_floor": 0.01, "p_equivalence": 1.0, "family": VERDICT, "endpoint": "e"}  # fmt: skip
    arms = pd.DataFrame(
        [base | {"control": "identity", "p": 0.04}, base | {"control": "gaussian", "p": 0.01, "q": 0.02}]
    )
    arms = arms.assign(outcome="beats", reason="")
    methods = pd.DataFrame([
        base | {"control": "pca10", "p": 0.9, "random": False}, base | {"control": "rp", "p": 1e-9, "random": True}
    ])  # fmt: skip
    claim = only(13).claims[0].model_copy(update={"controls": Controls(arms=["identity"], methods=["pca10", "rp"])})
    arms, methods = with_outcomes(arms, methods, claim, config())
    assert arms["q"].tolist() == pytest.approx([0.08, 0.02])  # 0.04 of two; the rule's own q stays
    assert arms["outcome"].tolist() == ["not_separable", "beats"]
    assert methods["q"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)
    assert methods["outcome"].tolist() == ["not_separable", "beats"]


def test_the_reason_names_each_controls_campaign():
    reason = one(found(claims=only(14)), 14)["analogue_reason"]
    battery, methods = reason.split("; in campaign lodo, ")
    assert "campaign arms" in battery
    assert "raw_log1p" in methods
    assert "gaussian" not in methods


def test_a_method_that_was_not_run_is_missing():
    claims = only(14, controls=Controls(methods=["nobody"]))
    row = one(found(claims=claims), 14)
    assert row["analogue"] == "readable"
    assert "no nobody on t_vs_ctl_auroc" in row["analogue_reason"]


def test_readable_is_said_beside_the_verdict():
    assert one(found(claims=only(14)), 14)["readable"] == "yes"
    tables = changed("evidence", {"campaign": "arms", "control": "identity"}, outcome="not_separable")
    assert one(found(tables, only(14)), 14)["readable"] == "no"
    assert one(found(claims=only(1)), 1)["readable"] == "-"


def test_a_claim_of_a_loss_is_judged_the_other_way():
    assert one(found(claims=only(14, direction=-1)), 14)["analogue"] == "contradicted"  # methods and arms
    assert one(found(claims=only(16, direction=-1)), 16)["analogue"] == "contradicted"  # arms alone

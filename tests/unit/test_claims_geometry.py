"""Verdicts of the sister paper's claims: a direction, a test and the references, never a point beside a point."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from geometry_tables import geometry_table, with_headlines

from opbench.claims.evaluate import Run, evaluate_claims
from opbench.claims.read import read_claims
from opbench.claims.views import Tables
from opbench.config import parse_config

ROOT = Path(__file__).parents[2]
CONFIG = parse_config(yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text()))
FILE = read_claims(ROOT / "config/claims.yaml")
MODEL = {"name": "toy", "digest": "0" * 64, "published": False}
GOOD = {"p": 0.001, "q": 0.002, "q_opposite": 1.0, "p_random": 0.001, "p_coexpression": 0.001}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return with_headlines(geometry_table())


def verdicts(tables: dict[str, pd.DataFrame], headline: str, reported: bool = True, **values: object) -> pd.DataFrame:
    """Claims of the geometry when the model's row of a headline has these values; `reported`: as claimed."""
    found = tables["geometry_headlines"].copy()
    mine = (found["space"] == "model") & (found["headline"] == headline)
    assert mine.sum() == 1
    for column, value in values.items():
        found.loc[mine, column] = value
    table = tables["geometry"].copy()
    for quantity, value in {"gradient_spearman_published": 0.99, "mean_auroc": 0.7}.items():
        table.loc[table["quantity"] == quantity, "value"] = value
    tables = tables | {"geometry": table} if reported else tables
    claims = FILE.model_copy(update={"claims": [one for one in FILE.claims if one.family == "geometry"]})
    return evaluate_claims(claims, Run(CONFIG, Tables(tables | {"geometry_headlines": found}), MODEL, {}))


def of(claims: pd.DataFrame, number: int, case: str = "") -> pd.Series:
    found = claims[(claims["claim"] == number) & claims["case"].str.contains(case, regex=False)]
    return found.iloc[0]


TESTED = [
    ("secreted", 33, "secreted"), ("any_compartment", 33, "any"), ("compartment_order", 34, "chance"),
    ("copole", 35, ""), ("gradient", 36, "quintiles"), ("pair_model", 36, "pairs"), ("tf_target", 37, ""),
    ("early_edges", 38, "edges"), ("edge_decay", 38, "decay"), ("signs", 39, ""), ("convergence", 40, ""),
    ("attention", 42, ""),
]  # fmt: skip


#: The value that a claim is about lies on its side, and on the other.
SIDES = {"signs": (0.05, -0.05), "convergence": (-0.2, 0.2), "compartment_order": (1.0, -1.0)}


@pytest.mark.parametrize(("headline", "number", "case"), TESTED)
def test_a_claim_holds_where_its_test_and_its_references_say_so(tables, headline, number, case):
    good = GOOD | ({"value": SIDES[headline][0]} if headline in SIDES else {})
    assert of(verdicts(tables, headline, **good), number, case)["analogue"] == "holds"
    for column in ("q", "p_random"):
        assert of(verdicts(tables, headline, **good | {column: 0.4}), number, case)["analogue"] == "undecided"


@pytest.mark.parametrize(
    ("headline", "number", "case"), [one for one in TESTED if one[0] not in ("any_compartment", "attention")]
)
def test_contradicted_needs_the_opposite_to_be_shown(tables, headline, number, case):
    nothing = GOOD | {"p": 0.9, "q": 0.95, "q_opposite": 0.3}
    assert of(verdicts(tables, headline, **nothing), number, case)["analogue"] == "undecided"
    opposite = nothing | {"q_opposite": 0.001} | ({"value": SIDES[headline][1]} if headline in SIDES else {})
    assert of(verdicts(tables, headline, **opposite), number, case)["analogue"] == "contradicted"


def test_a_claim_needs_the_number_that_it_reports(tables):
    """A slope without order, a gain at chance, and a difference of the wrong sign are not what is claimed."""
    plain = tables["geometry"].copy()
    for quantity, value in {"gradient_spearman_published": 0.2, "mean_auroc": 0.48}.items():
        plain.loc[plain["quantity"] == quantity, "value"] = value
    low = tables | {"geometry": plain}
    assert of(verdicts(low, "gradient", reported=False, **GOOD), 36, "quintiles")["analogue"] == "undecided"
    assert of(verdicts(low, "tf_target", reported=False, **GOOD), 37)["analogue"] == "undecided"
    assert of(verdicts(tables, "signs", **GOOD | {"value": -0.01}), 39)["analogue"] == "undecided"


def test_without_a_random_model_nothing_is_claimed(tables):
    found = of(verdicts(tables, "tf_target", **GOOD | {"p_random": float("nan")}), 37)
    assert found["analogue"] == "not_testable"
    assert "p_random" in found["analogue_reason"]


def test_markers_must_beat_co_expression_by_an_interval(tables):
    table = tables["geometry"].copy()
    mine = (table["quantity"] == "excess_auroc") & (table["space"] == "model") & (table["scope"] == "nonzero")
    for low, verdict in ((-0.01, "undecided"), (0.01, "holds")):
        table.loc[mine, "ci_low"] = low
        assert of(verdicts(tables | {"geometry": table}, "markers", **GOOD), 41)["analogue"] == verdict

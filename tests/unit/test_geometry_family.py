"""The declared family: each headline is one test, of one block, in one direction, against all of its nulls."""

import numpy as np
import pandas as pd
import pytest
from geometry_tables import geometry_table, planted_table

from opbench.geometry.family import HEADLINES, headline_table, scope_of
from opbench.io.tables import GEOMETRY_HEADLINES, to_table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return geometry_table()


def changed(table: pd.DataFrame, values: dict, **where: object) -> pd.DataFrame:
    """The table with columns set where others have these values (model, primary scope)."""
    table, where = table.copy(), {"space": "model", "scope": "nonzero"} | where
    held = np.all([table[column] == value for column, value in where.items()], axis=0)
    assert held.any()
    for column, value in values.items():
        table.loc[held, column] = value
    return table


def row(table: pd.DataFrame, name: str) -> pd.Series:
    found = headline_table(table, ["Secreted"])
    return found[(found["space"] == "model") & (found["headline"] == name)].iloc[0]


COPOLE = {"analysis": "ppi", "quantity": "copole_rate", "axis": "SV2", "term": "combined"}
EDGES = {"analysis": "edges", "quantity": "edge_auroc", "axis": "SV5-7", "null": "targets"}
SIGNS = {"analysis": "signs", "quantity": "difference", "axis": "SV5-7", "term": "cosine", "null": "tf_signs"}


def test_every_space_has_every_headline_once_and_the_model_is_corrected(table):
    found = headline_table(table, ["Secreted"])
    to_table(found, GEOMETRY_HEADLINES, "headlines")
    assert (found.groupby("space")["headline"].agg(set) == set(HEADLINES)).all()
    assert not found.duplicated(["space", "headline"]).any()
    model = found[(found["space"] == "model") & found["p"].notna()]
    assert (model["q"] >= model["p"]).all()
    assert np.allclose(model["p_bonferroni"], np.minimum(1, model["p"] * len(model)))
    assert found.loc[found["space"] != "model", ["q", "p_random"]].isna().all(axis=None)


def test_every_headline_finds_rows_of_what_the_analyses_write():
    written = planted_table()
    written = written.assign(scope=np.where(written["analysis"] == "attention", "named_nonzero", "nonzero"))
    found = headline_table(written, ["Secreted"]).set_index("headline")
    lost = found.index[found["value"].isna()]
    assert set(lost) <= {"convergence", "signs"}, found.loc[lost, "reason"].to_dict()


def test_a_headline_has_to_pass_both_of_its_nulls_at_one_block(table):
    base = changed(table, {"p_family": 0.9}, **COPOLE)
    apart = changed(base, {"p_family": 0.001}, **COPOLE, null="strata", layer=0.0)
    apart = changed(apart, {"p_family": 0.001}, **COPOLE, null="degree", layer=5.0)
    assert row(apart, "copole")["p"] == 0.9
    both = changed(apart, {"p_family": 0.002}, **COPOLE, null="degree", layer=0.0)
    assert (row(both, "copole")["p"], row(both, "copole")["layer"]) == (0.002, 0.0)


def test_the_input_layer_and_late_blocks_make_no_early_edges(table):
    base = changed(table, {"p_family": 0.9}, **EDGES)
    for layer in (-1.0, 11.0):
        assert row(changed(base, {"p_family": 0.001}, **EDGES, layer=layer), "early_edges")["p"] == 0.9
    assert row(changed(base, {"p_family": 0.001}, **EDGES, layer=2.0), "early_edges")["p"] == 0.001


def test_a_two_sided_p_counts_in_the_direction_of_the_claim_alone(table):
    base = changed(table, {"p_family": 0.9, "null_mean": 0.02}, **SIGNS)
    against = changed(base, {"p_family": 0.001, "value": -0.08}, **SIGNS, layer=3.0)
    found = row(against, "signs")
    assert found["p"] >= 0.9
    assert found["p_opposite"] == 0.001
    # Above zero is not above the null, whose middle is not zero.
    below = changed(base, {"p_family": 0.001, "value": 0.01}, **SIGNS, layer=3.0)
    assert row(below, "signs")["p"] >= 0.9
    above = changed(base, {"p_family": 0.001, "value": 0.08}, **SIGNS, layer=3.0)
    assert (row(above, "signs")["p"], row(above, "signs")["value"]) == (0.001, 0.08)


def test_secreted_means_those_terms_and_nothing_else(table):
    base = changed(table, {"p_family": 0.9}, analysis="compartments", quantity="odds_ratio")
    where = {"analysis": "compartments", "quantity": "odds_ratio", "axis": "SV1", "null": "strata", "layer": 4.0}
    other = changed(base, {"p_family": 0.001}, **where, term="Cytosol")
    assert row(other, "secreted")["p"] == 0.9
    assert (row(other, "any_compartment")["p"], row(other, "any_compartment")["term"]) == (0.001, "Cytosol")
    without = headline_table(other[other["term"] != "Secreted"], ["Secreted"]).set_index("headline")
    assert "geometry.secreted" in without.loc["secreted", "reason"].iloc[0]


def test_classes_of_another_list_are_no_headline(table):
    where = {"analysis": "tf_target", "quantity": "delta_auroc", "null": "strata"}
    base = changed(table, {"p_family": 0.9}, **where)
    listed = base[base["quantity"] == "delta_auroc"].assign(term="listed factors", p_family=0.001)
    assert row(pd.concat([base, listed], ignore_index=True), "tf_target")["p"] == 0.9


def test_references_are_measured_above_their_own_null(table):
    where = {"analysis": "tf_target", "quantity": "delta_auroc", "null": "strata"}
    base = changed(table, {"value": 0.1, "null_mean": 0.0, "null_sd": 0.02}, **where)
    level = changed(base, {"value": 0.3, "null_mean": 0.2, "null_sd": 0.02}, **where, space="random")
    assert row(level, "tf_target")["p_random"] == pytest.approx(0.5)
    worse = changed(base, {"value": 0.2, "null_mean": 0.2, "null_sd": 0.02}, **where, space="random")
    assert row(worse, "tf_target")["p_random"] < 0.01
    assert np.isnan(row(base[base["space"] == "model"], "tf_target")["p_random"])


def test_what_was_not_tested_says_why():
    lost = {"value": np.nan, "p": np.nan, "status": "not_testable", "reason": "The file kb.tsv is not there."}
    lost = geometry_table().assign(**lost)
    found = headline_table(lost[lost["space"] == "model"])
    assert set(found["reason"]) == {"The file kb.tsv is not there."}
    assert (found["scope"] == found["headline"].map(lambda name: scope_of(HEADLINES[name]))).all()
    assert found["q"].isna().all()


def test_the_best_of_many_blocks_beside_one_pays_for_the_choice(table):
    where = {"analysis": "tf_target", "quantity": "delta_auroc", "null": "strata"}
    base = changed(table, {"value": 0.1, "null_mean": 0.0, "null_sd": 0.02}, **where)
    even = changed(base, {"value": 0.05, "null_mean": 0.0, "null_sd": 0.02}, **where, space="coexpression")
    even = changed(even, {"value": 0.05, "null_mean": 0.0, "null_sd": 0.02}, **where, space="random")
    found = row(even, "tf_target")
    assert found["p_coexpression"] == pytest.approx(12 * found["p_random"])  # 12 blocks beside one level


def test_a_reference_is_compared_under_each_null(table):
    """The model is far above the random one under `degree`, and level with it under `strata`."""
    base = changed(table, {"value": 0.2, "null_mean": 0.1, "null_sd": 0.02}, **COPOLE)
    base = changed(base, {"value": 0.2, "null_mean": 0.1, "null_sd": 0.02}, **COPOLE, space="random")
    far = changed(base, {"null_mean": 0.2}, **COPOLE, null="degree", space="random")
    assert row(far, "copole")["p_random"] == pytest.approx(0.5)


def test_a_block_without_a_p_of_both_nulls_is_no_place(table):
    base = changed(table, {"p_family": 0.9}, **COPOLE)
    half = changed(base, {"p_family": 0.001}, **COPOLE, null="strata", layer=0.0)
    half = changed(half, {"p_family": np.nan, "p": np.nan}, **COPOLE, null="degree", layer=0.0)
    assert row(half, "copole")["p"] == 0.9

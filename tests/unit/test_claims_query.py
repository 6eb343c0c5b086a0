"""Queries and arithmetic: hand-computed numbers, filters that find their rows, and reasons in place of crashes."""

import numpy as np
import pandas as pd
import pytest
from claims_tables import DONORS, world

from opbench.claims.expression import check, evaluate, said
from opbench.claims.query import Number, Scope, answer
from opbench.claims.views import Missing, Tables
from opbench.config.benchmark import Statistics
from opbench.config.claims_query import Criterion, Operation, Query
from opbench.io.errors import InputError

STATISTICS = Statistics(bootstraps=200)


@pytest.fixture(scope="module")
def scope() -> Scope:
    bound = {"$campaign": "lodo", "$endpoint": "t_vs_ctl_auroc"}
    return Scope(Tables(world()), STATISTICS, bound, {"cd4_cd8": ["t_vs_ctl", "cd4_vs_cd8"]})


def query(table: str, column: str, where: dict | None = None, **more: object) -> Query:
    return Query.model_validate({"table": table, "column": column, "where": where or {}} | more)


HERE = {"campaign": "$campaign", "endpoint": "$endpoint"}
REAL = HERE | {"a": "extracted_head", "a_budget": "plateau"}
ROLE = {"campaign": "lodo", "endpoint": "cd4_cd8/auroc", "method": "pca10"}
FIRST = {"donor": ["d00", "d01", "x"]}


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        # Donors lie at 0.5 + 0.02 i, 0.59 on average; methods are constants above them (claims_tables).
        (query("means", "mean", HERE | {"subset": "all", "method": "pca10"}), 0.67),
        (query("means", "mean", HERE | {"subset": "all", "method": "extracted_head", "budget": "plateau"}), 0.69),
        (query("means", "mean", HERE | {"subset": "all", "method": ["pca10", "raw_log1p"]}, reduce="max"), 0.68),
        (query("means", "mean", HERE | {"subset": "all", "method": ["pca10", "raw_log1p"]}, reduce="mean"), 0.675),
        (query("pairs", "effect", HERE | {"a": "raw_log1p", "b": "pca10"}), 0.01),
        (query("pairs", "effect", HERE | {"a": "pca10", "b": "raw_log1p"}), -0.01),
        (query("pairs", "effect", REAL | {"b": "direct_mlp"}, reduce="min"), 0.03),
        (query("scores", "value", ROLE, reduce="mean"), 0.67),
        (query("scores", "value", HERE | {"method": "pca10", "donor": {"other_than": "d00"}}, reduce="min"), 0.60),
        (query("scores", "value", HERE | {"method": "pca10", "value": {"above": 0.7, "at_most": 0.74}}, reduce="count",
               when={"value": {"below": 0.73}}), 1.0),
        (query("scores", "value", HERE | {"method": "pca10"}, reduce="share", when=FIRST), 0.2),
        (query("costs", "parameters", {"method": "extracted_head"}, reduce="sum"), 24010.0),
        (query("scores", "value", HERE | {"method": "pca10"}, by=["donor"]), 0.67),
    ],
)  # fmt: skip
def test_queries_give_what_a_hand_gives_and_their_filter_finds_the_rows(scope, asked, value):
    found = answer(asked, scope)
    assert found.number.value == pytest.approx(value)
    assert len(world()[found.source].query(found.where)) == found.rows > 0


def test_a_pair_turned_round_turns_its_interval(scope):
    forward = answer(query("pairs", "effect", HERE | {"a": "rp512", "b": "frozen_embedding", "b_arm": "cls"}), scope)
    back = answer(query("pairs", "effect", HERE | {"a": "frozen_embedding", "a_arm": "cls", "b": "rp512"}), scope)
    assert forward.number.low == pytest.approx(-back.number.high)
    assert forward.number.low <= forward.number.value == pytest.approx(0.04)
    assert (forward.number.n, forward.rows, back.rows) == (10, 1, 1)
    own = world()["comparisons"].query(forward.where)
    assert set(own["method_a"]) | set(own["method_b"]) == {"rp512", "frozen_embedding (cls)"}


def test_scores_that_do_not_count_are_left_out():
    scores = world()["scores"].copy()
    bad = (scores["method"] == "pca10") & (scores["donor"] == "d09")
    scores.loc[bad, ["status", "value"]] = ["failed", 99.0]
    scope = Scope(Tables({"scores": scores}), STATISTICS)
    asked = query("scores", "value", {"method": "pca10", "endpoint": "t_vs_ctl_auroc"}, by=["donor"])
    found = answer(asked, scope)
    assert list(found.number.series.index) == DONORS[:9]
    assert len(scores.query(found.where)) == found.rows == 9


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (query("gates", "value"), "table 'gates' is not in this run"),
        (query("means", "mean", {"method": "nobody"}), 'table summary has no row where method == "nobody"'),
        (query("means", "sd_draws", {"method": "pca10"}), "has no sd_draws"),
        (query("means", "mean", {"method": "pca10"}), "rows where one was expected"),
        (query("scores", "value", {"method": ["pca10", "nobody"]}, reduce="min", each="method"), "nothing of nobody"),
    ],
)
def test_what_is_not_there_is_a_reason(scope, asked, reason):
    with pytest.raises(Missing, match=reason):
        answer(asked, scope)


def test_a_column_of_a_later_table_is_checked_when_it_comes():
    scope = Scope(Tables({"gates": pd.DataFrame({"value": [1.0]})}), STATISTICS)
    with pytest.raises(InputError, match="gates has no column 'gate'"):
        answer(query("gates", "value", {"gate": "x"}), scope)


def series(*values: float) -> Number:
    index = pd.Index([f"d{i}" for i in range(len(values))], name="donor")
    return Number(float(np.mean(values)), n=len(values), series=pd.Series(values, index, dtype=float))


NAMED = {
    "two": Number(2.0, 1.5, 2.5, 8), "three": Number(3.0), "zero": Number(0.0), "below": Number(-2.0, -2.5, -1.5, 8),
    "up": series(1, 2, 3, 4, 5, 6), "shifted": series(2, 3, 4, 5, 6, 7), "mixed": series(0, 3, 3, 5, 4, 9),
    "flat": series(1, 1, 1, 1, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"difference": ["two", "three"]}, -1.0),
        ({"ratio": [{"difference": ["three", "two"]}, {"difference": ["three", 0.5]}]}, 0.4),
        ({"largest": ["two", "three", "below"]}, 3.0),
        ({"smallest": ["up"]}, 1.0),
        ({"largest": ["up"]}, 6.0),
        ({"magnitude": "below"}, 2.0),
        ({"low": "two"}, 1.5),
        ({"high": {"magnitude": "below"}}, 2.5),
        ({"difference": ["shifted", "up"]}, 1.0),
        ({"share_above": ["mixed", "up"]}, 0.5),
        ({"correlation": ["up", "shifted"]}, 1.0),
        ({"signed_rank": ["shifted", "up"]}, 2 / 2**6),
        ({"null_floor": "up"}, 5.0),  # the largest of 15 differences
    ],
)
def test_arithmetic(expression, value):
    found = evaluate(Operation.model_validate(expression), NAMED, STATISTICS)
    assert found.value == pytest.approx(value)


def test_intervals_follow_the_arithmetic():
    paired = evaluate(Operation.model_validate({"difference": ["mixed", "up"]}), NAMED, STATISTICS)
    assert paired.low < paired.value < paired.high
    assert paired.n == 6
    moved = evaluate(Operation.model_validate({"difference": ["two", 1.0]}), NAMED, STATISTICS)
    assert (moved.low, moved.high) == (0.5, 1.5)
    about_zero = {"near": Number(0.1, -0.2, 0.3)}
    size = [evaluate(Operation.model_validate({bound: {"magnitude": "near"}}), about_zero, STATISTICS).value
            for bound in ("low", "high")]  # fmt: skip
    assert size == [0.0, 0.3]
    unknown = evaluate(Operation.model_validate({"difference": ["two", "below"]}), NAMED, STATISTICS)
    assert np.isnan(unknown.low)  # two numbers with intervals of their own: theirs is not known


def test_a_correlation_has_fishers_interval():
    found = evaluate(Operation.model_validate({"correlation": ["up", "mixed"]}), NAMED, STATISTICS)
    r, reach = np.corrcoef([1, 2, 3, 4, 5, 6], [0, 3, 3, 5, 4, 9])[0, 1], 1.959964 / np.sqrt(3)
    expected = np.tanh([np.arctanh(r) - reach, np.arctanh(r) + reach])
    assert [found.value, found.low, found.high] == pytest.approx([r, *expected], rel=1e-5)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ({"ratio": ["two", "zero"]}, "zero is 0"),
        ({"low": "three"}, "three has no interval"),
        ({"correlation": ["up", "two"]}, "two is no series"),
        ({"correlation": ["up", "flat"]}, "that differ"),
        ({"null_floor": "two"}, "two is no series"),
    ],
)
def test_arithmetic_without_a_result_is_a_reason(expression, reason):
    with pytest.raises(Missing, match=reason):
        evaluate(Operation.model_validate(expression), NAMED, STATISTICS)


def test_criteria_speak():
    criterion = Criterion.model_validate({"value": {"low": "two"}, "above": "three"})
    assert check(criterion, NAMED, STATISTICS) == (False, "lower bound of two (1.5) is not above three (3)")
    assert check(Criterion(value="two", at_most=2), NAMED, STATISTICS) == (True, "two (2) is at most 2")
    assert said(Operation.model_validate({"ratio": ["a_b", {"difference": ["c", 1]}]})) == "a b over (c minus 1)"

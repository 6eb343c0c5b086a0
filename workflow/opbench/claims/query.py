"""Answers a query: the number, its interval and donors where the table has them, and a filter that finds its rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from opbench.claims.views import WITH_STATUS, Missing, Tables, source_of
from opbench.config.benchmark import Statistics
from opbench.config.claims_query import Bound, Query, Where
from opbench.io.errors import InputError
from opbench.io.tables import SCORED

#: Columns that an interval of their row belongs to, and the names of its bounds.
WITH_INTERVAL = ("mean", "effect", "value")
BOUNDS = (("ci_low", "ci_high"), ("low", "high"))
#: What a row that `min` or `max` keeps is called.
NAMED_BY = ("control", "method", "operator", "system", "null")
#: Columns that a view has in place of labels; a filter on the published table names the labels instead.
TAKEN_APART = {"means": ("method", "arm", "budget"), "pairs": ("a", "a_arm", "a_budget", "b", "b_arm", "b_budget")}
SIGNS = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<="}
METHODS = {">": "gt", ">=": "ge", "<": "lt", "<=": "le"}
#: What tells one row of `comparisons` from another.
PAIR = ["run", "panel", "campaign", "family", "endpoint", "method_a", "method_b"]
NAN = float("nan")


@dataclass(frozen=True)
class Number:
    """A number with its interval (NaN without one), donors (0 where it has none), its row's name, or a series."""

    value: float
    low: float = NAN
    high: float = NAN
    n: int = 0
    name: str = ""
    series: pd.Series | None = None


@dataclass(frozen=True)
class Found:
    """A number and where it came from: published table, filter in pandas' words, and rows that the filter finds."""

    number: Number
    source: str
    where: str
    rows: int


@dataclass(frozen=True)
class Scope:
    """What a test case is about.

    bound: placeholder -> value; roles: role -> this run's endpoints that stand for it, without their metric.
    """

    tables: Tables
    statistics: Statistics
    bound: Mapping[str, object] = field(default_factory=dict)
    roles: Mapping[str, list[str]] = field(default_factory=dict)

    def resolve(self, value: object) -> object:
        """Put what a placeholder or a role stands for in its place."""
        if isinstance(value, list):
            flat = [self.resolve(item) for item in value]
            return [one for item in flat for one in (item if isinstance(item, list) else [item])]
        if isinstance(value, str) and value.startswith("$"):
            if value not in self.bound:
                raise InputError(f"claims: {value} has no value in a case without one; name it, or leave it out.")
            return self.bound[value]
        return self.endpoints(value) if isinstance(value, str) and "/" in value else value

    def endpoints(self, name: str) -> list[str]:
        """Endpoints that `role/metric` stands for; any other name stands for itself."""
        role, _, metric = name.partition("/")
        return [f"{one}_{metric}" for one in self.roles.get(role, [])] if metric else [name]


def answer(query: Query, scope: Scope) -> Found:
    """Run one query; `Missing` says which table, row or value there is not."""
    frame = scope.tables.get(query.table)
    if absent := [name for name in (query.column, *query.where, *query.when, *query.by) if name not in frame]:
        raise InputError(f"claims: {query.table} has no column '{absent[0]}'; it has {', '.join(frame.columns)}.")
    keep, text = conditions(frame, query.where, scope)
    rows = frame[keep]
    source, said = source_of(query.table), " and ".join(text) or "all rows"
    if rows.empty:
        whole = scope.tables.whole(query.table)
        idle = whole[conditions(whole, query.where, scope)[0]]
        raise Missing(f"table {source} has no {'value' if len(idle) else 'row'} where {said}{_why(idle)}")
    if query.reduce not in ("count", "share"):
        empty = rows[query.column].isna()
        if empty.all():
            raise Missing(f"table {source} has no {query.column} where {said}{_why(rows)}")
        rows = rows[~empty]
        text += [f"{query.column} == {query.column}"] if empty.any() else []
    _complete(query, rows, scope, said)
    filters = _published(query.table, rows, text)
    return Found(_reduce(query, rows, scope, said), source, filters, _count(query.table, rows))


def _why(rows: pd.DataFrame) -> str:
    """What the table itself says of values that there are not."""
    reasons = [text for text in rows["reason"].unique() if text] if "reason" in rows else []
    return f": {reasons[0]}" if reasons else ""


def _complete(query: Query, rows: pd.DataFrame, scope: Scope, said: str) -> None:
    """`Missing` names the listed values of the column `each` that have no row."""
    if query.each is None:
        return
    wanted, present = scope.resolve(query.where[query.each]), set(rows[query.each])
    if absent := [str(name) for name in wanted if name not in present]:  # type: ignore[attr-defined]
        raise Missing(f"table {source_of(query.table)} has nothing of {', '.join(absent)} where {said}")


def _count(table: str, rows: pd.DataFrame) -> int:
    """Rows of the published table: a pair that a query takes both ways round is one of them."""
    return len(rows.drop_duplicates(PAIR)) if table == "pairs" else len(rows)


def _reduce(query: Query, rows: pd.DataFrame, scope: Scope, said: str) -> Number:
    if query.by:
        series = rows.groupby(query.by)[query.column].mean()
        return Number(float(series.mean()), n=len(series) if query.by == ["donor"] else 0, series=series)
    if query.reduce in ("count", "share"):
        hits = conditions(rows, query.when, scope)[0]
        return Number(float(hits.sum() if query.reduce == "count" else hits.mean()), n=_donors(query.table, rows))
    values = rows[query.column].astype(float)
    if query.reduce in ("mean", "sum"):
        return Number(float(values.agg(query.reduce)), n=_donors(query.table, rows))
    if query.reduce == "one" and len(rows) > 1:
        raise Missing(f"table {source_of(query.table)} has {len(rows)} rows where one was expected ({said})")
    row = rows.loc[{"one": values.idxmax, "min": values.idxmin, "max": values.idxmax}[query.reduce]()]
    bounds = next((pair for pair in BOUNDS if query.column in WITH_INTERVAL and pair[0] in rows), None)
    low, high = (float(row[bounds[0]]), float(row[bounds[1]])) if bounds else (NAN, NAN)
    # A null of the geometry names what was permuted, not what stands beside.
    named = () if query.table.startswith("geometry") else NAMED_BY
    name = next((str(row[column]) for column in named if column in rows), "")
    return Number(float(row[query.column]), low, high, _donors(query.table, rows.loc[[row.name]]), name)


def _donors(table: str, rows: pd.DataFrame) -> int:
    """Fewest donors of any row; 0 in tables that do not count them (`n` of a score counts cells)."""
    column = "n" if table in ("pairs", "compaction", "factors") else "n_donors"
    if table == "compaction":  # an endpoint with few donors has no q, and is none of those that `losses` counts
        rows = rows[rows["q"].notna()]
    return int(rows[column].min()) if column in rows and len(rows) else 0


def conditions(frame: pd.DataFrame, where: Where, scope: Scope) -> tuple[np.ndarray, list[str]]:
    """Which rows fulfil all conditions, (n,), and each condition in pandas' words."""
    keep, text = np.ones(len(frame), dtype=bool), []
    for column, wanted in where.items():
        values = frame[column]
        if isinstance(wanted, Bound):
            for key, sign in SIGNS.items():
                if (limit := getattr(wanted, key)) is not None:
                    keep &= getattr(pd.to_numeric(values, errors="coerce"), METHODS[sign])(limit).to_numpy(bool)
                    text.append(f"{column} {sign} {limit!r}")
            if wanted.other_than is not None:
                barred = scope.resolve(wanted.other_than)
                keep &= ~values.isin(barred if isinstance(barred, list) else [barred]).to_numpy(bool)
                text.append(f"{column} {'not in' if isinstance(barred, list) else '!='} {_quoted(barred)}")
            continue
        chosen = scope.resolve(wanted)
        if isinstance(chosen, list) and len(chosen) == 1:
            chosen = chosen[0]
        keep &= values.isin(chosen if isinstance(chosen, list) else [chosen]).to_numpy(bool)
        text.append(f"{column} {'in' if isinstance(chosen, list) else '=='} {_quoted(chosen)}")
    return keep, text


def _quoted(value: object) -> str:
    return repr(value) if isinstance(value, bool | int | float) else json.dumps(value, ensure_ascii=False)


def _published(table: str, rows: pd.DataFrame, text: list[str]) -> str:
    """The filter for the published table: conditions on what a view took apart become lists of labels."""
    own = [part for part in text if part.split(" ")[0] not in TAKEN_APART.get(table, ())]
    if table == "means":
        own.append(f"method in {_quoted(sorted(rows['label'].unique()))}")
    if table in WITH_STATUS:
        own.append(f"status in {_quoted(list(SCORED))}")
    if table == "pairs":
        a, b = (_quoted(sorted(rows[f"label_{side}"].unique())) for side in "ab")
        pair = f"(method_a in {a} and method_b in {b}) or (method_a in {b} and method_b in {a})"
        own += ['unit == "donor"', 'family != "healthy"', f"({pair})"]
    return " and ".join(own)

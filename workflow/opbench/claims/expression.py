"""Arithmetic on named numbers, and comparisons in words."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from opbench.claims.query import NAN, Number
from opbench.claims.views import Missing
from opbench.config.benchmark import Statistics
from opbench.config.claims_query import Criterion, Operation
from opbench.statistics.floors import null_floor
from opbench.statistics.tests import bootstrap_means, signed_rank_exact

#: Fewest groups for a correlation.
FEWEST = 5
#: Largest |correlation| whose Fisher z is taken: that of 1 is infinite.
NEAR_ONE = 1 - 1e-12
#: Operations that are said between their operands.
PLAIN = ("difference", "ratio")
WORDS = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most", "equals": "equal to"}
TESTS = {
    "above": lambda a, b: a > b, "at_least": lambda a, b: a >= b, "below": lambda a, b: a < b,
    "at_most": lambda a, b: a <= b, "equals": lambda a, b: a == b,
}  # fmt: skip


def evaluate(
    expression: str | float | Operation, named: Mapping[str, Number], statistics: Statistics, level: float = 0.95
) -> Number:
    """The number of an expression; `Missing` says which part has none. level: that of null floors."""
    if isinstance(expression, str):
        return named[expression]
    if not isinstance(expression, Operation):
        return Number(float(expression))
    parts = [evaluate(operand, named, statistics, level) for operand in expression.operands]
    verb = expression.verb
    if verb in ("low", "high"):
        if np.isnan(bound := getattr(parts[0], verb)):
            raise Missing(f"{said(expression.operands[0])} has no interval")
        return Number(bound, n=parts[0].n)
    if verb in ("largest", "smallest"):
        return (max if verb == "largest" else min)([one for part in parts for one in _each(part)], key=_value)
    if verb == "magnitude":
        return _magnitude(parts[0])
    if verb == "null_floor":
        return _floor(said(expression.operands[0]), parts[0], level)
    if verb == "difference":
        return _difference(*parts, statistics)
    if verb == "ratio":
        if parts[1].value == 0:
            raise Missing(f"{said(expression.operands[1])} is 0, so that there is no ratio")
        return Number(parts[0].value / parts[1].value, n=_fewest(*parts))
    return _of_series(verb, *_aligned(expression, parts), statistics.level)


def _value(part: Number) -> float:
    return part.value


def _each(part: Number) -> list[Number]:
    """The members of a series by their group's name; any other number alone."""
    if part.series is None:
        return [part]
    return [Number(float(value), name=str(group)) for group, value in part.series.items()]


def _fewest(*parts: Number) -> int:
    """Donors of the part that has fewest; parts without donors, as constants, do not count."""
    return min((part.n for part in parts if part.n), default=0)


def _magnitude(part: Number) -> Number:
    """Absolute value; an interval that includes 0 becomes one from 0."""
    low, high = sorted((abs(part.low), abs(part.high)))
    low = 0.0 if part.low * part.high <= 0 else low
    return replace(part, value=abs(part.value), low=low, high=high, series=None)


def _floor(name: str, part: Number, level: float) -> Number:
    """Null against null: the `level` point of |difference| between two members of a series."""
    if part.series is None:
        raise Missing(f"{name} is no series; give its query 'by'")
    if np.isnan(found := null_floor(part.series.to_numpy(float)[None, :], level)):
        raise Missing(f"{name} has a single member, which gives no null floor")
    return Number(found)


def _difference(a: Number, b: Number, statistics: Statistics) -> Number:
    """Two series by donor are paired and get a bootstrap interval; a number without one only shifts the other's."""
    if a.series is not None and b.series is not None:
        both = pd.concat([a.series, b.series], axis=1, join="inner").dropna()
        if both.empty:
            raise Missing("the two series have no donor in common")
        paired = (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy(float)
        mean, low, high = bootstrap_means(paired[:, None], statistics.bootstraps, statistics.seed, statistics.level)
        return Number(float(mean[0]), float(low[0]), float(high[0]), len(paired))
    constant = np.isnan(b.low) and not b.n
    low, high = (a.low - b.value, a.high - b.value) if constant else (NAN, NAN)
    return Number(a.value - b.value, low, high, _fewest(a, b), a.name)


def _aligned(expression: Operation, parts: list[Number]) -> tuple[pd.Series, pd.Series]:
    for operand, part in zip(expression.operands, parts, strict=True):
        if part.series is None:
            raise Missing(f"{said(operand)} is no series; give its query 'by'")
    both = pd.concat([part.series for part in parts], axis=1, join="inner").dropna()
    if both.empty:
        raise Missing(f"{said(expression)}: the two series have no group in common")
    return both.iloc[:, 0], both.iloc[:, 1]


def _of_series(verb: str, a: pd.Series, b: pd.Series, level: float) -> Number:
    n = len(a) if a.index.name == "donor" else 0
    if verb == "share_above":
        return Number(float((a > b).mean()), n=n)
    if verb == "signed_rank":
        return Number(signed_rank_exact((a - b).to_numpy()).p, n=n)
    if len(a) < FEWEST or a.nunique() < 2 or b.nunique() < 2:
        raise Missing(f"a correlation needs {FEWEST} groups that differ, but there are {len(a)}")
    r = float(np.corrcoef(a, b)[0, 1])
    z, reach = np.arctanh(np.clip(r, -NEAR_ONE, NEAR_ONE)), norm.ppf((1 + level) / 2) / np.sqrt(len(a) - 3)
    return Number(r, float(np.tanh(z - reach)), float(np.tanh(z + reach)), n)


def said(expression: str | float | Operation) -> str:
    """An expression in words."""
    if isinstance(expression, str):
        return expression.replace("_", " ")
    if not isinstance(expression, Operation):
        return shown(expression)
    parts = [
        f"({said(operand)})" if isinstance(operand, Operation) and operand.verb in PLAIN else said(operand)
        for operand in expression.operands
    ]
    joined = {
        "difference": " minus ",
        "ratio": " over ",
        "share_above": " above ",
        "correlation": " and ",
        "signed_rank": " and ",
    }.get(expression.verb, ", ")
    before = {
        "share_above": "share of ",
        "signed_rank": "signed-rank p of ",
        "low": "lower bound of ",
        "high": "upper bound of ",
    }
    word = "" if expression.verb in PLAIN else before.get(expression.verb, f"{expression.verb.replace('_', ' ')} of ")
    return word + joined.join(parts)


def shown(value: float) -> str:
    """A number in a sentence."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def check(
    criterion: Criterion, named: Mapping[str, Number], statistics: Statistics, level: float = 0.95
) -> tuple[bool, str]:
    """Whether a criterion is met, and the fact in words: `lead (−0.03) is below 0`."""
    ours, limit = (evaluate(side, named, statistics, level) for side in (criterion.value, criterion.limit))
    met = bool(TESTS[criterion.verb](ours.value, limit.value))
    other = shown(limit.value)
    if not isinstance(criterion.limit, float):
        other = f"{said(criterion.limit)} ({other})"
    return (
        met,
        f"{said(criterion.value)} ({shown(ours.value)}) is {'' if met else 'not '}{WORDS[criterion.verb]} {other}",
    )

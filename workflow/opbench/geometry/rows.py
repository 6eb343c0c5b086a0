"""Tidy result rows: one per quantity and null, with the smallest p that its permutations could give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.nulls import Side, max_t_p, permutation_p, smallest_p

#: `layer` is -1 before the first block and NaN for a quantity over all layers; `term` is a compartment, channel, gene
#: or cell type; `null` names what was permuted (empty: nothing was); `p_family` is the max-T p over the call's cells,
#: `p_opposite` that of the other side (without family: of the cell).
COLUMNS = (
    "analysis", "layer", "scope", "axis", "term", "quantity", "value", "ci_low", "ci_high", "null", "side", "p",
    "p_family", "p_opposite", "p_floor", "permutations", "null_mean", "null_sd", "null_q95", "n", "status", "reason",
)  # fmt: skip
TEXTS = ("analysis", "scope", "axis", "term", "quantity", "null", "side", "status", "reason")


def cells(layers: Sequence[float], axes: Sequence[str], terms: Sequence[str] = ("",)) -> pd.DataFrame:
    """The cells layers × axes × terms, the last varying fastest: columns layer, axis, term."""
    index = pd.MultiIndex.from_product([list(layers), list(axes), list(terms)], names=["layer", "axis", "term"])
    return index.to_frame(index=False)


def make_rows(where: pd.DataFrame, value: NDArray, **columns: Any) -> pd.DataFrame:
    """Rows for the cells `where` with `value` (k,); other columns are scalars or (k,), absent ones empty.

    A value that is NaN has the status `not_testable`, with `reason` or that it is not defined.
    """
    frame = where.reset_index(drop=True).copy()
    frame["value"] = np.asarray(value, dtype=float)
    for name, content in columns.items():
        frame[name] = content
    for name in COLUMNS:
        if name not in frame:
            frame[name] = "" if name in TEXTS else 0 if name in ("n", "permutations") else np.nan
    if "status" not in columns:
        undefined = frame["value"].isna()
        frame["status"] = np.where(undefined, "not_testable", "ok")
        empty = undefined & (frame["reason"] == "")
        frame.loc[empty, "reason"] = "The quantity is not defined on these genes: a class or a spread is empty."
    frame[["n", "permutations"]] = frame[["n", "permutations"]].astype(np.int64)
    reals = [name for name in COLUMNS if name not in (*TEXTS, "n", "permutations")]
    frame[reals] = frame[reals].astype(float)
    return frame[list(COLUMNS)]


def null_rows(
    where: pd.DataFrame, value: NDArray, draws: NDArray, null: str, side: Side, family: bool = True, **columns: Any
) -> pd.DataFrame:
    """Rows for `value` (k,) against `draws` (N, k) of the null named `null`; `family`: max-T over the k cells."""
    value = np.asarray(value, dtype=float)
    if len(draws) == 0:
        reason = f"The null {null} has no draw: nothing can be exchanged."
        return make_rows(where, value, null=null, side=side, status="not_testable", reason=reason, **columns)
    draws = np.asarray(draws)
    summary = {
        "p": permutation_p(value, draws, side),
        "p_family": max_t_p(value, draws, side) if family else np.nan,
        "p_opposite": opposite_p(value, draws, side, family),
        "p_floor": smallest_p(len(draws), side),
        "permutations": len(draws),
        "null_mean": draws.mean(axis=0, dtype=np.float64),
        "null_sd": draws.std(axis=0, dtype=np.float64),
        "null_q95": np.quantile(draws, 0.95, axis=0),
    }
    return make_rows(where, value, null=null, side=side, **(summary | columns))


def opposite_p(value: NDArray, draws: NDArray, side: Side, family: bool) -> NDArray[np.float64] | float:
    """P of the side that is not asked, (k,), so that the opposite can be shown; NaN of a two-sided test."""
    if side == "two-sided":
        return float("nan")
    return (max_t_p if family else permutation_p)(value, draws, "less" if side == "greater" else "greater")


def not_testable(analysis: str, reason: str, /, **columns: Any) -> pd.DataFrame:
    """One row that says why an analysis cannot be run; `reason` is one sentence that names the file or the number."""
    where = pd.DataFrame({"layer": [np.nan], "axis": [""], "term": [columns.pop("term", "")]})
    return make_rows(where, np.array([np.nan]), **(columns | {"analysis": analysis, "reason": reason}))


def stack(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables, in order."""
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)[list(COLUMNS)]

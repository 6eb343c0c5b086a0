"""Ranks of the head scan, its best heads, and the head that the compaction chain uses (spec H.1, M6; decision 15)."""

import numpy as np
import pandas as pd

from opbench.config.discovery import Discovery

#: What a head is scored by.
SCORES = ("residualised", "correlation", "trust", "auroc3")
REAL, BEST = "real", "best"
#: Arms with one matrix for all heads.
SINGLE = ("uniform", "coexpression", "identity")


def complete(rows: pd.DataFrame, settings: Discovery) -> pd.DataFrame:
    """Add ranks, the best head of each arm and draw, the chosen head, and statuses to the rows of a scan.

    rows: arm, draw, seed, part, layer, index, n and `SCORES`. A control's rank is the one that it would have among the
    real heads of its head seed in the place of its own head; head `best` has the largest key of all heads. Of an arm
    with one matrix it is that matrix, the largest of nothing, and its reason says so.
    """
    key, small = settings.scan.key, rows["n"] < settings.gates.min_anchors
    rows = rows.assign(head="L" + rows["layer"].astype(str) + "H" + rows["index"].astype(str))
    rows[list(SCORES)] = rows[list(SCORES)].mask(small)
    rows = rows.assign(rank=_ranks(rows, key))
    best = _best(rows, key)
    chosen = choose(rows, key, settings.scan.select_on)
    rows = pd.concat([rows, best], ignore_index=True)
    rows = rows.assign(
        operator=_operators(rows), key=key, budget="fixed", chosen=(rows["arm"] == REAL) & (rows["head"] == chosen)
    )
    return _with_status(rows, key, settings.gates.min_anchors)


def _real_of(rows: pd.DataFrame, key: str) -> dict[tuple[str, int], pd.Series]:
    """Key of the real heads, by part and head seed."""
    real = rows[rows["arm"] == REAL]
    return {group: part.set_index("head")[key] for group, part in real.groupby(["part", "seed"])}  # type: ignore[misc]


def _ranks(rows: pd.DataFrame, key: str) -> np.ndarray:
    real = _real_of(rows, key)
    out = np.full(len(rows), np.nan)
    for i, (part, seed, head, value) in enumerate(rows[["part", "seed", "head", key]].itertuples(index=False)):
        if np.isfinite(value):
            out[i] = 1 + (real[part, seed].drop(head) > value).sum()
    return out


def _best(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """The head with the largest key of each arm, draw and part; its rank is as if it joined the real heads."""
    real = _real_of(rows, key)
    largest = rows[key].fillna(-np.inf).groupby([rows["arm"], rows["draw"], rows["part"]]).idxmax()
    best = rows.loc[largest]
    ranks = [
        1 + (real[part, seed] > value).sum() if np.isfinite(value) else np.nan
        for part, seed, value in best[["part", "seed", key]].itertuples(index=False)
    ]
    return best.assign(head=BEST, rank=ranks)


def choose(rows: pd.DataFrame, key: str, part: str) -> str:
    """The real head with the largest key on a part, averaged over head seeds; '' when none has a value."""
    means = rows[(rows["arm"] == REAL) & (rows["part"] == part)].groupby("head", sort=True)[key].mean()
    return str(means.idxmax()) if means.notna().any() else ""


def _operators(rows: pd.DataFrame) -> np.ndarray:
    own = "head-L" + rows["layer"].astype(str) + "H" + rows["index"].astype(str)
    drawn = own + ":" + rows["arm"] + "-" + rows["draw"].astype(str)
    return np.select([rows["arm"] == REAL, rows["arm"].isin(SINGLE)], [own, rows["arm"]], drawn)


def _with_status(rows: pd.DataFrame, key: str, min_anchors: int) -> pd.DataFrame:
    few = rows["n"] < min_anchors
    reason = np.select(
        [few, rows[key].isna(), rows["auroc3"].isna()],
        [
            rows["n"].astype(str) + f" anchors, fewer than {min_anchors}",
            "latent distances, or the ruler, have one value",
            "auroc3: no two-class task has anchors on both sides",
        ],
        "",
    )
    status = np.select([few, rows[key].isna()], ["not_testable", "failed"], "ok")
    rows = rows.assign(status=status, reason=reason)
    return rows.assign(reason=np.where(rows["head"] == BEST, _of_best(rows), rows["reason"]))


def _of_best(rows: pd.DataFrame) -> pd.Series:
    """Reasons of `best` rows with what the choice is worth, where there was one."""
    heads = rows.loc[(rows["arm"] == REAL) & (rows["head"] != BEST), "head"].nunique()
    alone = f"one matrix: nothing to choose from, while the real heads are the best of {heads}"
    chosen = "the best head is selected and tested on this part"
    said = np.select([rows["status"] != "ok", rows["arm"].isin(SINGLE), rows["arm"] == REAL], ["", alone, chosen], "")
    return (pd.Series(said, rows.index) + "; " + rows["reason"]).str.strip("; ")

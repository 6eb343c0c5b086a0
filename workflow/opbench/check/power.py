"""What the donor-level signed-rank test can show with so many donors (decision 11)."""

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.io.labels import method_labels
from opbench.io.tables import SCORED, SCORES, read_table
from opbench.statistics.family import BRACKETS, is_null
from opbench.statistics.power import LEVEL
from opbench.statistics.tests import signed_rank_exact

#: Standard deviation over donors of the difference between two competing methods, median over their 9 pairs: measured
#: in the run of config/marrow.yaml with the shipped checkpoint (campaign marrow_lodo, 8 to 14 donors). Two-class
#: endpoints: the median of the four of that campaign, which run from 0.0005 to 0.14 for AUROC and 0.02 to 0.09 else.
SPREAD = {
    "branch_balanced_accuracy": 0.047,
    "branch_macro_f1": 0.060,
    "stage_balanced_accuracy": 0.055,
    "stage_macro_f1": 0.053,
    "pseudotime_spearman": 0.22,
    "pseudotime_spearman_abs": 0.16,
    "pseudotime_within_lineage": 0.11,
    "depth_ridge_spearman": 0.15,
    "auroc": 0.024,
    "balanced_accuracy": 0.083,
}
SPREAD_SOURCE = "marrow run, campaign marrow_lodo"


def smallest_p(n: int) -> float:
    """Smallest two-sided p of the exact signed-rank test with n donors, none of them tied; 1 without donors."""
    return signed_rank_exact(np.arange(1, n + 1)).p_floor


def needed_at_floor(p_floor: float, family: int, level: float = LEVEL) -> int | None:
    """How many of `family` tests must reach `p_floor` for a Benjamini–Hochberg q below `level`; None: more than all."""
    needed = max(1, ceil(family * p_floor / level + 1e-9))
    return needed if needed <= family else None


def typical_spread(endpoint: str) -> float:
    """The measured sd of `SPREAD` for an endpoint; a two-class one goes by its measure."""
    measure = "auroc" if endpoint.endswith("_auroc") else "balanced_accuracy"
    return SPREAD.get(endpoint, SPREAD[measure])


def previous_spread(path: str | Path) -> dict[tuple[str, str], float]:
    """`donor_spread` of an earlier run's SCORES table."""
    return donor_spread(read_table(path, SCORES))


def donor_spread(scores: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(campaign, endpoint) -> sd over donors of the difference of two competing methods, median over pairs.

    `scores` is a SCORES table. Pairs are those that may carry a verdict; a donor's value is the mean over its splits.
    """
    scores = scores[scores["status"].isin(SCORED)].assign(label=method_labels(scores))
    drawn = scores.loc[scores["draw"] >= 0, "label"].unique()
    scores = scores[~scores["label"].isin(drawn) & ~scores["leaking"] & ~scores["protocol"].isin(BRACKETS)]
    budget = scores.groupby("label")["budget"].first().to_dict()
    found = {}
    for (campaign, endpoint), part in scores.groupby(["campaign", "endpoint"]):
        if is_null(str(endpoint)):
            continue
        values = part.groupby(["donor", "label"])["value"].mean().unstack()
        spreads = [(values[a] - values[b]).std() for a, b in pairs({label: budget[label] for label in values})]
        if len(spreads) and np.isfinite(spreads).any():
            found[str(campaign), str(endpoint)] = float(np.nanmedian(spreads))
    return found


def pairs(budgets: dict[str, str]) -> list[tuple[str, str]]:
    """Pairs of competing methods (label -> budget) that may carry a verdict: not those of different budgets."""
    labels = sorted(budgets)
    return [
        (a, b)
        for i, a in enumerate(labels)
        for b in labels[i + 1 :]
        if budgets[a] == budgets[b] or not budgets[a] or not budgets[b]
    ]

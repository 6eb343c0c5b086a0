"""Means over donors of every method and endpoint, with donor-bootstrap intervals."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.benchmark import Endpoints, Statistics
from opbench.io.labels import method_labels
from opbench.io.tables import SCORED, SCORES, SUMMARY, read_table, write_table
from opbench.statistics.family import CAMPAIGN, healthy_donors, verdict_endpoints
from opbench.statistics.tests import bootstrap_means

KEY = ["endpoint", "label"]


def _donor_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Value and cells per (endpoint, label, donor): draws and seeds within a split first, then splits."""
    cells = scores.groupby([*KEY, "donor", "split"], sort=True)[["value", "n"]].mean()
    return cells.groupby(level=[*KEY, "donor"]).mean()


def _sd_of_draws(scores: pd.DataFrame) -> pd.Series:
    """Standard deviation over draws of the donor mean, by (endpoint, label); NaN for a single draw."""
    cells = scores.groupby([*KEY, "draw", "donor", "split"], sort=True)["value"].mean()
    donors = cells.groupby(level=[*KEY, "draw", "donor"]).mean()
    return donors.groupby(level=[*KEY, "draw"]).mean().groupby(level=KEY).std(ddof=1)


def _intervals(donors: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Donor mean and bootstrap interval by (endpoint, label), one resampling per endpoint."""
    parts = []
    for endpoint, part in donors.groupby(level="endpoint", sort=True):
        wide = part["value"].droplevel("endpoint").unstack("label")
        mean, low, high = bootstrap_means(wide.to_numpy(), statistics.bootstraps, statistics.seed, statistics.level)
        index = pd.MultiIndex.from_product([[endpoint], wide.columns], names=KEY)
        parts.append(pd.DataFrame({"mean": mean, "ci_low": low, "ci_high": high}, index=index))
    return pd.concat(parts)


def _subset(scores: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    """Summary of one campaign's rows, one line per (endpoint, label), whether or not any value is valid."""
    every = scores.groupby(KEY, sort=True)
    table = every.agg(method=("label", "first"), protocol=("protocol", "first"), leaking=("leaking", "any"))
    table["n_not_ok"] = every["status"].agg(lambda status: (~status.isin(SCORED)).sum()).astype(int)
    valid = scores[scores["status"].isin(SCORED) & scores["value"].notna()]
    if valid.empty:
        return table.assign(
            n_donors=0, mean=np.nan, ci_low=np.nan, ci_high=np.nan, weighted_mean=np.nan, sd_draws=np.nan
        )
    donors = _donor_means(valid)
    cells = donors.groupby(level=KEY)["n"].sum().replace(0, np.nan)
    table["n_donors"] = donors.groupby(level=KEY).size()
    table["n_donors"] = table["n_donors"].fillna(0).astype(int)
    table["weighted_mean"] = (donors["value"] * donors["n"]).groupby(level=KEY).sum() / cells
    table["sd_draws"] = _sd_of_draws(valid)
    return table.join(_intervals(donors, statistics))


def summarise_scores(
    scores: pd.DataFrame, endpoints: Endpoints, statistics: Statistics, without_verdict: Collection[str] = ()
) -> pd.DataFrame:
    """Summarise every method on every endpoint of every campaign (contracts `SCORES` to `SUMMARY`).

    `mean` weighs donors equally and has the donor-bootstrap interval; `weighted_mean` weighs them by scored
    cells. `sd_draws` is the spread of the donor mean over random draws. Subset `healthy` is there when some
    but not all tested donors are healthy, and never carries a verdict, nor do campaigns `without_verdict`.
    `n_not_ok` counts rows whose status does not count.
    """
    verdict, parts = verdict_endpoints(endpoints), []
    for key, part in scores.assign(label=method_labels(scores)).groupby(CAMPAIGN, sort=True):
        healthy = healthy_donors(part, statistics)
        subsets = {"all": part}
        if healthy is not None:
            subsets["healthy"] = part[part["donor"].isin(healthy)]
        for subset, rows in subsets.items():
            table = _subset(rows, statistics).reset_index()
            carries = table["endpoint"].isin(verdict) & (table["n_donors"] >= endpoints.min_donors)
            may_carry = subset == "all" and key[CAMPAIGN.index("campaign")] not in without_verdict
            table["verdict"] = carries & may_carry
            parts.append(table.assign(subset=subset, **dict(zip(CAMPAIGN, key, strict=True))))
    if not parts:
        return SUMMARY.empty_table().to_pandas()
    return pd.concat(parts, ignore_index=True)[SUMMARY.names]


def write_summary(
    scores_path: str | Path,
    endpoints: Endpoints,
    statistics: Statistics,
    without_verdict: Collection[str],
    output: str | Path,
) -> None:
    """Summarise a score table and write the summary with a TSV copy."""
    scores = read_table(scores_path, SCORES)
    write_table(summarise_scores(scores, endpoints, statistics, without_verdict), output, SUMMARY, tsv=True)

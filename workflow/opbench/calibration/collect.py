"""Rates of verdicts with their intervals, from the trials of all chunks."""

from pathlib import Path

import pandas as pd
from scipy.stats import binomtest

from opbench.io.tables import CALIBRATION, TRIALS, read_tables, write_table

KEY = ["head", "case", "control", "n_donors", "effect"]
LEAD = "lead over "
LEVEL = 0.95


def mean_lead(trials: pd.DataFrame) -> pd.Series:
    """Lead over the control that is the strongest on average in each population, mean over populations, by `KEY`."""
    leads = trials[trials["test"].str.startswith(LEAD)]
    means = leads.groupby([*KEY, "world", "test"])["value"].mean()
    return means.groupby([*KEY, "world"]).min().groupby(KEY).mean().rename("lead")


def rates(trials: pd.DataFrame, run: str) -> pd.DataFrame:
    """Share of verdicts by case and test, with Clopper–Pearson intervals (contracts `TRIALS` to `CALIBRATION`)."""
    verdicts = trials[~trials["test"].str.startswith(LEAD)]
    found = verdicts.groupby([*KEY, "test"])["value"].agg(campaigns="size", positives="sum").reset_index()
    found[["campaigns", "positives"]] = found[["campaigns", "positives"]].astype(int)
    found["rate"] = found["positives"] / found["campaigns"]
    ends = [binomtest(row.positives, row.campaigns).proportion_ci(LEVEL, method="exact") for row in found.itertuples()]
    found = found.assign(ci_low=[end.low for end in ends], ci_high=[end.high for end in ends], run=run)
    return found.merge(mean_lead(trials).reset_index(), on=KEY, how="left")[CALIBRATION.names]


def write_calibration(run: str, trials: list[str] | list[Path], output: str | Path) -> None:
    """Collect the trials of all chunks and write the rates with a TSV copy."""
    write_table(rates(read_tables(trials, TRIALS), run), output, CALIBRATION, tsv=True)

"""What several figures read from SCORES and SUMMARY: one value per donor, and why there is none."""

from collections.abc import Mapping

import pandas as pd

from opbench.io.errors import InputError
from opbench.io.labels import method_labels
from opbench.io.tables import SCORED

KEYS = ["method", "endpoint", "donor"]


def of_scope(table: pd.DataFrame, column: str, scope: str, figure: str) -> pd.DataFrame:
    """Rows of `scope`; an empty selection is an error, since the figure would be empty."""
    rows = table[table[column] == scope]
    if rows.empty:
        known = ", ".join(sorted(table[column].unique())) or "none"
        raise InputError(
            f"figure {figure}: no row has {column} '{scope}' (the table knows: {known}); name one of these."
        )
    return rows


def campaign_tables(tables: Mapping[str, pd.DataFrame], scope: str, figure: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """SUMMARY over all tested donors of campaign `scope`, by (endpoint, method), and its values by donor."""
    summary = of_scope(tables["summary"], "campaign", scope, figure)
    summary = summary[summary["subset"] == "all"].set_index(["endpoint", "method"])
    # Labels are of the whole run, as SUMMARY's are: what has one arm here may have several in another campaign.
    scores = tables["scores"].assign(method=method_labels(tables["scores"]))
    return summary, donor_values(of_scope(scores, "campaign", scope, figure))


def donor_values(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per method label, endpoint and donor of one campaign; `method` holds SUMMARY's labels.

    `value` is the mean over draws and seeds within a split, then over the splits in which the donor is tested, of the
    rows whose status counts; where there is none it is NaN and `status` is the first other one.
    """
    ok = rows["status"].isin(SCORED) & rows["value"].notna()
    in_split = rows[ok].groupby([*KEYS, "split"])["value"].mean()
    facts = rows.groupby(KEYS)[["protocol", "condition", "leaking"]].first()
    facts["value"] = in_split.groupby(level=KEYS).mean()
    facts["status"] = rows[~rows["status"].isin(SCORED)].groupby(KEYS)["status"].first()
    facts["status"] = facts["status"].mask(facts["value"].notna(), "ok").fillna("no value")
    return facts.reset_index()


def why_not(status: pd.Series) -> str:
    """The most frequent status among donors without a value, in print."""
    bad = status[status != "ok"]
    name = "no value" if bad.empty else str(bad.value_counts().sort_index().idxmax())
    return {"oom": "out of memory"}.get(name, name.replace("_", " "))

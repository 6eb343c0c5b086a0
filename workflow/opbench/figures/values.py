"""What several figures read from SCORES and SUMMARY: one value per donor, and why there is none."""

import pandas as pd

from opbench.io.errors import InputError

KEYS = ["method", "endpoint", "donor"]


def of_scope(table: pd.DataFrame, column: str, scope: str, figure: str) -> pd.DataFrame:
    """Rows of `scope`; an empty selection is an error, since the figure would be empty."""
    rows = table[table[column] == scope]
    if rows.empty:
        known = sorted(table[column].unique())
        raise InputError(f"figure {figure}: no row has {column} '{scope}'; the tables know {known}.")
    return rows


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Replace `method` by the label of SUMMARY: `method`, or `method [budget]` where there is a budget."""
    budget = table["budget"]
    return table.assign(method=table["method"].where(budget == "", table["method"] + " [" + budget + "]"))


def donor_values(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per method label, endpoint and donor of one campaign.

    `value` is the mean over the splits in which the donor is tested, then over draws and seeds, of the rows whose
    status is `ok`; where there is none it is NaN and `status` and `reason` are those of the first other row.
    """
    rows = labelled(scores)
    ok = rows[rows["status"] == "ok"]
    per_draw = ok.groupby([*KEYS, "draw", "seed"], sort=False)["value"].mean()
    value = per_draw.groupby(level=KEYS).mean()
    first = rows.sort_values([*KEYS, "split", "draw"], kind="stable").groupby(KEYS)
    table = first[["protocol", "condition", "leaking", "status", "reason"]].first()
    table["value"] = value.reindex(table.index)
    scored = table["value"].notna()
    # A donor that failed in one split and was scored in another counts as scored.
    table.loc[scored, ["status", "reason"]] = ["ok", ""]
    bad = rows[rows["status"] != "ok"].groupby(KEYS)[["status", "reason"]].first()
    lost = table.index[~scored].intersection(bad.index)
    table.loc[lost, ["status", "reason"]] = bad.loc[lost]
    return table.reset_index()


def why_not(status: pd.Series) -> str:
    """The most frequent status among rows without a value, in print."""
    bad = status[status != "ok"]
    return "no value" if bad.empty else bad.value_counts().sort_index().idxmax().replace("_", " ")


def whole(summary: pd.DataFrame, scope: str) -> pd.DataFrame:
    """SUMMARY over all tested donors of a campaign, indexed by (endpoint, method)."""
    rows = summary[(summary["campaign"] == scope) & (summary["subset"] == "all")]
    return rows.set_index(["endpoint", "method"])

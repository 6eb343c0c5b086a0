"""How tables name a method that was run under several budgets."""

import pandas as pd


def method_labels(table: pd.DataFrame) -> pd.Series:
    """Label of each row of a table with columns `method` and `budget`.

    The label is the method, followed by its budget in brackets when the method has several budgets in the
    table. Hand in the table of a whole run, so that a label means the same thing in every campaign.
    """
    budgets = table["budget"].where(table["budget"] != "")
    several = budgets.groupby(table["method"]).transform("nunique") > 1
    return table["method"].where(~several | budgets.isna(), table["method"] + " [" + table["budget"] + "]")

"""How tables name a method that was run in several arms or under several budgets."""

import pandas as pd


def method_labels(table: pd.DataFrame) -> pd.Series:
    """Label of each row of a table with columns `method`, `arm` and `budget`.

    The label is the method, followed by its arm in parentheses and its budget in brackets when the method has several
    of them in the table. Hand in the table of a whole run, so that a label means the same thing in every campaign.
    """
    labels = table["method"]
    for column, (left, right) in {"arm": "()", "budget": "[]"}.items():
        named = table[column].where(table[column] != "")
        several = named.groupby(table["method"]).transform("nunique") > 1
        labels = labels.where(~several | named.isna(), labels + f" {left}" + table[column] + right)
    return labels

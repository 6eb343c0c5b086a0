"""The declared family: every headline finds rows of what the analyses write, and is one test."""

import numpy as np
from geometry_tables import planted_table

from opbench.geometry.family import HEADLINES, correct, members


def test_every_headline_that_is_planted_finds_rows_and_is_one_test():
    table = planted_table().assign(family="", q=np.nan, p_bonferroni=np.nan)
    table = table.assign(space="model", scope=np.where(table["analysis"] == "attention", "named_nonzero", "nonzero"))
    found = {name for name, rows in members(table).items() if len(rows)}
    ran = set(table.loc[table["p"].notna(), "analysis"])
    assert found == {name for name, where in HEADLINES.items() if where["analysis"] in ran}
    corrected = correct(table)
    tested = corrected[corrected["family"] != ""]
    assert set(tested["family"]) == found
    assert (tested.groupby("family")["q"].nunique() == 1).all()
    assert tested["p_family"].notna().all()
    smallest = tested.groupby("family")["p_family"].min()
    assert (tested.groupby("family")["p_bonferroni"].first() >= smallest).all()
    assert corrected.loc[corrected["family"] == "", "q"].isna().all()

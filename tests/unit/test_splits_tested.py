"""Campaigns that name the tested donors, and frozen campaigns between datasets that share donors."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from opbench.config.benchmark import Campaign
from opbench.io.errors import InputError
from opbench.splits.draw import draw_splits
from opbench.splits.views import rows, split_views


def cells(sizes: dict[tuple[str, str], int]) -> pd.DataFrame:
    obs = [(dataset, donor, "healthy") for (dataset, donor), n in sizes.items() for _ in range(n)]
    frame = pd.DataFrame(obs, columns=["dataset", "donor", "condition"])
    return frame.set_index(np.arange(len(frame)).astype(str))


ONE = cells({("a", f"d{i}"): 10 + i for i in range(6)} | {("a", "small"): 3})
TWO = pd.concat([ONE, cells({("b", "d1"): 20, ("b", "d2"): 20, ("b", "new"): 20})])


def campaign(design: str, **more: object) -> Campaign:
    return Campaign(**{"panel": "p", "design": design, "train": "a", "test": "a", "min_cells": 10, **more})


def test_only_named_donors_are_tested_and_all_others_train():
    table = draw_splits("r", "p", "c", campaign("leave_one_donor_out", splits=2, tested=["d4", "d1"]), ONE, set())
    views = split_views(table)
    assert [view.test_donors for view in views] == [("d1",), ("d4",)]
    assert set(views[0].train_donors) == {"d0", "d2", "d3", "d4", "d5", "small"}
    groups = campaign("grouped", splits=3, test_donors=2, tested=["d0", "d1", "d2"])
    tested = {view.test_donors for view in split_views(draw_splits("r", "p", "c", groups, ONE, set()))}
    assert tested == {("d0", "d1"), ("d0", "d2"), ("d1", "d2")}


@pytest.mark.parametrize(("donor", "message"), [("nobody", "not donors of 'a'"), ("small", "fewer than 10")])
def test_a_named_donor_that_cannot_be_tested_is_an_error(donor, message):
    chosen = campaign("leave_one_donor_out", splits=2, tested=["d1", donor])
    with pytest.raises(InputError, match=rf"campaigns\.c: field 'tested' names \['{donor}'\].*{message}"):
        draw_splits("r", "p", "c", chosen, ONE, set())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"splits": 3, "tested": ["d1", "d2"]}, "set it to 2"),
        ({"splits": 2, "tested": ["d1", "d1"]}, "twice"),
        ({"splits": 1, "tested": ["d1"], "never_tested": ["d1"]}, "both name"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(more, message):
    with pytest.raises(ValidationError, match=message):
        campaign("leave_one_donor_out", **more)


def test_shared_donors_are_an_error_or_held_out():
    frozen = {"train": "a", "test": "b", "splits": 1}
    with pytest.raises(InputError, match=r"share the donor names \['d1', 'd2'\]"):
        draw_splits("r", "p", "c", campaign("frozen", **frozen), TWO, set())
    (view,) = split_views(
        draw_splits("r", "p", "c", campaign("frozen", **frozen, shared_donors="hold_out"), TWO, set())
    )
    assert view.test_donors == ("d1", "d2", "new")
    assert view.train_donors == ("d0", "d3", "d4", "d5", "small")
    train, test = rows(TWO, view)
    donors = TWO["donor"].to_numpy()
    assert not set(donors[train]) & set(donors[test])

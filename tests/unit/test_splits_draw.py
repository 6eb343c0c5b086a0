from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from opbench.config.benchmark import Campaign
from opbench.io.errors import InputError
from opbench.io.tables import SPLITS, read_table, to_table
from opbench.splits.draw import draw_splits, write_splits
from opbench.splits.views import chunk_of, rows, split_views


def cells(sizes: dict[str, int], dataset: str = "a") -> pd.DataFrame:
    """Shuffled `obs` with `sizes` cells per donor; every third cell is of the rarer condition."""
    donor = np.repeat(list(sizes), list(sizes.values()))
    condition = np.where(np.arange(len(donor)) % 3 == 2, "healthy", "AML")
    obs = pd.DataFrame({"dataset": dataset, "donor": donor, "condition": condition})
    obs = obs.iloc[np.random.default_rng(0).permutation(len(obs))]
    return obs.set_index(dataset + ":" + obs.index.astype(str))


def campaign(design: str, splits: int, **more: object) -> Campaign:
    return Campaign(panel="p", design=design, train="a", splits=splits, **({"test": "a", "min_cells": 10} | more))


SIZES = {f"d{i}": 10 + i for i in range(9)} | {"small": 4}


def drawn(design: str, splits: int, obs: pd.DataFrame, corpus: set[str] = frozenset(), **more: object) -> pd.DataFrame:
    table = draw_splits("r", "p", "c", campaign(design, splits, **more), obs, corpus)
    to_table(table, SPLITS, "splits")
    return table


def assert_disjoint(table: pd.DataFrame, obs: pd.DataFrame) -> None:
    for view in split_views(table):
        assert not set(view.train_donors) & set(view.test_donors)
        train, test = rows(obs, view)
        donor = obs["donor"].to_numpy()
        assert set(donor[train]) == set(view.train_donors)
        assert set(donor[test]) == set(view.test_donors)
        counted = table[table["split"] == view.index].groupby("role")["n_cells"].sum()
        assert (len(train), len(test)) == (counted["train"], counted["test"])


def test_leave_one_out_tests_every_eligible_donor_once_and_trains_on_all_others():
    obs = cells(SIZES)
    table = drawn("leave_one_donor_out", 8, obs, {"d1", "small"}, never_tested=["d0"])
    assert_disjoint(table, obs)
    views = split_views(table)
    assert [v.test_donors for v in views] == [(f"d{i}",) for i in range(1, 9)]
    for view in views:
        assert set(view.train_donors) == set(SIZES) - set(view.test_donors)
    assert set(table.loc[table["pretraining_overlap"], "donor"]) == {"d1", "small"}
    assert table["seed"].nunique() == 8
    assert (table.groupby("split")["seed"].nunique() == 1).all()
    assert set(table["condition"]) == {"AML"}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("size", "splits"), [(3, 20), (3, 84), (2, 5), (4, 13)])
def test_groups_are_disjoint_balanced_and_never_repeated(seed, size, splits):
    obs = cells(SIZES)
    table = drawn("grouped", splits, obs, test_donors=size, seed=seed)
    if seed == 0:
        assert_disjoint(table, obs)
    groups = [v.test_donors for v in split_views(table)]
    assert len(set(groups)) == splits
    assert {len(g) for g in groups} == {size}
    tested = pd.Series([d for g in groups for d in g]).value_counts().reindex([f"d{i}" for i in range(9)], fill_value=0)
    assert tested.sum() == splits * size
    # All 84 triples give every donor 28 tests exactly; otherwise passes over the donors keep counts together.
    assert tested.max() - tested.min() <= (0 if splits == 84 else 2)


def test_draws_depend_on_the_campaign_seed_alone():
    obs = cells(SIZES)
    first = drawn("grouped", 10, obs, seed=5)
    again = drawn("grouped", 10, obs.sort_values("donor"), seed=5)
    pd.testing.assert_frame_equal(first, again)
    assert not first["donor"].equals(drawn("grouped", 10, obs, seed=6)["donor"])
    # A longer campaign begins with the shorter one.
    longer = drawn("grouped", 12, obs, seed=5)
    pd.testing.assert_frame_equal(first, longer[longer["split"] < 10])


def test_frozen_trains_on_one_dataset_and_tests_all_eligible_donors_of_the_other():
    obs = pd.concat([cells({"d0": 20, "d1": 3}), cells({"k0": 12, "k1": 15, "k2": 2}, "b")])
    table = drawn("frozen", 1, obs, test="b")
    (view,) = split_views(table)
    assert (view.train_donors, view.test_donors) == (("d0", "d1"), ("k0", "k1"))
    assert_disjoint(table, obs)


def test_frozen_refuses_a_donor_name_in_both_datasets():
    obs = pd.concat([cells({"d0": 20, "d1": 30}), cells({"d1": 12, "k1": 15}, "b")])
    with pytest.raises(InputError, match=r"\['d1'\]"):
        drawn("frozen", 1, obs, test="b")


@pytest.mark.parametrize(
    ("design", "splits", "more", "says"),
    [
        ("leave_one_donor_out", 8, {}, r"'splits' is 8 .*9 testable donors \(d0, d1.*d8\); set it to 9"),
        ("leave_one_donor_out", 9, {"never_tested": ["dO"]}, r"'never_tested' names \['dO'\]"),
        ("leave_one_donor_out", 9, {"min_cells": 500}, "leaves no donor"),
        ("grouped", 85, {}, "only 84 groups of 3"),
        ("grouped", 1, {"test_donors": 9}, "trains on 1 of the 10 donors"),
        ("frozen", 1, {"test": "b"}, "'test' names 'b'"),
    ],
)
def test_impossible_campaigns_are_refused_in_words(design, splits, more, says):
    with pytest.raises(InputError, match=says):
        drawn(design, splits, cells(SIZES), **more)


def test_rows_refuse_a_shared_donor_and_an_absent_one():
    obs = cells(SIZES)
    table = drawn("leave_one_donor_out", 9, obs)
    broken = table.copy()
    broken.loc[(broken["split"] == 0) & (broken["donor"] == "d1"), "donor"] = "d0"
    with pytest.raises(AssertionError, match="tested donors"):
        rows(obs, split_views(broken)[0])
    with pytest.raises(InputError, match="d3"):
        rows(obs[obs["donor"] != "d3"], split_views(table)[0])


def test_chunks_partition_the_splits():
    views = split_views(drawn("leave_one_donor_out", 9, cells(SIZES)))
    chunks = [chunk_of(views, i, 4) for i in range(3)]
    assert [len(c) for c in chunks] == [4, 4, 1]
    assert [v for c in chunks for v in c] == views
    assert all(a.index + 1 == b.index for a, b in pairwise(views))
    for outside in (-1, 3):
        with pytest.raises(InputError, match="chunks 0 to 2"):
            chunk_of(views, outside, 4)


def test_wrapper_reads_obs_only(tmp_path):
    import anndata

    obs = cells(SIZES)
    anndata.AnnData(np.zeros((len(obs), 2), np.float32), obs=obs).write_h5ad(tmp_path / "panel.h5ad")
    corpus = cells({"d2": 5, "other": 5})
    anndata.AnnData(np.zeros((10, 2), np.float32), obs=corpus[["donor"]]).write_h5ad(tmp_path / "corpus.h5ad")
    import h5py

    with h5py.File(tmp_path / "panel.h5ad", "a") as file:
        del file["X"]
    args = ("r", "p", "c", campaign("leave_one_donor_out", 9), tmp_path / "panel.h5ad")
    write_splits(*args, tmp_path / "corpus.h5ad", tmp_path / "splits.parquet")
    table = read_table(tmp_path / "splits.parquet", SPLITS)
    pd.testing.assert_frame_equal(table, drawn("leave_one_donor_out", 9, obs, {"d2"}), check_dtype=False)
    with pytest.raises(InputError, match="condition"):
        write_splits(*args[:4], tmp_path / "corpus.h5ad", None, tmp_path / "none.parquet")

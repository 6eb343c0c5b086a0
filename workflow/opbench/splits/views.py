"""Views of a split: the cells that train and the cells that are tested."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opbench.io.errors import InputError


@dataclass(frozen=True)
class SplitView:
    """One split of one campaign, donors sorted."""

    index: int
    seed: int
    train_donors: tuple[str, ...]
    test_donors: tuple[str, ...]
    train_dataset: str
    test_dataset: str


def split_views(splits: pd.DataFrame) -> list[SplitView]:
    """The splits of one campaign's table (contract `SPLITS`), by index."""
    views = []
    for index, part in splits.groupby("split", sort=True):
        train, test = part[part["role"] == "train"], part[part["role"] == "test"]
        views.append(
            SplitView(
                index=int(index),
                seed=int(part["seed"].iloc[0]),
                train_donors=tuple(sorted(train["donor"])),
                test_donors=tuple(sorted(test["donor"])),
                train_dataset=str(train["dataset"].iloc[0]),
                test_dataset=str(test["dataset"].iloc[0]),
            )
        )
    return views


def chunk_of(splits: list[SplitView], chunk: int, splits_per_job: int) -> list[SplitView]:
    """The splits that job number `chunk` (from 0) works through; a chunk past the last split is an error."""
    part = splits[chunk * splits_per_job : (chunk + 1) * splits_per_job] if chunk >= 0 else []
    if not part:
        raise InputError(
            f"chunk {chunk} of {splits_per_job} splits a job: there are only {len(splits)} splits, so ask "
            f"for chunks 0 to {max(0, -(-len(splits) // splits_per_job) - 1)}."
        )
    return part


def rows(obs: pd.DataFrame, view: SplitView) -> tuple[np.ndarray, np.ndarray]:
    """Integer positions in `obs` of the training and of the test cells, ascending.

    Donors are told apart by name alone, across datasets too. Raises `AssertionError` when a training cell
    has a donor that is tested, `InputError` when a donor of the split has no cell.
    """
    dataset, donor = obs["dataset"].astype(str).to_numpy(), obs["donor"].astype(str).to_numpy()
    train = np.flatnonzero((dataset == view.train_dataset) & np.isin(donor, view.train_donors))
    test = np.flatnonzero((dataset == view.test_dataset) & np.isin(donor, view.test_donors))
    shared = sorted(set(donor[train]) & set(donor[test]))
    if shared:
        raise AssertionError(f"Split {view.index} would train on cells of the tested donors {shared}.")
    if absent := ({*view.train_donors} - {*donor[train]}) | ({*view.test_donors} - {*donor[test]}):
        raise InputError(
            f"split {view.index}: donors {sorted(absent)} have no cell in the panel; delete the splits "
            "table and run again."
        )
    return train, test

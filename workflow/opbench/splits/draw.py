"""Donor-holdout splits: which donors train, which are tested, under one seed for all methods."""

from itertools import count
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.benchmark import Campaign
from opbench.io.errors import InputError
from opbench.io.h5ad import read_obs
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.tables import SPLITS, write_table

#: Columns of a panel's `obs` that splits depend on.
COLUMNS = ("dataset", "donor", "condition")


def donor_table(obs: pd.DataFrame) -> pd.DataFrame:
    """One row per (dataset, donor): `n_cells` and the most common condition (ties: the first by name)."""
    grouped = obs[list(COLUMNS)].astype(str).groupby(["dataset", "donor"], sort=True)["condition"]
    return grouped.agg(n_cells="size", condition=lambda values: values.mode().iloc[0]).reset_index()


def _of_dataset(donors: pd.DataFrame, dataset: str, where: str, field: str) -> pd.DataFrame:
    """The donors of one dataset; none is an error."""
    chosen = donors[donors["dataset"] == dataset]
    if chosen.empty:
        raise InputError(
            f"{where}: field '{field}' names '{dataset}', of which the panel holds no cell; "
            f"name one of {sorted(donors['dataset'].unique())}."
        )
    return chosen


def eligible_donors(donors: pd.DataFrame, campaign: Campaign, where: str) -> list[str]:
    """Donors of the test dataset with `min_cells` cells that are `tested` and not in `never_tested`, sorted."""
    test = _of_dataset(donors, campaign.test, where, "test")
    for field in ("tested", "never_tested"):
        if unknown := sorted(set(getattr(campaign, field) or []) - set(test["donor"])):
            raise InputError(
                f"{where}: field '{field}' names {unknown}, which are not donors of '{campaign.test}'; "
                f"its donors are {sorted(test['donor'])}."
            )
    enough = set(test.loc[test["n_cells"] >= campaign.min_cells, "donor"])
    if small := sorted(set(campaign.tested or []) - enough):
        raise InputError(
            f"{where}: field 'tested' names {small}, which have fewer than {campaign.min_cells} benchmarked cells; "
            "take them out (and count 'splits' again) or lower 'min_cells'."
        )
    eligible = sorted((enough if campaign.tested is None else set(campaign.tested)) - set(campaign.never_tested))
    if not eligible:
        raise InputError(
            f"{where}: field 'min_cells' is {campaign.min_cells} and leaves no donor of "
            f"'{campaign.test}' to test; lower it."
        )
    return eligible


def _left_out(eligible: list[str], campaign: Campaign, where: str) -> list[list[str]]:
    """Every eligible donor alone, once."""
    if campaign.splits != len(eligible):
        raise InputError(
            f"{where}: field 'splits' is {campaign.splits} but leave-one-donor-out has {len(eligible)} "
            f"testable donors ({', '.join(eligible)}); set it to {len(eligible)}."
        )
    return [[donor] for donor in eligible]


def _folds(eligible: list[str], campaign: Campaign, where: str) -> list[list[str]]:
    """The eligible donors in `splits` groups of nearly equal size, in random order; each is tested once."""
    if campaign.splits > len(eligible):
        raise InputError(
            f"{where}: field 'splits' is {campaign.splits} but only {len(eligible)} donors can be tested; "
            "lower 'splits' or 'min_cells'."
        )
    order = keyed_rng(campaign.seed, "folds").permutation(len(eligible))
    return [sorted(eligible[i] for i in part) for part in np.array_split(order, campaign.splits)]


def _groups(eligible: list[str], campaign: Campaign, where: str) -> list[list[str]]:
    """Random groups without repeats in which every donor is tested about equally often.

    The donors tested least so far go first, in random order: successive shuffled passes over all donors.
    When that gives a group that was drawn before, the order is loosened little by little until a new one
    appears.
    """
    size, n = campaign.test_donors, len(eligible)
    if campaign.splits > comb(n, size):
        raise InputError(
            f"{where}: field 'splits' is {campaign.splits} but {n} testable donors form only "
            f"{comb(n, size)} groups of {size}; lower 'splits' or 'test_donors'."
        )
    tested, seen, groups = np.zeros(n), set(), []
    for split in range(campaign.splits):
        rng = keyed_rng(campaign.seed, "group", split)
        for attempt in count():
            order = np.argsort(tested + rng.random(n) * (1 + attempt / 50), kind="stable")
            group = tuple(sorted(order[:size].tolist()))
            if group not in seen:
                break
        seen.add(group)
        tested[list(group)] += 1
        groups.append([eligible[i] for i in group])
    return groups


def draw_splits(
    run: str,
    panel_name: str,
    campaign_name: str,
    campaign: Campaign,
    obs: pd.DataFrame,
    corpus_donors: set[str],
) -> pd.DataFrame:
    """Draw a campaign's splits from the panel's cells (`obs`: dataset, donor, condition).

    Returns one row per (split, role, donor) in contract `SPLITS`. `pretraining_overlap` marks donors that
    also gave cells to the pre-training corpus. A split's `seed` is the same for all methods.

    Designs: `leave_one_donor_out`, `folds`, `grouped` (the design of arXiv:2603.10261) and `frozen` (one dataset
    trains, another is tested). Donors that are too small to be tested train.
    Raises `InputError` when the number of splits, the donors or the datasets do not fit the design.
    """
    where = f"campaigns.{campaign_name}"
    donors = donor_table(obs)
    eligible = eligible_donors(donors, campaign, where)
    training = sorted(_of_dataset(donors, campaign.train, where, "train")["donor"])
    if campaign.design == "frozen":
        both = sorted(set(training) & set(eligible))
        if both and campaign.shared_donors == "error":
            raise InputError(
                f"{where}: fields 'train' and 'test' share the donor names {both}; rename them if they are "
                "different people, otherwise list them in 'never_tested' or set 'shared_donors' to hold_out."
            )
        tests = [eligible]
    elif campaign.design == "grouped":
        tests = _groups(eligible, campaign, where)
    elif campaign.design == "folds":
        tests = _folds(eligible, campaign, where)
    else:
        tests = _left_out(eligible, campaign, where)

    facts = donors.set_index(["dataset", "donor"])
    rows = []
    for split, tested in enumerate(tests):
        trained = [donor for donor in training if donor not in set(tested)]
        if len(trained) < 2:
            raise InputError(
                f"{where}: split {split} trains on {len(trained)} of the {len(training)} donors of "
                f"'{campaign.train}'; at least 2 must remain, so lower 'test_donors' or use a larger dataset."
            )
        assert not set(trained) & set(tested), f"Split {split} of {campaign_name} trains and tests one donor."
        seed = derive_seed(campaign.seed, "split", split)
        for role, dataset, names in (("train", campaign.train, trained), ("test", campaign.test, tested)):
            for donor in names:
                n_cells, condition = facts.loc[(dataset, donor), ["n_cells", "condition"]]
                rows.append((split, seed, role, dataset, donor, condition, int(n_cells), donor in corpus_donors))
    names = ["split", "seed", "role", "dataset", "donor", "condition", "n_cells", "pretraining_overlap"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.assign(run=run, panel=panel_name, campaign=campaign_name, design=campaign.design)
    return frame[SPLITS.names]


def write_splits(
    run: str,
    panel_name: str,
    campaign_name: str,
    campaign: Campaign,
    panel_h5ad: str | Path,
    corpus_h5ad: str | Path | None,
    output: str | Path,
) -> None:
    """Draw a campaign's splits from a panel file and write them; only `obs` of the two files is read.

    `corpus_h5ad` is None where there is no pre-training corpus, so that no donor overlaps with it.
    """
    obs = read_obs(panel_h5ad, COLUMNS)
    corpus = set() if corpus_h5ad is None else set(read_obs(corpus_h5ad, ("donor",))["donor"].astype(str))
    write_table(draw_splits(run, panel_name, campaign_name, campaign, obs, corpus), output, SPLITS)

"""Fitting cell heads for the methods that carry one: sampling, stopping donors, and reuse of equal fits."""

import hashlib
from dataclasses import replace

import numpy as np

from opbench.adaptors.cell_head import CellHead, HeadData, fit_cell_head
from opbench.config.model import Adaptor
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.methods.interface import Cells, Plan, Variant


def head_variants(plan: Plan, operator: str, arm: str, draw: int = -1) -> list[Variant]:
    """One variant per budget of the plan."""
    base = Variant(operator=operator, arm=arm, draw=draw, width=plan.adaptor.width, seed=plan.adaptor.seed)
    return [replace(base, budget=budget) for budget in plan.budgets]


def balanced_sample(label: np.ndarray, per_label: int, seed: int) -> np.ndarray:
    """At most `per_label` positions of each label, drawn by the split's seed; sorted."""
    rng = keyed_rng(seed, "head-sample")
    order = rng.permutation(len(label))
    rank = np.empty(len(label), dtype=int)
    for code in np.unique(label):
        members = order[label[order] == code]
        rank[members] = np.arange(len(members))
    return np.flatnonzero(rank < per_label)


def stopping_donors(donor: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Whole training donors to stop on (decision 14); at most a third of them."""
    donors = np.unique(donor)
    n = min(n, len(donors) // 3)
    return keyed_rng(seed, "stopping-donors").choice(donors, size=max(n, 1), replace=False)


class HeadFitter:
    """Fits heads and remembers them, so that equal inputs are fitted once."""

    def __init__(self) -> None:
        self._cache: dict[str, CellHead] = {}
        self.fits = 0

    def fit(self, cells: Cells, ruler: np.ndarray, variant: Variant, adaptor: Adaptor, seed: int) -> CellHead:
        """Fit one head on labelled cells.

        seed: the sample's and the stopping donors' (the split's); initialisation and batches use the
        variant's own, so that a model seed is never a split seed.
        """
        digest = hashlib.blake2b("\0".join(map(str, cells.ids)).encode(), digest_size=16).hexdigest()
        key = repr((digest, variant, seed, adaptor))
        if key not in self._cache:
            self._cache[key] = self._fit(cells, ruler, variant, adaptor, seed)
            self.fits += 1
        return self._cache[key]

    def _fit(self, cells: Cells, ruler: np.ndarray, variant: Variant, adaptor: Adaptor, seed: int) -> CellHead:
        assert cells.label is not None and cells.branch is not None
        label, branch, features = cells.label, cells.branch, cells.features(variant.operator)

        def data(rows: np.ndarray) -> HeadData:
            rows = rows[balanced_sample(label[rows], adaptor.cells_per_stage, seed)]
            codes = label[rows].astype(np.int64), branch[rows].astype(np.int64)
            return HeadData(features[rows], *codes, ruler, int(branch.max()) + 1)

        own = derive_seed(variant.seed, "head", variant.budget)
        rows = np.arange(len(label))
        if variant.budget == "fixed":
            return fit_cell_head(data(rows), adaptor, own)
        held = np.isin(cells.donor, stopping_donors(cells.donor, adaptor.validation_donors, seed))
        # A label that only the stopping donors hold was never trained, and its loss would stop the head early.
        stop = held & np.isin(label, label[~held])
        return fit_cell_head(data(rows[~held]), adaptor, own, stop_on=data(rows[stop]))

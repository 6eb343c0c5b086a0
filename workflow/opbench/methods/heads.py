"""Fitting cell heads for the methods that carry one: sampling, stopping donors, and reuse of equal fits."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from opbench.adaptors import cell_head
from opbench.adaptors.cell_head import CellHead, HeadData, fit_cell_head
from opbench.config.model import Adaptor, Operators
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.source_digest import source_digest
from opbench.io.store import Arrays, Store, digest
from opbench.methods.interface import Cells, Plan, Variant
from opbench.operators.names import LABEL_ARMS, parse_name


def head_variants(plan: Plan, operator: str, arm: str, draw: int = -1) -> list[Variant]:
    """One variant per budget of the plan and, for an operator without draws, per adaptor seed.

    An operator with draws has the first seed alone: its null floor comes from its draws (decision 18).
    """
    base = Variant(operator=operator, arm=arm, draw=draw, width=plan.adaptor.width, seed=plan.adaptor.seed)
    seeds = range(base.seed, base.seed + (plan.seeds if draw < 0 else 1))
    return [replace(base, budget=budget, seed=seed) for budget in plan.budgets for seed in seeds]


def control_variants(plan: Plan, label_arms: bool = False) -> list[Variant]:
    """One variant, yet without budget, per control operator of the plan: those that read no labels, or those that do.

    Equal operators follow each other: features are computed for one operator at a time.
    """
    parsed = [(name, *parse_name(name)) for name in Operators(controls=plan.controls).control_names()]
    return [Variant(name, arm, draw) for name, arm, draw in parsed if (arm in LABEL_ARMS) == label_arms]


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
    """Fits heads through a store, so that equal inputs are fitted once a run, whichever method asks.

    `fits` counts the heads that were fitted here, `reused` those that were not.
    """

    def __init__(self) -> None:
        self._recent: dict[str, tuple[CellHead, float]] = {}
        self.fits = self.reused = 0

    def fit(
        self, cells: Cells, ruler: np.ndarray, variant: Variant, adaptor: Adaptor, seed: int, store: Store
    ) -> CellHead:
        """Fit one head on labelled cells.

        seed: the sample's and the stopping donors' (the split's); initialisation and batches use the
        variant's own, so that a model seed is never a split seed.
        """
        # Within a job equal cells need not be read again to be known as equal.
        key = digest(cells.ids, repr((variant, seed, adaptor)))
        if key in self._recent:
            head, price = self._recent[key]
            self.reused += 1
            store.saved_s += price
            return head
        start, saved = time.perf_counter(), store.saved_s
        head = self._fit(cells, ruler, variant, adaptor, seed, store)
        self._recent = {key: (head, time.perf_counter() - start + store.saved_s - saved)}
        return head

    def _fit(
        self, cells: Cells, ruler: np.ndarray, variant: Variant, adaptor: Adaptor, seed: int, store: Store
    ) -> CellHead:
        assert cells.label is not None and cells.branch is not None
        label, branch, features = cells.label, cells.branch, cells.features(variant.operator)

        def data(rows: np.ndarray) -> HeadData:
            rows = rows[balanced_sample(label[rows], adaptor.cells_per_stage, seed)]
            codes = label[rows].astype(np.int64), branch[rows].astype(np.int64)
            return HeadData(features[rows], *codes, ruler, int(branch.max()) + 1)

        own = derive_seed(variant.seed, "head", variant.budget)
        rows, stop_on = np.arange(len(label)), None
        if variant.budget != "fixed":
            held = np.isin(cells.donor, stopping_donors(cells.donor, adaptor.validation_donors, seed))
            # A label that only the stopping donors hold was never trained, and its loss would stop the head early.
            stop_on = data(rows[held & np.isin(label, label[~held])])
            rows = rows[~held]
        train = data(rows)

        def compute() -> Arrays:
            self.fits += 1
            return {name: np.asarray(value) for name, value in asdict(_trained()).items()}

        def _trained() -> CellHead:
            return (
                fit_cell_head(train, adaptor, own) if stop_on is None else fit_cell_head(train, adaptor, own, stop_on)
            )

        before = self.fits
        contents = [getattr(side, name) for side in (train, stop_on) if side for name in side.__dataclass_fields__]
        code = source_digest(Path(cell_head.__file__))
        found = store.get(digest("cell-head", code, repr(adaptor), own, *contents), compute)
        self.reused += self.fits == before
        return CellHead(**{name: value if value.ndim else value.item() for name, value in found.items()})

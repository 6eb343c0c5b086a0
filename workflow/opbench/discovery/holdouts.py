"""Holdouts of the gates: random fifths, donors, branches; with heads of their own where anchors train (spec E).

A frozen head on another part holds nothing out: there the same statistic is a correlation among the anchors of a random
subset, of a donor, or of a branch, and its rows say so.
"""

from dataclasses import dataclass

import numpy as np

from opbench.adaptors.let import angle_distances
from opbench.config import Config
from opbench.discovery.anchor_heads import BUDGETS, divide, fit_heads
from opbench.discovery.distances import Pairs
from opbench.discovery.parts import Part
from opbench.io.seeds import keyed_rng

KINDS = ("random", "donor", "branch")
#: Share of the anchors of a random holdout.
SHARE = 0.2
#: Fewer anchors have no rank correlation.
MIN_ANCHORS = 3


@dataclass(frozen=True)
class Holdout:
    """Anchors (positions) that are held out together."""

    kind: str
    rows: np.ndarray


def holdouts(part: Part, count: int, seed: int) -> list[Holdout]:
    """`count` random fifths of a part's anchors, every donor, and every branch."""
    n = len(part)
    size = max(round(SHARE * n), MIN_ANCHORS)
    out = []
    for index in range(count):
        rows = np.sort(keyed_rng(seed, "holdout", part.name, index).choice(n, size=min(size, n), replace=False))
        out.append(Holdout("random", rows))
    return [*out, *groups("donor", part.donor), *groups("branch", part.branch)]


def groups(kind: str, values: np.ndarray) -> list[Holdout]:
    """One holdout for each value, as donors (a,) or branches (a,)."""
    return [Holdout(kind, np.flatnonzero(values == value)) for value in np.unique(values)]


def rankable(part: Part, ruler: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the pairs of these anchors have two ruler distances, without which there is nothing to correlate."""
    return len(rows) >= MIN_ANCHORS and np.ptp(Pairs.of(part.label[rows], ruler).target) > 0


@dataclass(frozen=True)
class Mean:
    """Mean over the holdouts of a kind that could be ranked; `n` of `total`, `capped` heads without a plateau."""

    value: float
    n: int
    total: int
    capped: int


@dataclass(frozen=True)
class Latent:
    """What a head makes of held-out anchors, (rows, d); None when there is no head; `capped`: it has no plateau."""

    holdout: Holdout
    z: np.ndarray | None
    capped: bool = False


def frozen_latents(z: np.ndarray, held: list[Holdout]) -> list[Latent]:
    """The anchors of each holdout in one latent (a, d) of all of them."""
    return [Latent(one, z[one.rows]) for one in held]


def refitted_latents(
    features: np.ndarray, part: Part, ruler: np.ndarray, held: list[Holdout], seed: int, config: Config
) -> dict[str, list[Latent]]:
    """Train a head without each holdout, and show it the held-out anchors: budget -> latents.

    Holdouts whose pairs have one ruler distance get no head, as nothing could be read off it.
    """
    out: dict[str, list[Latent]] = {budget: [] for budget in BUDGETS}
    for one in held:
        division = divide(part, one.rows, config)
        if division.reason or not rankable(part, ruler, one.rows):
            for latents in out.values():
                latents.append(Latent(one, None))
            continue
        heads = fit_heads(features, part, ruler, division, config.adaptor.width, seed, config)
        for budget, latents in out.items():
            head = heads[budget]
            latents.append(Latent(one, head.transform(features[one.rows]), head.status == "cap"))
    return out


def holdout_gates(part: Part, ruler: np.ndarray, latents: list[Latent]) -> dict[str, Mean]:
    """Correlations of held-out anchors by gate: means over holdouts, `branch_weighted` by their anchors.

    `<kind>_between` is of the pairs of different cell types alone.
    """
    out = {}
    for kind in KINDS:
        mine = [one for one in latents if one.holdout.kind == kind]
        values = np.array([_values(part, ruler, one) for one in mine]).reshape(-1, 2)
        size = np.array([len(one.holdout.rows) for one in mine])
        capped = sum(one.capped for one in mine)
        for column, name in enumerate((kind, f"{kind}_between")):
            known = np.isfinite(values[:, column])
            mean = values[known, column].mean() if known.any() else np.nan
            out[name] = Mean(float(mean), int(known.sum()), len(mine), capped)
        if kind == "branch":
            known = np.isfinite(values[:, 0])
            mean = np.average(values[known, 0], weights=size[known]) if known.any() else np.nan
            out["branch_weighted"] = Mean(float(mean), int(known.sum()), len(mine), capped)
    return out


def _values(part: Part, ruler: np.ndarray, one: Latent) -> tuple[float, float]:
    """Correlation of a holdout over all pairs, and over those of different cell types."""
    if one.z is None or len(one.holdout.rows) < MIN_ANCHORS:
        return np.nan, np.nan
    pairs = Pairs.of(part.label[one.holdout.rows], ruler)
    distance = angle_distances(one.z)
    return pairs.correlation(distance), pairs.correlation(distance, between=True)

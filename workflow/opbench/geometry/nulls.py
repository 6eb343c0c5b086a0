"""Permutation machinery that the analyses share: p, max-T, strata, rewired graphs and bootstrap weights.

Every p is (1 + b) / (1 + N), so that its smallest value says how many permutations were made.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from opbench.geometry.kernels import swap_edges

Side = Literal["greater", "less", "two-sided"]
#: Draws are kept in single precision: a draw that falls short by less than this is a tie, and counts.
ROUNDING = 1e-6
#: The same for a standardised statistic.
T_ROUNDING = 1e-4


def permutation_p(observed: NDArray, draws: NDArray, side: Side = "greater") -> NDArray[np.float64]:
    """P of `observed` (...,) under `draws` (N, ...): (1 + b) / (1 + N), b counting draws at least as extreme.

    Two-sided is twice the smaller side, at most 1. NaN stays NaN.
    """
    observed, draws = np.asarray(observed, dtype=float), np.asarray(draws)
    slack = ROUNDING * np.maximum(1.0, np.abs(observed))
    above = (1 + (draws >= observed - slack).sum(axis=0)) / (1 + len(draws))
    below = (1 + (draws <= observed + slack).sum(axis=0)) / (1 + len(draws))
    p = {"greater": above, "less": below, "two-sided": np.minimum(1, 2 * np.minimum(above, below))}[side]
    return np.where(np.isnan(observed) | np.isnan(draws).any(axis=0), np.nan, p)


def smallest_p(permutations: int, side: Side = "greater") -> float:
    """The smallest p that so many permutations can give."""
    return min(1.0, (2 if side == "two-sided" else 1) / (1 + permutations))


def max_t_p(observed: NDArray, draws: NDArray, side: Side = "greater") -> NDArray[np.float64]:
    """Family-wise p (k,) of `observed` (k,) under `draws` (N, k) by the largest standardised statistic.

    Mean and standard deviation are over the draws and the observation together, which keeps them exchangeable
    (Westfall & Young 1993). A statistic that never varies, or is NaN, takes no part; its p is 1 or NaN.
    """
    family = MaxT(side)
    family.add(observed, draws)
    return family.p()


class MaxT:
    """Max-T over cells that come in parts, so that all draws of all cells need never be held; see `max_t_p`."""

    def __init__(self, side: Side = "greater") -> None:
        self.side, self.own = side, []
        self.largest: NDArray[np.float64] | None = None

    def add(self, observed: NDArray, draws: NDArray) -> None:
        """Take `observed` (k,) and its `draws` (N, k) into the family."""
        joint = np.vstack([observed, draws]).astype(np.float64)
        sd = joint.std(axis=0)
        varies = sd > ROUNDING * np.maximum(1, np.abs(joint[0]))
        t = np.divide(joint - joint.mean(axis=0), sd, out=np.zeros_like(joint), where=varies)
        t = {"greater": t, "less": -t, "two-sided": np.abs(t)}[self.side]
        largest = np.where(np.isnan(t), -np.inf, t).max(axis=1, initial=-np.inf)
        self.largest = largest if self.largest is None else np.maximum(self.largest, largest)
        self.own.append(np.where(np.isnan(joint).any(axis=0), np.nan, np.where(varies, t[0], -np.inf)))

    def p(self) -> NDArray[np.float64]:
        """P of every cell, in the order in which they came."""
        own = np.concatenate(self.own)
        # The observation is one of the joint rows: it counts itself, which is the 1 + b.
        p = [(self.largest >= one - T_ROUNDING).mean() for one in own]
        return np.where(np.isnan(own), np.nan, np.array(p, dtype=np.float64))


def quantile_bins(values: NDArray, bins: int) -> NDArray[np.int64]:
    """Quantile bin (0 to `bins` - 1) of each value; equal values share a bin."""
    return np.minimum((rankdata(values, method="min") - 1) * bins // max(len(values), 1), bins - 1).astype(np.int64)


def make_strata(covariates: NDArray, bins: int = 10, least: int = 4) -> NDArray[np.int64]:
    """Strata (n,) that cross the quantile bins of the columns of `covariates` (n, c).

    A cell of fewer than `least` genes joins the next one in lexicographic order of the bins: genes alone in a stratum
    could not be permuted.
    """
    cells = np.column_stack([quantile_bins(column, bins) for column in np.asarray(covariates).T])
    _, stratum, sizes = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    merged, current, filled = [], 0, 0
    for size in sizes:
        merged.append(current)
        filled += size
        if filled >= least:
            current, filled = current + 1, 0
    if filled:  # the last one is too small and joins its neighbour
        merged = [min(index, max(current - 1, 0)) for index in merged]
    return np.array(merged, dtype=np.int64)[stratum.ravel()]


def movable_share(strata: NDArray) -> float:
    """Share of genes in strata of two or more."""
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    return float((sizes[stratum] > 1).mean())


def permutations_within(strata: NDArray | None, n: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """`count` permutations (count, n) of n genes within `strata` (None: of all)."""
    if strata is None:
        return rng.permuted(np.broadcast_to(np.arange(n, dtype=np.int32), (count, n)), axis=1)
    codes = np.unique(strata, return_inverse=True)[1].ravel()
    place = np.argsort(codes, kind="stable")
    out = np.empty((count, n), dtype=np.int32)
    for start in range(0, count, 256):
        part = slice(start, min(start + 256, count))
        out[part, place] = np.argsort(codes + rng.random((part.stop - start, n)), axis=1)
    return out


def rewired(
    edges: NDArray, n: int, count: int, rng: np.random.Generator, directed: bool, attempts_per_edge: float = 5.0
) -> Iterator[NDArray[np.int64]]:
    """Yield `count` graphs (E, 2) with the degrees of `edges` (E, 2) over n genes, by double-edge swaps.

    Directed edges keep every out- and in-degree (a source's targets are exchanged with another's), undirected ones
    every degree. The observed graph stands at a random place of one reversible chain, so that the p is exact however
    slowly the chain mixes (Besag & Clifford 1989, serial test). Edges must be distinct and without loops.
    """
    tries = max(1, int(len(edges) * attempts_per_edge))
    before = int(rng.integers(0, count + 1))
    for length in (before, count - before):
        state = np.ascontiguousarray(edges, dtype=np.int64).copy()
        present = np.zeros(n * n, dtype=np.bool_)
        present[state[:, 0] * n + state[:, 1]] = True
        if not directed:
            present[state[:, 1] * n + state[:, 0]] = True
        for _ in range(length):
            swap_edges(state, present, rng.integers(0, len(state), (tries, 2)), rng.random(tries) < 0.5, n, directed)
            yield state.copy()


def bootstrap_counts(clusters: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How often each row is drawn (draws, n) when whole `clusters` (n,) are resampled; nodes are their own clusters."""
    names, cluster = np.unique(clusters, return_inverse=True)
    size = len(names)
    drawn = rng.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)
    return counts[:, cluster.ravel()].astype(np.float32)


def percentile_interval(draws: NDArray, level: float = 0.95) -> tuple[NDArray, NDArray]:
    """Percentile interval over axis 0; draws that are NaN (a class was not drawn) are left out."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    held = ~np.isnan(draws).all(axis=0)
    low, high = np.full((2, *held.shape), np.nan)
    if held.any():
        low[held], high[held] = np.nanquantile(np.asarray(draws, dtype=np.float64)[..., held], tails, axis=0)
    return low, high

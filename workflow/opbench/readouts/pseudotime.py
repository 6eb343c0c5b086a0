"""Donor-local diffusion pseudotime from a learned root, and the nulls of |Spearman| (decisions 12, 13, 23)."""

import hashlib

import numpy as np
from scipy.stats import rankdata

from opbench.io.seeds import keyed_rng
from opbench.methods.donor_local import Pseudotime, diffusion_pseudotime


class DiffusionPseudotime:
    """DPT with a memory: equal cells, root and neighbours are computed once."""

    def __init__(self, neighbours: int) -> None:
        self.neighbours = neighbours
        self._cache: dict[bytes, Pseudotime] = {}
        self.fits = 0

    def __call__(self, representation: np.ndarray, root: int) -> Pseudotime:
        """Pseudotime of one donor's cells, (n, d) -> (n,), from the cell at position `root`."""
        x = np.ascontiguousarray(representation, dtype=np.float32)
        key = hashlib.blake2b(x.tobytes() + f"{x.shape}{root}".encode(), digest_size=16).digest()
        if key not in self._cache:
            self.fits += 1
            self._cache[key] = diffusion_pseudotime(x, root, self.neighbours)
        return self._cache[key]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation, NaN when either side is constant."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def within_lineage(pseudotime: np.ndarray, depth: np.ndarray, branch: np.ndarray, min_cells: int) -> float:
    """Mean Spearman inside branches that hold at least two depths, weighted by their cells."""
    values, weights = [], []
    for code in np.unique(branch):
        rows = branch == code
        if rows.sum() >= min_cells:
            value = spearman(pseudotime[rows], depth[rows])
            if np.isfinite(value):
                values.append(value)
                weights.append(rows.sum())
    return float(np.average(values, weights=weights)) if values else float("nan")


def null_correlations(
    pseudotime: np.ndarray, depth: np.ndarray, label: np.ndarray, draws: int, seed: int
) -> dict[str, float]:
    """Mean and 95 % point of |Spearman| under three nulls, for one donor (decision 13).

    permuted: depths permuted among the donor's cell types, pseudotime as it is;
    random: pseudotime replaced by a random value per cell type;
    cells: depths permuted among cells, which is too weak and shown as such.
    """
    rng = keyed_rng(seed, "spearman-null")
    codes, member = np.unique(label, return_inverse=True)
    counts = np.bincount(member).astype(float)
    type_depth = np.array([depth[member == k][0] for k in range(len(codes))])
    n = len(depth)
    ranks = standard_ranks(rankdata(pseudotime))
    rank_sums = np.bincount(member, weights=ranks)
    depth_sums = np.bincount(member, weights=standard_ranks(rankdata(depth)))
    permuted = np.stack([rng.permutation(type_depth) for _ in range(draws)])
    random = rng.random((draws, len(codes)))
    by_cell = np.stack([rng.permutation(ranks) for _ in range(min(draws, 200))])
    nulls = {
        "permuted": np.abs(type_ranks(permuted, counts, n) @ rank_sums) / n,
        "random": np.abs(type_ranks(random, counts, n) @ depth_sums) / n,
        "cells": np.abs(by_cell @ standard_ranks(rankdata(depth))) / n,
    }
    out = {}
    for name, values in nulls.items():
        out[f"pseudotime_null_{name}_mean"] = float(np.mean(values))
        out[f"pseudotime_null_{name}_q95"] = float(np.quantile(values, 0.95))
    return out


def standard_ranks(ranks: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 and sd 1."""
    return (ranks - ranks.mean()) / max(ranks.std(), 1e-12)


def type_ranks(values: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Standardised mid-ranks over cells of a value per type: (draws, K) with K sizes -> (draws, K)."""
    less = (values[:, :, None] > values[:, None, :]) @ counts
    equal = (values[:, :, None] == values[:, None, :]) @ counts
    ranks = less + (equal + 1) / 2 - (n + 1) / 2
    return ranks / np.sqrt((ranks**2 @ counts) / n).clip(1e-12)[:, None]

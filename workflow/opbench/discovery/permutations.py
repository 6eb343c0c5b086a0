"""Permutation of labels in blocks of donor x tissue: does the latent follow the ruler beyond donor and tissue?"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

#: Permutations at a time.
CHUNK = 250


@dataclass(frozen=True)
class Permuted:
    """Observed correlation, p = (1 + b) / (1 + N), the smallest p that N permutations can give, and their values."""

    value: float
    p: float
    p_floor: float
    null: np.ndarray


def blocks_of(donor: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Codes (a,) of donor x tissue."""
    donors, tissues = (np.unique(values, return_inverse=True)[1] for values in (donor, tissue))
    return donors * (tissues.max() + 1) + tissues


def permute_inside(values: np.ndarray, block: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Permute values (a,) inside blocks (a,) n times, (n, a)."""
    order = np.argsort(block, kind="stable")
    within = np.unique(block, return_inverse=True)[1]
    drawn = np.argsort(within + rng.random((n, len(values))), axis=1)
    out = np.empty((n, len(values)), values.dtype)
    out[:, order] = values[drawn]
    return out


def movable(label: np.ndarray, block: np.ndarray) -> bool:
    """Whether some block holds two labels, so that a permutation changes anything."""
    return any(len(np.unique(label[block == code])) > 1 for code in np.unique(block))


def blocked_permutation(
    distance: np.ndarray, label: np.ndarray, ruler: np.ndarray, block: np.ndarray, n: int, rng: np.random.Generator
) -> Permuted:
    """Spearman of distances (a, a) with the ruler (K, K) of labels (a,), and of n permutations of labels in blocks.

    One-sided, towards larger correlations. Any permutation of labels has the same ruler distances over all pairs, so
    that they are ranked once. NaN when either side is constant.
    """
    first, second = np.triu_indices(len(label), 1)
    names, code = np.unique(label, return_inverse=True)
    rank = rankdata(ruler[label[first], label[second]])
    table = np.zeros((len(names), len(names)))
    table[code[first], code[second]] = table[code[second], code[first]] = rank - rank.mean()
    mine = rankdata(distance[first, second])
    mine -= mine.mean()
    scale = np.linalg.norm(mine) * np.linalg.norm(rank - rank.mean())
    if scale == 0:
        return Permuted(np.nan, np.nan, 1 / (1 + n), np.full(n, np.nan))
    observed = mine @ table[code[first], code[second]] / scale
    permuted = permute_inside(code, block, n, rng)
    null = np.empty(n)
    for start in range(0, n, CHUNK):
        these = permuted[start : start + CHUNK]
        flat = these[:, first] * len(names) + these[:, second]
        null[start : start + CHUNK] = table.ravel()[flat] @ mine / scale
    # Rounding must not tell a permutation that changes nothing from the observed labels.
    above = int((null >= observed - 1e-9).sum())
    return Permuted(float(observed), (1 + above) / (1 + n), 1 / (1 + n), null)

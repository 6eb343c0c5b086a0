"""Rank correlations over pairs of anchors, and their bootstrap over donors."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from opbench.io.seeds import keyed_rng

#: Weights of pairs that are held at a time, by number.
HELD = 4_000_000


def ranks(values: np.ndarray) -> np.ndarray:
    """Mid-ranks with mean 0 and length 1 along the last axis: their products are Spearman correlations.

    Zeros where all values are equal.
    """
    found = rankdata(values, axis=-1)
    found -= found.mean(axis=-1, keepdims=True)
    return found / np.linalg.norm(found, axis=-1, keepdims=True).clip(1e-12)


def pair_weights(donor: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of the pairs of anchors (condensed order) when whole donors are drawn anew, in chunks of (draws, pairs).

    A pair within a donor counts as often as that donor is drawn, for its copies make no pairs with each other; a pair
    between two of D donors as often as both, times D / (D - 1). Every pair then has weight 1 on average: with squares
    for pairs within donors these have 2, and the interval lies beside the correlation.
    """
    names, code = np.unique(donor, return_inverse=True)
    size = len(names)
    counts = keyed_rng(seed, "pair-bootstrap", len(donor)).multinomial(size, np.full(size, 1 / size), size=draws)
    first, second = np.triu_indices(len(donor), 1)
    within = code[first] == code[second]
    chunk = max(HELD // max(len(first), 1), 1)
    for start in range(0, draws, chunk):
        mine = counts[start : start + chunk][:, code].astype(np.float64)
        yield np.where(within, mine[:, first], mine[:, first] * mine[:, second] * (size / max(size - 1, 1)))


def weighted_spearman(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spearman correlation of a and b (pairs,) for each row of weights (draws, pairs): with whole numbers, that of the
    sample in which a pair is repeated so often. Not a number where a side is constant.
    """
    total = weight.sum(axis=1, keepdims=True)
    x, y = (_weighted_ranks(values, weight) - (total + 1) / 2 for values in (a, b))
    down = np.sqrt((weight * x * x).sum(1) * (weight * y * y).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(down > 0, (weight * x * y).sum(1) / down, np.nan)


def _weighted_ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    size = np.add.reduceat(weight[:, order], starts, axis=1)
    middle = np.cumsum(size, axis=1) - (size - 1) / 2
    out = np.empty_like(weight)
    out[:, order] = np.repeat(middle, np.diff(np.append(starts, len(values))), axis=1)
    return out

"""Statistics over gene pairs that the analyses share: AUROC by ranks, weights, permuted nodes."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

#: Bins that stand for ranks where many AUROCs are made of the same pairs.
RANK_BINS = 512


def positions(names: NDArray | list[str], genes: list[str]) -> NDArray[np.int64]:
    """Position of each name among `genes`, -1 where absent."""
    place = {gene: index for index, gene in enumerate(genes)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def auroc_of_sums(rank_sums: NDArray, positives: NDArray | float, total: float) -> NDArray[np.float64]:
    """AUROC from the positives' rank sums (ranks from 1, ties shared) among `total` items; NaN without both classes."""
    positives = np.asarray(positives, dtype=np.float64)
    negatives = total - positives
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (np.asarray(rank_sums, dtype=np.float64) - positives * (positives + 1) / 2) / (positives * negatives)
    return np.where((positives > 0) & (negatives > 0), out, np.nan)


def aurocs(scores: NDArray, label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUROC of each row of `scores` (..., m) for `label` (m,)."""
    ranks = rankdata(scores, axis=-1)
    return auroc_of_sums(ranks[..., label].sum(axis=-1), float(label.sum()), len(label))


def placements(scores: NDArray, label: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of negatives below each positive, ties half: (k, m) to (k, positives); its mean is the AUROC."""
    out = []
    for row in np.atleast_2d(scores):
        negatives, positives = np.sort(row[~label]), row[label]
        places = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
        out.append(places / (2 * max(len(negatives), 1)))
    return np.array(out)


def rank_codes(ranks: NDArray) -> NDArray[np.int16]:
    """Bin of each rank (from 1, of m items in the last axis), one of `RANK_BINS`: fine enough to stand for the rank."""
    codes = (np.asarray(ranks) - 1) * (RANK_BINS / ranks.shape[-1])
    return np.clip(codes, 0, RANK_BINS - 1).astype(np.int16)


def histogram_aurocs(positive: NDArray, negative: NDArray) -> NDArray[np.float64]:
    """AUROC from counts of both classes by ascending bin (..., bins), ties within a bin half; NaN without a class."""
    positive, negative = (np.asarray(part, dtype=np.float64) for part in (positive, negative))
    below = np.cumsum(negative, axis=-1) - negative / 2
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    return np.divide((positive * below).sum(axis=-1), pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def clustered_aurocs(
    codes: NDArray, label: NDArray[np.bool_], cluster: NDArray, counts: NDArray
) -> NDArray[np.float64]:
    """AUROC of items with rank `codes` (m,) when the clusters (m,), 0 to C - 1, are drawn `counts` (B, C) times."""
    n = counts.shape[1]
    place = cluster * RANK_BINS + codes
    both = [np.bincount(place[side], minlength=n * RANK_BINS).reshape(n, -1) for side in (label, ~label)]
    return histogram_aurocs(*(counts.astype(np.float32) @ part.astype(np.float32) for part in both))


def weighted_aurocs(scores: NDArray, label: NDArray[np.bool_], weights: NDArray) -> NDArray[np.float64]:
    """AUROC of `scores` (m,) for `label` under each row of `weights` (B, m); ties count half; NaN without a class."""
    order = np.argsort(scores, kind="stable")
    sorted_scores, positive = scores[order], label[order]
    w = weights[:, order].astype(np.float64)
    negative = np.where(positive, 0.0, w)
    below = np.cumsum(negative, axis=1)
    first = np.searchsorted(sorted_scores, sorted_scores, side="left")
    last = np.searchsorted(sorted_scores, sorted_scores, side="right") - 1
    before = np.where(first > 0, below[:, first - 1], 0.0)
    rank = (before + below[:, last]) / 2
    wins = (np.where(positive, w, 0.0) * rank).sum(axis=1)
    pairs = np.where(positive, w, 0.0).sum(axis=1) * negative.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(w), np.nan), where=pairs > 0)


def residuals(values: NDArray, covariates: NDArray) -> NDArray[np.float64]:
    """Rows of `values` (..., m) after least squares on `covariates` (m, c) and a constant."""
    basis = orthonormal(covariates)
    values = np.asarray(values, dtype=np.float64)
    return values - (values @ basis) @ basis.T


def orthonormal(covariates: NDArray) -> NDArray[np.float64]:
    """Orthonormal columns that span a constant and the columns of `covariates` (m, c)."""
    x = np.asarray(covariates, dtype=np.float64)
    x = np.column_stack([np.ones(len(x)), x - x.mean(axis=0)])
    norm = np.linalg.norm(x, axis=0)
    x = x[:, norm > 0] / norm[norm > 0]
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > 1e-10 * s[0]]


def block_indices(layers: list[int]) -> list[int]:
    """Places of the blocks' layers: means and trends over layers leave out layer -1, which no block has made."""
    return [index for index, layer in enumerate(layers) if layer >= 0]


def spearman_over_layers(curves: NDArray, layers: NDArray) -> NDArray[np.float64]:
    """Spearman of each curve (..., L) with the layer numbers (L,); NaN where a curve is flat."""
    ranks = rankdata(curves, axis=-1)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    place = rankdata(layers)
    place = place - place.mean()
    norm = np.sqrt((ranks**2).sum(axis=-1) * (place**2).sum())
    return np.divide(ranks @ place, norm, out=np.full(norm.shape, np.nan), where=norm > 0)

"""Statistics over gene pairs that the analyses share: AUROC by ranks, weights, permuted nodes."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


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
    """Share of negatives below each positive, ties half: (..., m) to (..., positives); its mean is the AUROC."""
    within = rankdata(scores[..., label], axis=-1)
    overall = rankdata(scores, axis=-1)[..., label]
    return (overall - within) / max(int((~label).sum()), 1)


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

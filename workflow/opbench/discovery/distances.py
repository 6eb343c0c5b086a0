"""Pair statistics of a latent: rank correlation with the ruler, plain, residualised, and along a neighbour graph.

Spec E keeps two statistics apart: that of the head's own distance (`adaptors.let.angle_distances`) and that of shortest
paths on a graph of neighbours in it. Pairs of different cell types alone are `between`: with the pairs of equal types,
whose ruler distance is 0, a correlation says at least that equal labels sit together, and often no more.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path
from scipy.stats import rankdata

from opbench.readouts.pseudotime import spearman

#: Pairs that no path of the neighbour graph joins are this many times the longest path apart (spec E).
UNREACHABLE = 1.5


@dataclass(frozen=True)
class Pairs:
    """Pairs i < j of a anchors: positions (P,), ruler distance in steps (P,), whether their cell types differ (P,)."""

    first: np.ndarray
    second: np.ndarray
    target: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, label: np.ndarray, ruler: np.ndarray) -> "Pairs":
        """All pairs of anchors with label codes (a,) under a ruler (K, K)."""
        first, second = np.triu_indices(len(label), 1)
        a, b = label[first], label[second]
        return cls(first, second, ruler[a, b].astype(np.float64), a != b)

    def correlation(self, distance: np.ndarray, between: bool = False) -> float:
        """Spearman of distances (a, a) with the ruler; NaN for fewer than 3 pairs or when either side is constant."""
        found = distance[self.first, self.second]
        return spearman(found[self.between], self.target[self.between]) if between else spearman(found, self.target)


def pair_covariates(donor: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """What is regressed out of pair distances, (P, 3 + donors + tissues) float64.

    A constant; whether the two anchors are of the same donor, and of the same tissue; and how many of the two (0, 1 or
    2) are of each donor and each tissue, since the anchors of one donor may lie far from all others. The paper names no
    form of its residualised correlation; this one is a choice.
    """
    first, second = np.triu_indices(len(donor), 1)
    columns = [np.ones(len(first))]
    for values in (donor, tissue):
        code = np.unique(values, return_inverse=True)[1]
        columns.append((code[first] == code[second]).astype(np.float64))
        columns += [(code[first] == k).astype(np.float64) + (code[second] == k) for k in range(code.max() + 1)]
    return np.stack(columns, axis=1)


def residualised(pairs: Pairs, distance: np.ndarray, covariates: np.ndarray) -> float:
    """Partial Spearman of distances (a, a) with the ruler given pair covariates (P, c).

    Both are ranked, the covariates are regressed out of the ranks, and the residuals correlated; NaN when the
    covariates explain either side entirely.
    """
    if len(pairs.target) < 3:
        return float("nan")
    ranks = np.stack([rankdata(distance[pairs.first, pairs.second]), rankdata(pairs.target)], axis=1)
    ranks -= ranks.mean(0)
    left = ranks - covariates @ np.linalg.lstsq(covariates, ranks, rcond=None)[0]
    norm = np.linalg.norm(left, axis=0)
    if (norm <= 1e-9 * max(np.linalg.norm(ranks), 1)).any():
        return float("nan")
    return float(left[:, 0] @ left[:, 1] / norm.prod())


def geodesic_distances(distance: np.ndarray, neighbours: int) -> np.ndarray:
    """Shortest paths (a, a) on the graph that joins each anchor to its k nearest ones, edges as long as `distance`.

    An edge stands when either end has the other among its nearest. Pairs that nothing joins are 1.5 x the longest path
    apart.
    """
    n = len(distance)
    near = distance + np.diag(np.full(n, np.inf))
    nearest = np.argsort(near, axis=1, kind="stable")[:, : min(neighbours, n - 1)]
    rows = np.repeat(np.arange(n), nearest.shape[1])
    # A length of 0 would be no edge in a sparse graph.
    lengths = np.maximum(distance[rows, nearest.ravel()], 1e-12)
    path = shortest_path(csr_matrix((lengths, (rows, nearest.ravel())), shape=(n, n)), directed=False)
    joined = np.isfinite(path)
    return np.where(joined, path, UNREACHABLE * path[joined].max())

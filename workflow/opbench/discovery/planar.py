"""Maps of anchors into the plane that take points in which they were not fitted on: Isomap and geodesic MDS (spec I).

Both keep shortest-path distances on the graph of nearest neighbours. Isomap is their classical scaling; geodesic MDS
minimises the stress (SMACOF). Isomap places a new point by Nyström's formula, MDS by the least stress to the fitted
points alone, which stay where they are.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

METHODS = ("geodesic_mds", "isomap")
#: Random starts of SMACOF, of which the least stress is kept: the paper's sweep has 3 seeds.
STARTS = 3
#: Steps that place a new point; the stress falls at each.
STEPS = 200


@dataclass(frozen=True)
class PlanarMap:
    """One fitted map: geodesics (a, a) of the fitted anchors, and coordinates (n, 2) of each set of points by name."""

    method: str
    neighbours: int
    geodesics: np.ndarray
    points: dict[str, np.ndarray]

    def distances(self, name: str) -> np.ndarray:
        """Distances in the plane between the pairs of one set, condensed."""
        return pdist(self.points[name].astype(np.float64))


def planar_maps(features: dict[str, np.ndarray], fit_on: str, neighbours: list[int], seed: int) -> list[PlanarMap]:
    """Every method at every k, fitted on the set `fit_on` of `features`, (n, F) each.

    Features are standardised by the mean and sd of that set; k is at most its size less 1.
    """
    from sklearn.manifold import Isomap

    base = features[fit_on].astype(np.float64)
    mean, scale = base.mean(0), base.std(0)
    scale = np.where(scale > 0, scale, 1)
    scaled = {name: (values - mean) / scale for name, values in features.items()}
    out = []
    for k in sorted({min(k, len(base) - 1) for k in neighbours}):
        # A dense solver: the iterative one starts at random.
        isomap = Isomap(n_neighbors=k, n_components=2, eigen_solver="dense")
        with warnings.catch_warnings():
            # Graphs in several pieces are joined by their nearest points.
            warnings.simplefilter("ignore")
            isomap.fit(scaled[fit_on])
        geodesics = np.asarray(isomap.dist_matrix_, dtype=np.float64)
        fitted = _stress_map(geodesics, seed)
        plane, scaling = {fit_on: fitted}, {fit_on: isomap.embedding_}
        for name, values in scaled.items():
            if name != fit_on:
                plane[name] = place(fitted, _geodesics_to(isomap, geodesics, values))
                scaling[name] = isomap.transform(values)
        out += [
            PlanarMap(method, k, geodesics, points) for method, points in zip(METHODS, (plane, scaling), strict=True)
        ]
    return out


def _stress_map(geodesics: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import smacof

    state = seed % 2**32
    return smacof(geodesics, n_components=2, n_init=STARTS, random_state=state, normalized_stress=False)[0]


def _geodesics_to(isomap: object, geodesics: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Distances of new points to the fitted ones by way of their neighbours, (n, a)."""
    distance, index = isomap.nbrs_.kneighbors(values)  # type: ignore[attr-defined]
    return (distance[:, :, None] + geodesics[index]).min(axis=1)


def place(fitted: np.ndarray, geodesics: np.ndarray) -> np.ndarray:
    """Points of least stress, (n, 2), to fitted ones (a, 2) that stay; geodesics (n, a) are the distances to keep.

    Each starts at the mean of the fitted points, weighted by the inverse squares of its geodesics.
    """
    weight = 1 / np.maximum(geodesics, 1e-9) ** 2
    points = weight @ fitted / weight.sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        away = points[:, None] - fitted
        length = np.linalg.norm(away, axis=2).clip(1e-12)
        points = (fitted + away * (geodesics / length)[:, :, None]).mean(axis=1)
    return points

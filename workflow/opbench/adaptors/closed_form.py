"""A head without iterations: the ruler's coordinates by ridge, cut to a width by reduced-rank regression.

Targets are the classical scaling of the ruler (Torgerson 1952), one point a label. The covariance of the standardised
features is shrunk towards its mean diagonal by a fixed share, as in regularised discriminant analysis (Friedman 1989);
directions are ordered as in reduced-rank ridge regression (Mukherjee and Zhu 2011), so that one solve gives all widths.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve

#: Coordinates whose share of the first one's spread is smaller are rounding.
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class ClosedForm:
    """A solved head: z = W(x - mean) / scale, directions (r, F) in the order of what they explain of the ruler."""

    weight: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @property
    def rank(self) -> int:
        """The largest width that the ruler has."""
        return len(self.weight)

    @cached_property
    def folded(self) -> np.ndarray:
        """Directions on unscaled features, (r, F)."""
        return np.asarray(self.weight / self.scale, dtype=np.float32)

    def transform(self, features: np.ndarray, width: int | None = None) -> np.ndarray:
        """Latent coordinates, (n, F) -> (n, width), the first of `rank`."""
        folded = self.folded[:width]
        return np.asarray(features @ folded.T - folded @ self.mean, dtype=np.float32)


def ruler_coordinates(ruler: np.ndarray) -> np.ndarray:
    """Classical scaling of a ruler scaled to [0, 1], (K, K) -> (K, r): as near to it as straight lines get.

    Only directions of positive squared length are kept; columns by length, the sign of each so that its largest entry
    is positive.
    """
    scaled = (ruler / max(ruler.max(), 1)) ** 2
    centred = scaled - scaled.mean(0) - scaled.mean(1)[:, None] + scaled.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    kept = [i for i in np.argsort(-values, kind="stable") if values[i] > NEGLIGIBLE * values.max()]
    return _signed(vectors[:, kept] * np.sqrt(values[kept]))


def fit_closed_form(features: np.ndarray, label: np.ndarray, ruler: np.ndarray, shrinkage: float) -> ClosedForm:
    """Solve the head on n cells: features (n, F) unscaled, label (n,) codes of the ruler (K, K), in steps.

    The penalised covariance is (1 - shrinkage) S + shrinkage tr(S)/F I. Works in the smaller of n and F dimensions.
    """
    mean = features.mean(0, dtype=np.float64).astype(np.float32)
    scale = features.std(0, dtype=np.float64).astype(np.float32)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    x = ((features - mean) / scale).astype(np.float32)
    y = ruler_coordinates(ruler)[label]
    y = y - y.mean(0)
    n, size = x.shape
    penalty = shrinkage / (1 - shrinkage) * float((x.astype(np.float64) ** 2).sum()) / size
    gram = (x @ x.T if n <= size else x.T @ x).astype(np.float64)
    gram[np.diag_indices_from(gram)] += max(penalty, 1e-12)
    solve = cho_factor(gram, overwrite_a=True, check_finite=False)
    if n <= size:
        weights = x.T @ cho_solve(solve, y, check_finite=False).astype(np.float32)
    else:
        weights = cho_solve(solve, x.T.astype(np.float64) @ y, check_finite=False)
    explained, directions = np.linalg.eigh(_symmetric(y.T @ (x @ weights)))
    kept = [i for i in np.argsort(-explained, kind="stable") if explained[i] > NEGLIGIBLE * explained.max()]
    return ClosedForm((weights @ _signed(directions[:, kept])).T.astype(np.float32), mean, scale)


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _signed(columns: np.ndarray) -> np.ndarray:
    """Columns with the entry of largest size positive, so that a library's choice of sign does not show."""
    return columns * np.sign(columns[np.abs(columns).argmax(0), np.arange(columns.shape[1])])

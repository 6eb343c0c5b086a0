"""Shape of a latent: correlated axes, a plane and its ripple, an axis of depth (spec C.3).

Every direction, polynomial and scale is fitted on the internal anchors; internal values are in-sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.stats import rankdata

from opbench.discovery.pair_ranks import ranks
from opbench.discovery.permuting import arrangements, p_value, type_values, within_donors

#: Principal components that the axis of depth is regressed on; penalty of that regression and of the ripple's, on
#: standardised columns (both penalties are ours).
COMPONENTS, RIDGE = 6, 1.0
#: Draws in which every axis is permuted on its own: each is a whole latent.
AXIS_DRAWS = 500
#: Level of the residual axes after Benjamini-Hochberg.
LEVEL = 0.05

Found = dict[str, object]
#: Depths of anchors (draws, a) to the axis (draws, a) that is fitted on each.
Refit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Points:
    """Anchors of a part: latent coordinates (a, d), cell type codes, donors, and depth in steps from HSC."""

    z: np.ndarray
    label: np.ndarray
    donor: np.ndarray
    depth: np.ndarray


class Frame:
    """Standardisation and principal axes of the internal latents."""

    def __init__(self, z: np.ndarray) -> None:
        z = z.astype(np.float64)
        self.mean = z.mean(0)
        _, self.singular, self.axes = np.linalg.svd(z - self.mean, full_matrices=False)
        # A sign of their own, so that a view does not flip between machines.
        largest = np.abs(self.axes).argmax(1)
        self.axes *= np.sign(self.axes[np.arange(len(self.axes)), largest])[:, None]

    def view(self, z: np.ndarray, n: int | None = None) -> np.ndarray:
        """Coordinates in the first n principal axes, (a, n)."""
        return (z.astype(np.float64) - self.mean) @ self.axes[:n].T


@dataclass(frozen=True)
class Line:
    """Ridge regression on standardised columns."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    offset: float

    @classmethod
    def fit(cls, x: np.ndarray, y: np.ndarray) -> "Line":
        """Fit on x (a, k) and y (a,)."""
        mean, scale = x.mean(0), x.std(0)
        scale = np.where(scale > 0, scale, 1)
        return cls(mean, scale, hat(x) @ (y - y.mean()), float(y.mean()))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predicted values, (n,)."""
        return (x - self.mean) / self.scale @ self.weight + self.offset


def hat(x: np.ndarray) -> np.ndarray:
    """What makes ridge weights of centred targets, (k, a)."""
    scale = x.std(0)
    standard = (x - x.mean(0)) / np.where(scale > 0, scale, 1)
    return np.linalg.solve(standard.T @ standard + RIDGE * np.eye(x.shape[1]), standard.T)


def axis_correlations(points: Points, seed: int) -> list[Found]:
    """Correlation of every two axes, and the mean of their magnitudes.

    Null: every axis permuted on its own within donors, which keeps each axis of each donor.
    """
    n, width = points.z.shape
    order = [within_donors(points.donor, AXIS_DRAWS, seed, "axis", axis) for axis in range(width)]
    permuted = np.stack([points.z[order[axis], axis] for axis in range(width)], axis=2).astype(np.float64)
    real, null = _correlations(points.z[None].astype(np.float64))[0], np.abs(_correlations(permuted))
    first, second = np.triu_indices(width, 1)
    mean = float(np.abs(real[first, second]).mean())
    out: list[Found] = [{"quantity": "mean_abs_r", "value": mean, **p_value(mean, null[:, first, second].mean(1))}]
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        value = float(real[i, j])
        out.append({"quantity": "r", "i": i, "j": j, "value": value, **p_value(abs(value), null[:, i, j])})
    return [row | {"n": n} for row in out]


def _correlations(z: np.ndarray) -> np.ndarray:
    """Correlations of axes of stacked latents, (k, a, d) -> (k, d, d); 0 for an axis that is constant."""
    z = z - z.mean(1, keepdims=True)
    z = z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12)
    return z.transpose(0, 2, 1) @ z


class DepthAxis:
    """The direction of depth over the first principal components of the internal latents."""

    def __init__(self, frame: Frame, inside: Points) -> None:
        self.frame, self.inside = frame, inside
        self.x = frame.view(inside.z, COMPONENTS)
        self.line = Line.fit(self.x, inside.depth)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Predicted depth, (a,)."""
        return self.line(self.frame.view(z, COMPONENTS))

    def rows(self, points: Points, draws: int, seed: int) -> list[Found]:
        """Spearman correlation with depth against both nulls; on internal anchors each draw is fitted again."""
        if points is not self.inside:
            return depth_rows(self(points.z), points, draws, seed)
        fitted = hat(self.x)
        scale = self.x.std(0)
        standard = (self.x - self.x.mean(0)) / np.where(scale > 0, scale, 1)

        def again(depth: np.ndarray) -> np.ndarray:
            return (depth - depth.mean(1, keepdims=True)) @ fitted.T @ standard.T

        return depth_rows(self(points.z), points, draws, seed, again)


def depth_rows(
    axis: np.ndarray, points: Points, draws: int, seed: int, again: Refit | None = None, name: str = "spearman"
) -> list[Found]:
    """Spearman correlation of an axis (a,) with depth, twice: against depths permuted among the cell types of each
    donor, and against depths permuted among cell types in all donors alike, which is harder.

    With `again`, the axis of each draw is fitted again.
    """
    value = float(ranks(axis) @ ranks(points.depth))
    types = np.unique(points.label, return_index=True)[1]
    nulls = {
        name: (
            points.depth[within_donors(points.donor, draws, seed)],
            arrangements(points.depth, points.donor),
        ),
        f"{name}_by_type": (
            type_values(points.depth, points.label, draws, seed),
            arrangements(points.depth[types], np.zeros(len(types))),
        ),
    }
    out: list[Found] = []
    for quantity, (depths, orders) in nulls.items():
        found = (ranks(again(depths)) * ranks(depths)).sum(1) if again else ranks(depths) @ ranks(axis)
        out.append({"quantity": quantity, "value": value, "n": len(axis), **p_value(value, found, orders)})
    return out


def plane_rows(frame: Frame, points: Points, seed: int, internal: bool) -> list[Found]:
    """Share of the variance of the first three principal axes that their best plane holds.

    Null: every latent axis permuted on its own within donors; the axes are found again for the internal anchors.
    """
    width = points.z.shape[1]
    value, null = _flatness(frame.view(points.z, 3)), np.empty(AXIS_DRAWS)
    order = [within_donors(points.donor, AXIS_DRAWS, seed, "axis", axis) for axis in range(width)]
    for draw in range(AXIS_DRAWS):
        z = np.column_stack([points.z[order[axis][draw], axis] for axis in range(width)])
        null[draw] = _flatness((Frame(z) if internal else frame).view(z, 3))
    return [{"quantity": "plane_share", "value": value, "n": len(points.z), **p_value(value, null)}]


def _flatness(view: np.ndarray) -> float:
    values = np.linalg.eigvalsh(np.cov(view.T))
    return float(1 - values[0] / values.sum())


def ripple_rows(frame: Frame, inside: Points, points: Points, draws: int, seed: int) -> list[Found]:
    """R² of the third principal axis from polynomials of the first two, fitted on the internal anchors.

    Null: the third axis permuted within donors. On internal anchors, where principal axes are uncorrelated, a draw is
    freed of its correlation with the first two axes and fitted again.
    """
    out: list[Found] = []
    for name, degree in (("ripple_r2_quadratic", 2), ("ripple_r2_cubic", 3)):
        known, here = (frame.view(each.z, 3) for each in (inside, points))
        terms, mine = _polynomial(known[:, :2], degree), _polynomial(here[:, :2], degree)
        order = within_donors(points.donor, draws, seed, name)
        permuted = here[:, 2][order]
        line = Line.fit(terms, known[:, 2])
        if points is inside:
            standard, plane = (terms - line.mean) / line.scale, known[:, :2]
            permuted = permuted - permuted.mean(1, keepdims=True)
            permuted = permuted - permuted @ np.linalg.pinv(plane).T @ plane.T
            predicted = permuted @ hat(terms).T @ standard.T
        else:
            predicted = line(mine)[None]
        value, null = _r2(here[None, :, 2], line(mine)[None])[0], _r2(permuted, predicted)
        out.append({"quantity": name, "value": float(value), "n": len(here), **p_value(float(value), null)})
    return out


def _polynomial(x: np.ndarray, degree: int) -> np.ndarray:
    sizes = range(1, degree + 1)
    terms = [term for size in sizes for term in combinations_with_replacement(range(x.shape[1]), size)]
    return np.column_stack([x[:, list(term)].prod(1) for term in terms])


def _r2(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    total = ((truth - truth.mean(1, keepdims=True)) ** 2).sum(1).clip(1e-12)
    return 1 - ((truth - predicted) ** 2).sum(1) / total


def residual_rows(frame: Frame, points: Points, draws: int, seed: int) -> list[Found]:
    """|Spearman| with depth of each principal axis from the third on, and how many (of `j`) Benjamini-Hochberg finds at
    5 %.

    Null: depth permuted among the cell types of each donor.
    """
    view = frame.view(points.z)[:, 2:]
    if not view.shape[1]:
        return []
    depths = ranks(points.depth[within_donors(points.donor, draws, seed)])
    values, null = np.abs(ranks(view.T) @ ranks(points.depth)), np.abs(depths @ ranks(view.T).T)
    tests = [p_value(float(value), null[:, axis]) for axis, value in enumerate(values)]
    p = np.array([test["p"] for test in tests])
    # Each draw as if it were the data, its p by its place among all draws.
    of_draws = (len(null) + 1 - rankdata(null, axis=0, method="min")) / len(null)
    out: list[Found] = [
        {"quantity": "residual_axis", "i": axis + 2, "value": float(value), **test}
        for axis, (value, test) in enumerate(zip(values, tests, strict=True))
    ]
    count = float(_rejected(p[None])[0])
    found = {"quantity": "residual_axes_significant", "value": count, "j": view.shape[1]}
    out.append(found | p_value(count, _rejected(of_draws)))
    return [row | {"n": len(view)} for row in out]


def _rejected(p: np.ndarray) -> np.ndarray:
    """Tests that Benjamini-Hochberg rejects in each row of p (draws, k)."""
    places = np.arange(1, p.shape[1] + 1)
    return (places * (np.sort(p, axis=1) <= LEVEL * places / p.shape[1])).max(1)

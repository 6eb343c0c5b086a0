"""Two-class tasks in the first three principal axes of a latent (spec C.2, H.1: "3-D" AUROC).

Axes and class centroids are those of training points; a point's score is how much nearer it lies to the positive
centroid than to the negative one, so that nothing is fitted on what is scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from opbench.config.benchmark import Endpoints

#: Axes of the paper's view.
AXES = 3
#: Codes of the labels on the positive and the negative side of a task.
Sides = tuple[frozenset[int], frozenset[int]]


def two_class_tasks(endpoints: Endpoints, labels: tuple[str, ...]) -> dict[str, Sides]:
    """Label codes of both sides of each two-class task; labels are named `dataset:label`, absent ones are left out."""
    code = {label: index for index, label in enumerate(labels)}

    def codes(side: Mapping[str, list[str]]) -> frozenset[int]:
        named = [f"{dataset}:{label}" for dataset, found in side.items() for label in found]
        return frozenset(code[name] for name in named if name in code)

    return {name: (codes(task.positive), codes(task.negative)) for name, task in endpoints.binary.items()}


@dataclass(frozen=True)
class ThreeAxes:
    """Principal axes (3, d) of training points, or as many as they have, their mean (d,), and who they are."""

    mean: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    label: np.ndarray

    @classmethod
    def fit(cls, z: np.ndarray, label: np.ndarray) -> "ThreeAxes":
        """Axes of training latents (n, d) with label codes (n,)."""
        wide = z.astype(np.float64)
        mean = wide.mean(0)
        axes = np.linalg.svd(wide - mean, full_matrices=False)[2][:AXES]
        return cls(mean, axes, (wide - mean) @ axes.T, label)

    def scores(self, z: np.ndarray, sides: Sides) -> np.ndarray | None:
        """Score of latents (n, d) for the positive side, (n,); None where training points lack a side."""
        members = [np.isin(self.label, list(side)) for side in sides]
        if not all(found.any() for found in members):
            return None
        positive, negative = (self.points[found].mean(0) for found in members)
        points = (z.astype(np.float64) - self.mean) @ self.axes.T
        return ((points - negative) ** 2).sum(1) - ((points - positive) ** 2).sum(1)

    def auroc(self, z: np.ndarray, label: np.ndarray, sides: Sides, min_side: int) -> float:
        """AUROC of a task on latents (n, d) with codes (n,); NaN with fewer than `min_side` points on a side."""
        positive, negative = (np.isin(label, list(side)) for side in sides)
        used = positive | negative
        scores = self.scores(z[used], sides)
        if scores is None or min(positive.sum(), negative.sum()) < min_side:
            return float("nan")
        return float(roc_auc_score(positive[used], scores))

"""The T-cell lens: two subtypes in the first three principal axes, before and after a direction is added (spec C.3).

Everything is fitted on cells of the internal part, and read on each donor of a part.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from opbench.config import Config
from opbench.discovery.latent_shape import Found, Frame
from opbench.discovery.parts import Parts
from opbench.discovery.permuting import p_value, within_donors

#: Branch whose two-class tasks stand for CD4 and CD8 T cells.
BRANCH = "t"
#: Penalty of the lens on the within-class covariance of standardised coordinates (the paper's lambda), and of the
#: probes, which only keeps them solvable.
LENS, PROBE = 8.0, 1e-3
#: Quantities: AUROC in the first three principal axes, in all axes, along the best one, and with the lens.
VIEWS = ("view3", "full", "best_axis", "lens")
#: Permutations of labels.
DRAWS = 200


@dataclass(frozen=True)
class TCells:
    """Cells of one part: latent z (n, d), whether they are of the positive side, and their donors."""

    z: np.ndarray
    positive: np.ndarray
    donor: np.ndarray


def t_sides(config: Config, parts: Parts, tasks: list[str] | None = None) -> dict[int, bool]:
    """Label codes of the two sides: True for the positive one.

    Of each dataset the first of the named tasks; where none are named, the first task whose labels are all of the T
    branch. A task of which some label has no anchor is passed over.
    """
    code, out, done = {label: i for i, label in enumerate(parts.labels)}, dict[int, bool](), set[str]()
    binary = config.endpoints.binary
    for name in binary if tasks is None else [name for name in tasks if name in binary]:
        task = binary[name]
        for dataset in sorted(set(task.positive) & set(task.negative) - done):
            sides = [[f"{dataset}:{label}" for label in side[dataset]] for side in (task.negative, task.positive)]
            if not all(label in code for side in sides for label in side):
                continue
            codes = [[code[label] for label in side] for side in sides]
            of_t = all(parts.branches[parts.branch_of[i]] == BRANCH for side in codes for i in side)
            if of_t or tasks is not None:
                done.add(dataset)
                out |= {i: bool(positive) for positive, side in enumerate(codes) for i in side}
    return out


def discriminant(x: np.ndarray, positive: np.ndarray, penalty: float) -> np.ndarray:
    """Regularised discriminant direction of raw columns x (n, k), (k,), higher for positive cells."""
    scale = np.maximum(x.std(0), 1e-12)
    standard = (x - x.mean(0)) / scale
    sides = [standard[positive == side] for side in (False, True)]
    middle = [side.mean(0) for side in sides]
    within = sum((side - mean).T @ (side - mean) for side, mean in zip(sides, middle, strict=True)) / len(x)
    return np.linalg.solve(within + penalty * np.eye(x.shape[1]), middle[1] - middle[0]) / scale


class Lens:
    """Probes of the internal cells, and of the same cells with labels permuted within donors."""

    def __init__(self, frame: Frame, inside: TCells, seed: int) -> None:
        self.frame, z = frame, inside.z.astype(np.float64)
        order = within_donors(inside.donor, DRAWS, seed, "t-lens")
        view, truth = frame.view(z, 3), inside.positive
        directions = {name: [] for name in VIEWS}
        for positive in (truth, *truth[order]):
            directions["view3"].append(self._back(discriminant(view, positive, PROBE)))
            directions["full"].append(discriminant(z, positive, PROBE))
            directions["best_axis"].append(_best_axis(z, positive))
            # Only the lens sees the permuted labels: its probe then has a direction more, that means nothing.
            lens = discriminant(z, positive, LENS)
            weight = discriminant(np.column_stack([view, z @ lens]), truth, PROBE)
            directions["lens"].append(self._back(weight[:-1]) + weight[-1] * lens)
        self.directions = {name: np.column_stack(found) for name, found in directions.items()}
        self.axis = int(np.abs(self.directions["best_axis"][:, 0]).argmax())

    def _back(self, weight: np.ndarray) -> np.ndarray:
        """A direction of the view as one of the latent."""
        return self.frame.axes[: len(weight)].T @ weight

    def rows(self, cells: TCells, min_cells: int) -> list[Found]:
        """AUROC of each probe by donor, averaged over donors with enough cells of both sides; [] without any."""
        z = cells.z.astype(np.float64)
        found, n = dict[str, np.ndarray](), 0
        for name, directions in self.directions.items():
            values = donor_aurocs(z @ directions, cells.positive, cells.donor, min_cells)
            if not len(values):
                return []
            found[name], n = values.mean(0), len(values)
        out: list[Found] = [
            {"quantity": name, "value": float(values[0]), **p_value(float(values[0]), values[1:])}
            | ({"i": self.axis} if name == "best_axis" else {})
            for name, values in found.items()
        ]
        gain = found["lens"] - found["view3"][0]
        out.append({"quantity": "lens_gain", "value": float(gain[0]), **p_value(float(gain[0]), gain[1:])})
        return [row | {"n": n} for row in out]


def _best_axis(z: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The axis of the largest AUROC, either way, as a signed unit direction."""
    away = _auroc(z, positive) - 0.5
    best = int(np.abs(away).argmax())
    return np.eye(z.shape[1])[best] * (1 if away[best] >= 0 else -1)


def _auroc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AUROC of each column of scores (n, k)."""
    n = int(positive.sum())
    total = rankdata(scores, axis=0)[positive].sum(0)
    return (total - n * (n + 1) / 2) / (n * (len(positive) - n))


def donor_aurocs(scores: np.ndarray, positive: np.ndarray, donor: np.ndarray, min_cells: int) -> np.ndarray:
    """AUROC of each column of scores (n, k) in each donor that has `min_cells` of both sides, (donors, k)."""
    out = []
    for name in np.unique(donor):
        rows = donor == name
        if min(positive[rows].sum(), (~positive[rows]).sum()) >= min_cells:
            out.append(_auroc(scores[rows], positive[rows]))
    return np.array(out)

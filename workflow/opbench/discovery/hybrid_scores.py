"""What hybrid, cell and anchor heads are compared by, and the paper's selection score (spec C.2; decision 24)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import angle_distances
from opbench.discovery.distances import Pairs, pair_covariates, residualised
from opbench.discovery.parts import Part
from opbench.discovery.separation import Sides, ThreeAxes
from opbench.discovery.trust import Trust
from opbench.operators.features import cell_features
from opbench.operators.operator import Operator

#: Terms of the selection score and their weights; `cd4_cd8` and `mono_macro` are roles that a task of the run has.
WEIGHTS = {"residualised": 1.0, "cd4_cd8": 0.25, "mono_macro": 0.25, "silhouette_branch": 0.40, "spread_norm": -0.20}
#: The score with all of its terms, and with those that there are.
WHOLE, PARTIAL = "hybrid_score", "hybrid_partial"


@dataclass(frozen=True)
class Cells:
    """Cells of a part: log1p (n, G), ids, `dataset:label`, codes of label and branch, and donors (n,)."""

    log1p: csr_matrix
    ids: np.ndarray
    named: np.ndarray
    label: np.ndarray
    branch: np.ndarray
    donor: np.ndarray

    def take(self, rows: np.ndarray) -> "Cells":
        """Some of the cells."""
        return Cells(*(value[rows] for value in self.__dict__.values()))

    def features(self, operator: Operator) -> np.ndarray:
        """What an operator makes of them, (n, F) float32."""
        return cell_features(operator, self.log1p, self.ids.tolist(), self.named.tolist())

    def latent(self, operator: Operator, head: CellHead) -> np.ndarray:
        """Latents (n, d); an operator on expression is first multiplied with the head, so that no (n, F) is formed."""
        if operator.encoding != "log1p":
            return head.transform(self.features(operator))
        folded = head.weight / head.scale
        return np.asarray(self.log1p @ (operator.matrix @ folded.T) - folded @ head.mean, dtype=np.float32)


def within_spread(z: np.ndarray, label: np.ndarray) -> float:
    """Root of the within-label share of the sum of squares of latents (n, d): 0 for points, 1 for labels alike.

    The paper's normalised within-stage spread has no formula; this one is a choice.
    """
    wide = z.astype(np.float64)
    code, count = np.unique(label, return_inverse=True, return_counts=True)[1:]
    centres = np.stack([np.bincount(code, weights=column) for column in wide.T], axis=1) / count[:, None]
    total = ((wide - wide.mean(0)) ** 2).sum()
    return float(np.sqrt(((wide - centres[code]) ** 2).sum() / total)) if total > 0 else float("nan")


def anchor_quantities(head: CellHead, features: np.ndarray, part: Part, ruler: np.ndarray, neighbours: int) -> dict:
    """Residualised rank correlation with the ruler, and trustworthiness, of a part's anchors (a, F): value and a."""
    z, pairs = head.transform(features), Pairs.of(part.label, ruler)
    found = residualised(pairs, angle_distances(z), pair_covariates(part.donor, part.tissue))
    trust = Trust(features, head.mean, head.scale, neighbours, 0).of(z)
    return {"residualised": (found, len(part)), "trust": (trust, len(part))}


def cell_quantities(z: np.ndarray, cells: Cells, axes: ThreeAxes, tasks: Mapping[str, Sides], min_cells: int) -> dict:
    """Means over donors, and their number: AUROC of each task in 3-D, silhouette of branches, within-label spread.

    A donor counts with its labels of at least `min_cells` cells; silhouette needs two branches, spread two labels.
    """
    found: dict[str, list[float]] = {f"{name}_auroc3": [] for name in tasks}
    found |= {"silhouette_branch": [], "spread_norm": []}
    for donor in np.unique(cells.donor):
        rows = np.flatnonzero(cells.donor == donor)
        for name, sides in tasks.items():
            found[f"{name}_auroc3"].append(axes.auroc(z[rows], cells.label[rows], sides, min_cells))
        codes, counts = np.unique(cells.label[rows], return_counts=True)
        rows = rows[np.isin(cells.label[rows], codes[counts >= min_cells])]
        found["silhouette_branch"].append(_silhouette(z[rows], cells.branch[rows]))
        several = len(np.unique(cells.label[rows])) > 1
        found["spread_norm"].append(within_spread(z[rows], cells.label[rows]) if several else np.nan)
    finite = {name: [value for value in values if np.isfinite(value)] for name, values in found.items()}
    return {name: (float(np.mean(kept)) if kept else np.nan, len(kept)) for name, kept in finite.items()}


def _silhouette(z: np.ndarray, branch: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(z, branch)) if 1 < len(np.unique(branch)) < len(branch) else float("nan")


def selection_score(quantities: Mapping[str, tuple[float, int]], roles: Mapping[str, list[str]]) -> tuple[str, float]:
    """Name and value of the selection score of one head on one part.

    roles: `cd4_cd8` and `mono_macro` -> the run's two-class tasks that may stand for each; the first with a value does.
    Missing terms are dropped and the others' weights grow to the same sum of magnitudes; the score is then called
    `hybrid_partial` (decision 24). NaN without the correlation.
    """
    terms: dict[str, float] = {}
    for name in WEIGHTS:
        names = [f"{task}_auroc3" for task in roles[name]] if name in roles else [name]
        values = [quantities[each][0] for each in names if each in quantities and np.isfinite(quantities[each][0])]
        if values:
            terms[name] = values[0]
    if "residualised" not in terms:
        return PARTIAL, float("nan")
    grown = sum(map(abs, WEIGHTS.values())) / sum(abs(WEIGHTS[name]) for name in terms)
    score = sum((grown if len(terms) < len(WEIGHTS) else 1) * WEIGHTS[name] * value for name, value in terms.items())
    return (WHOLE if len(terms) == len(WEIGHTS) else PARTIAL), score

"""Heads of an operator on one donor fold: anchor heads at every budget, closed-form heads at every width, or none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from opbench.adaptors.closed_form import fit_closed_form
from opbench.adaptors.let import PLATEAU, AnchorData, LetSettings, angle_distances, fit_let
from opbench.config import Config
from opbench.io.seeds import derive_seed
from opbench.methods.interface import Output
from opbench.operators.operator import Operator
from opbench.readouts.panel_data import PanelData
from opbench.readouts.pseudotime import spearman
from opbench.readouts.scoring import Score, SplitTruth

#: Fewer anchors to fit on are not testable (decision 21); fewer held out have no rank correlation.
MIN_ANCHORS, MIN_HELD = 20, 3
#: The paper's selection score over all pairs of held-out anchors, and over pairs of different cell types alone.
SELECTION = ("selection_score", "selection_score_between")


@dataclass(frozen=True)
class Point:
    """One head: `let`, `closed_form` or `none` (width 0: the probe sits on the operator's features).

    A head without steps has no budget, and learning rate 0.
    """

    head: str
    width: int
    seed: int
    budget: str = ""
    learning_rate: float = 0.0


@dataclass(frozen=True)
class Anchors:
    """Mean expression (a, G) float32 of a donor's cells of a label, their label codes and donors (a,)."""

    x: np.ndarray
    label: np.ndarray
    donor: np.ndarray


@dataclass(frozen=True)
class Fold:
    """One donor fold: positions of the anchors that fit and that are held out, and of the cells that fit."""

    split: int
    truth: SplitTruth
    fit: np.ndarray
    held: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """What a head makes of the cells, and its selection scores."""

    fold: Fold
    point: Point
    output: Output
    selection: list[Score]

    @classmethod
    def none(cls, fold: Fold, point: Point, reason: str) -> "Fitted":
        """A head that there is not."""
        selection = [Score("", name, np.nan, 0, "not_applicable", reason) for name in SELECTION]
        return cls(fold, point, Output(reason=reason), selection)


class CheapHeads:
    """Fits the heads of operators on a panel's anchors and cells."""

    def __init__(self, config: Config, data: PanelData, anchors: Anchors) -> None:
        self.settings, self.adaptor, self.data, self.anchors = config.sweeps, config.adaptor, data, anchors
        self.ruler = data.classes.ruler

    def fit(self, operator: Operator, folds: list[Fold], points: list[Point]) -> Iterator[Fitted]:
        """Fit every head of an operator that reads expression, on every fold."""
        features = self.anchors.x @ operator.matrix
        features_read = np.ascontiguousarray(operator.matrix[:, operator.matrix.any(0)])
        by_head = {head: [point for point in points if point.head == head] for head in ("let", "closed_form", "none")}
        for fold in folds:
            yield from self._let(operator, features, fold, by_head["let"])
            yield from self._closed_form(operator, features, fold, by_head["closed_form"])
            for point in by_head["none"]:
                yield Fitted(fold, point, Output(projection=features_read, correlated=True), [])

    def _let(self, operator: Operator, features: np.ndarray, fold: Fold, points: list[Point]) -> Iterator[Fitted]:
        if len(fold.fit) < MIN_ANCHORS or len(fold.held) < MIN_HELD:
            reason = f"{len(fold.fit)} anchors to fit on and {len(fold.held)} to hold out"
            yield from (Fitted.none(fold, point, reason) for point in points)
            return
        s, cap = self.settings, self.adaptor.max_epochs
        fit, held = (AnchorData(features[part], self.anchors.label[part], self.ruler) for part in (fold.fit, fold.held))
        runs = dict.fromkeys((point.width, point.seed, point.learning_rate) for point in points)
        for width, seed, rate in runs:
            mine = {p: _epochs(p.budget) for p in points if (p.width, p.seed, p.learning_rate) == (width, seed, rate)}
            recipe = LetSettings(width, rate, s.weight_recon, self.adaptor.patience, cap)
            # The same start whichever the operator and the fold.
            heads = fit_let(fit, recipe, derive_seed(seed, "let", width), list(mine.values()), held)
            for point, budget in mine.items():
                head = heads[budget]
                selection = self._selection(angle_distances(head.transform(held.features)), fold)
                output = self._seen(operator.matrix @ (head.weight / head.scale).T, fold)
                if head.status != "ok":
                    output = replace(output, status=head.status, reason=f"no plateau within {cap} epochs")
                yield Fitted(fold, point, output, selection)

    def _closed_form(
        self, operator: Operator, features: np.ndarray, fold: Fold, points: list[Point]
    ) -> Iterator[Fitted]:
        if not points:
            return
        cells = np.asarray(self.data.log1p[fold.cells] @ operator.matrix, dtype=np.float32)
        head = fit_closed_form(cells, self.data.label[fold.cells], self.ruler, self.settings.shrinkage)
        held = head.transform(features[fold.held])
        for point in points:
            if point.width > head.rank:
                yield Fitted.none(fold, point, f"ruler and features leave {head.rank} dimensions")
                continue
            z = held[:, : point.width]
            distance = np.linalg.norm(z[:, None] - z[None], axis=2)
            output = self._seen(operator.matrix @ head.folded[: point.width].T, fold)
            yield Fitted(fold, point, output, self._selection(distance, fold))

    def _seen(self, projection: np.ndarray, fold: Fold) -> Output:
        """Training and test cells through a projection (G, d); the probes standardise, so that no offset is needed."""
        z = np.asarray(self.data.log1p @ projection, dtype=np.float32)
        return Output(representation=(z[fold.truth.train], z[fold.truth.test]))

    def _selection(self, distance: np.ndarray, fold: Fold) -> list[Score]:
        """Rank correlation of latent distance and ruler over pairs of held-out training anchors."""
        upper = np.triu_indices(len(fold.held), 1)
        label = self.anchors.label[fold.held]
        target, distance = self.ruler[label][:, label][upper], distance[upper]
        between = (label[:, None] != label)[upper]
        out = []
        for name, kept in zip(SELECTION, (np.ones_like(between), between), strict=True):
            value = spearman(distance[kept], target[kept])
            state = ("ok", "") if np.isfinite(value) else ("not_applicable", "one value")
            out.append(Score("", name, value, int(kept.sum()), *state))
        return out


def _epochs(budget: str) -> int | str:
    return budget if budget == PLATEAU else int(budget)

"""One simulated campaign: a cohort, the rule's five controls, and the scores of real operators of every case."""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from opbench.calibration.cases import PLANTED, Case, blind, real_operator, seeing
from opbench.calibration.heads import Moments, aurocs, fit, moments
from opbench.calibration.operators import random_arm, read_corpus, with_noise
from opbench.calibration.world import CELLS, NEGATIVE, POSITIVE, World
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.statistics.arms import Arm

#: Donor folds, draws of the Gaussian and own-shuffle arms, draws of other random arms (decision 19), adaptor seeds.
FOLDS, DRAWS, FEW_DRAWS, SEEDS = 5, 20, 5, 5
#: The paper's design: splits and test donors of each (spec F.1, M18).
SPLITS, GROUP = 88, 3


@dataclass(frozen=True)
class PaperSplits:
    """AUROC in the paper's design: test donors (S, T), the real operator (S, T), draws of the control (S, T, D)."""

    donors: np.ndarray
    real: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class Scored:
    """One case of one campaign; `paper` is None where the donors form fewer groups than the paper has splits."""

    case: Case
    real: Arm
    controls: dict[str, Arm]
    paper: PaperSplits | None


@dataclass(frozen=True)
class View:
    """Cells (donors, K, cells, G + 1) with the moments of the training sets, by fold and by the paper's split."""

    cells: np.ndarray
    fold: np.ndarray
    groups: np.ndarray | None

    def shown(self, strength: float) -> "View":
        """The same cells with a hidden variable that differs by `strength` between the endpoint's classes."""
        cells = self.cells.copy()
        cells[:, POSITIVE, :, -1] += strength / 2
        cells[:, NEGATIVE, :, -1] -= strength / 2
        return View(cells, self.fold, self.groups)

    @cached_property
    def by_fold(self) -> Moments:
        """Moments of the folds' training sets."""
        return moments(self.cells, self.fold != np.unique(self.fold)[:, None])

    @cached_property
    def by_split(self) -> Moments:
        """Moments of the paper's training sets: all donors that a split does not test."""
        trained = np.ones((SPLITS, len(self.cells)), dtype=bool)
        np.put_along_axis(trained, self.groups, False, axis=1)
        return moments(self.cells, trained)

    def scores(self, operators: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """AUROC (donors, operators) of operators (O, G + 1, G), each fitted once a fold with a seed of its own."""
        weights = fit(operators, self.by_fold, rng)
        return aurocs(self.cells, weights.transpose(1, 0, 2)[self.fold])

    def paper(self, operators: np.ndarray, rng: np.random.Generator) -> PaperSplits | None:
        """The first operator and draws of a control, the others, in the paper's splits."""
        if self.groups is None:
            return None
        weights = fit(operators, self.by_split, rng)
        by_donor = np.repeat(weights.transpose(1, 0, 2), GROUP, axis=0)
        scores = aurocs(self.cells[self.groups.ravel()], by_donor).reshape(SPLITS, GROUP, -1)
        return PaperSplits(self.groups, scores[..., 0], scores[..., 1:])


def seeded(operator: np.ndarray, view: View, rng: np.random.Generator) -> Arm:
    """One operator (G + 1, G) under several adaptor seeds."""
    return Arm(view.scores(np.repeat(operator[None], SEEDS, axis=0), rng))


class Campaign:
    """Cells and corpora of one campaign, and the controls that all cases share; every stream is keyed by `seed`."""

    def __init__(self, world: World, donors: int, seed: int) -> None:
        """Draw the cells, a corpus for the controls and another for the real operators."""
        self.seed, rng = seed, keyed_rng(seed, "cells")
        cells = np.concatenate([draw(rng, donors, CELLS) for draw in (world.cells, world.hidden)], axis=-1)
        enough = comb(donors, GROUP) >= SPLITS
        orders = rng.permuted(np.tile(np.arange(donors), (SPLITS, 1)), axis=1)
        self.view = View(cells, np.arange(donors) % FOLDS, orders[:, :GROUP] if enough else None)
        self.corpus, other = read_corpus(world.corpus(rng)), read_corpus(world.corpus(rng))
        self.base = {"uniform": other.uniform, "coexpression": other.coexpression}
        self.gaussians = self.arm("gaussian", self.corpus.coexpression, DRAWS)

    def arm(self, name: str, operator: np.ndarray, draws: int, *key: object) -> np.ndarray:
        """Draws (D, G, G) of a random control of an operator."""
        return random_arm(name, operator, self.corpus.support, derive_seed(self.seed, "control", *key), draws)

    def drawn(self, operators: np.ndarray, rng: np.random.Generator) -> Arm:
        """Draws (D, G, G) of a random control."""
        return Arm(self.view.scores(blind(operators), rng), random=True)

    @cached_property
    def shared(self) -> dict[str, Arm]:
        """Controls that do not depend on the real operator."""
        rng = keyed_rng(self.seed, "shared")
        fixed = {"uniform": self.corpus.uniform, "coexpression": self.corpus.coexpression}
        arms = {name: seeded(blind(operator[None])[0], self.view, rng) for name, operator in fixed.items()}
        return {"gaussian": self.drawn(self.gaussians, rng)} | arms

    def run(self, case: Case) -> Scored:
        """Scores of one case; the own-shuffle and row-permuted controls are those of its real operator."""
        support, key = self.corpus.support, repr(case)
        rng = keyed_rng(self.seed, "case", key)
        genes = real_operator(case, self.base, support, derive_seed(self.seed, "real", key))
        view = self.view.shown(case.strength) if case.name == PLANTED else self.view
        operator = seeing(genes, rng) if case.name == PLANTED else blind(genes[None])[0]
        own = {"shuffle": self.arm("shuffle", genes, DRAWS, key)}
        own["row_permuted"] = self.arm("row_permuted", genes, FEW_DRAWS, key)
        controls = self.shared | {name: self.drawn(draws, rng) for name, draws in own.items()}
        compared = own | {"gaussian": self.gaussians, "uniform": self.corpus.uniform[None]}
        noisy = with_noise(self.corpus.coexpression, support, case.noise, derive_seed(self.seed, "control", key))
        compared["coexpression"] = noisy[None]
        if case.noise:
            controls["coexpression"] = seeded(blind(compared["coexpression"])[0], self.view, rng)
        # Several draws of one control cost most of a campaign; null cases are where they are asked for.
        draws = blind(compared[case.control][: 1 if case.name == PLANTED else FEW_DRAWS])
        paper = view.paper(np.concatenate([operator[None], draws]), rng)
        return Scored(case, seeded(operator, view, rng), controls, paper)

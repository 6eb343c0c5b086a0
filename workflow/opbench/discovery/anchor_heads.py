"""Anchor heads of the chain: which internal anchors train, which stop, and the head at both budgets of one run."""

from dataclasses import dataclass, replace

import numpy as np

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import PLATEAU, AnchorData, LetSettings, fit_let
from opbench.config import Config
from opbench.discovery.parts import Part
from opbench.io.seeds import derive_seed
from opbench.methods.heads import stopping_donors
from opbench.readouts.sweeps import MIN_DONOR_ANCHORS

#: Budgets as the tables name them.
FIXED = "fixed"
BUDGETS = (FIXED, PLATEAU)
#: Fewer anchors to stop on have no loss worth stopping on.
MIN_STOP = 3


@dataclass(frozen=True)
class Division:
    """Positions of anchors that train and that stop the plateau; `reason` says why there is no head, else it is ''."""

    fit: np.ndarray
    stop: np.ndarray
    reason: str


def divide(part: Part, held: np.ndarray, config: Config) -> Division:
    """Divide the anchors of a part that are not held out (positions) into training and stopping ones.

    Whole donors stop, drawn by the chain's seed: the same for every operator and head seed, so that these alone differ.
    The fixed budget is trained without them too, as both budgets come of one run.
    """
    left = np.setdiff1d(np.arange(len(part)), held)
    donor, label = part.donor[left], part.label[left]
    names, counts = np.unique(part.donor, return_counts=True)
    # Counted with what is held out: a branch that is left out should not change who stops.
    enough = np.intersect1d(names[counts >= MIN_DONOR_ANCHORS], donor)
    n, seed = config.adaptor.validation_donors, config.discovery.seed
    stopping = stopping_donors(enough, n, seed) if len(enough) else enough
    mine = np.isin(donor, stopping)
    fit = left[~mine]
    # A label that only the stopping donors have was never trained.
    stop = left[mine & np.isin(label, part.label[fit])]
    fewest = config.discovery.gates.min_anchors
    if len(fit) < fewest or len(stop) < MIN_STOP:
        return Division(fit, stop, f"{len(fit)} anchors to train on (at least {fewest}), {len(stop)} to stop on")
    return Division(fit, stop, "")


class AnchorHeads(dict[str, CellHead]):
    """Heads by budget, and the learning rate that both were trained at."""

    learning_rate: float


def fit_heads(
    features: np.ndarray, part: Part, ruler: np.ndarray, division: Division, width: int, seed: int, config: Config
) -> AnchorHeads:
    """Train one anchor head on a part's features (a, F) and ruler (K, K), at both budgets of one run.

    The start depends on head seed and width alone: it is the same whichever the operator and whatever is held out. The
    learning rate is the one with the lowest training loss after the fixed budget.
    """
    assert not division.reason, division.reason
    train, stop = (AnchorData(features[rows], part.label[rows], ruler) for rows in (division.fit, division.stop))
    rates, epochs = config.discovery.learning_rates, config.discovery.gates.epochs
    patience, cap = config.adaptor.patience, config.adaptor.max_epochs
    recipe = LetSettings(width, rates[0], config.sweeps.weight_recon, patience, cap)
    own = derive_seed(seed, "let", width)
    heads, rate = fit_let(train, recipe, own, [epochs, PLATEAU], stop), rates[0]
    for other in rates[1:]:
        slower = replace(recipe, learning_rate=other)
        if fit_let(train, slower, own, [epochs])[epochs].loss < heads[epochs].loss:
            heads, rate = fit_let(train, slower, own, [epochs, PLATEAU], stop), other
    made = AnchorHeads({FIXED: heads[epochs], PLATEAU: heads[PLATEAU]})
    made.learning_rate = rate
    return made

"""Operators of the simulated campaigns: the rule's five controls, made as `opbench.operators` makes them."""

from dataclasses import dataclass

import numpy as np

from opbench.io.seeds import derive_seed
from opbench.operators import controls


@dataclass(frozen=True)
class Corpus:
    """What the controls take from corpus cells: support, uniform attention and co-expression, each (G, G)."""

    support: np.ndarray
    uniform: np.ndarray
    coexpression: np.ndarray


def read_corpus(cells: np.ndarray) -> Corpus:
    """From expression (cells, G): genes detected together, Σ 1[i, j in c]/n_c, and Pearson correlations."""
    detected = (cells > 0).astype(np.float32)
    per_cell = np.maximum(detected.sum(axis=1, keepdims=True), 1)
    uniform = detected.T @ (detected / per_cell)
    centred = cells - cells.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    centred = centred / np.where(norm > 0, norm, 1)
    return Corpus(detected.T @ detected > 0, uniform, centred.T @ centred)


def random_arm(arm: str, operator: np.ndarray, support: np.ndarray, seed: int, draws: int) -> np.ndarray:
    """Draws (D, G, G) float32 of a random control of an operator (G, G)."""
    made = []
    for draw in range(draws):
        if arm == "row_permuted":
            order = controls.gene_order(np.ones(len(operator), dtype=bool), seed, arm, draw)
            made.append(controls.permute_rows([operator], order)[0])
        else:
            build = {"gaussian": controls.gaussian_halves, "shuffle": controls.shuffle}[arm]
            made.append(build([operator], support, seed, draw)[0])
    return np.stack(made).astype(np.float32)


def with_noise(operator: np.ndarray, support: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The operator with Gaussian noise on the support, in shares of its entries' standard deviation there."""
    if not share:
        return operator
    return operator + share * random_arm("gaussian", operator, support, derive_seed(seed, "noise"), 1)[0]

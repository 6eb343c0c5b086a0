"""Random operators matched to the real one: the same values, support or spectrum, without what the model learnt.

All take the real operator's (G, G) blocks, of any number, and give as many. Draws are keyed by (seed, arm, draw).
"""

import numpy as np

from opbench.io.seeds import keyed_rng
from opbench.operators.drift import drift_halves


def gaussian_halves(halves: list[np.ndarray], support: np.ndarray, seed: int, draw: int) -> list[np.ndarray]:
    """Decision 17, arm (a): each drift half replaced by N(0, sd of that half's entries on the support)."""
    out = []
    for index, half in enumerate(halves):
        rng = keyed_rng(seed, "gaussian_halves", draw, index)
        out.append(_on_support(support, rng, 0.0, float(half[support].std())))
    return out


def gaussian_blocks(blocks: np.ndarray, support: np.ndarray, seed: int, draw: int) -> list[np.ndarray]:
    """Decision 17, arm (b): early, mid and late drawn with the real block's mean and sd, then differenced."""
    fakes = [
        _on_support(
            support,
            keyed_rng(seed, "gaussian_blocks", draw, index),
            float(block[support].mean()),
            float(block[support].std()),
        )
        for index, block in enumerate(blocks)
    ]
    return drift_halves(np.stack(fakes))


def shuffle(blocks: list[np.ndarray], support: np.ndarray, seed: int, draw: int) -> list[np.ndarray]:
    """Each block's own values permuted over the support (spec K8): which pair of genes has which is lost."""
    out = []
    for index, block in enumerate(blocks):
        values = np.zeros(support.shape)
        values[support] = keyed_rng(seed, "shuffle", draw, index).permutation(block[support])
        out.append(values)
    return out


def gene_order(tokenised: np.ndarray, seed: int, arm: str, draw: int) -> np.ndarray:
    """A random order (G,) of the tokenised genes among themselves; the others, whose rows are 0, stay in place."""
    order = np.arange(len(tokenised))
    order[tokenised] = keyed_rng(seed, arm, draw).permutation(order[tokenised])
    return order


def permute_genes(blocks: list[np.ndarray], order: np.ndarray) -> list[np.ndarray]:
    """Genes renamed on both sides, PAPᵀ (spec K9): singular values and the relation of the blocks are kept."""
    return [block[np.ix_(order, order)] for block in blocks]


def permute_rows(blocks: list[np.ndarray], order: np.ndarray) -> list[np.ndarray]:
    """Genes renamed on the reading side alone, PA: singular values and the features' span are kept."""
    return [block[order] for block in blocks]


def dense(n_blocks: int, n_genes: int, seed: int, draw: int) -> list[np.ndarray]:
    """N(0, 1) everywhere, also in genes that the corpus lacks."""
    rngs = [keyed_rng(seed, "dense", draw, index) for index in range(n_blocks)]
    return [rng.standard_normal((n_genes, n_genes)) for rng in rngs]


def _on_support(support: np.ndarray, rng: np.random.Generator, mean: float, sd: float) -> np.ndarray:
    values = np.zeros(support.shape, dtype=np.float64)
    values[support] = rng.normal(mean, sd, int(support.sum()))
    return values

"""Gaussian random projections of log1p expression: no learning at all."""

import numpy as np

from opbench.io.seeds import keyed_rng


def random_directions(stream: str, seed: int, draw: int, n_genes: int, width: int) -> np.ndarray:
    """N(0, 1/d) matrix (G, d) float32 of one draw, the same for all splits; d is at most G."""
    width = min(width, n_genes)
    rng = keyed_rng(seed, stream, draw)
    return rng.normal(0, width**-0.5, (n_genes, width)).astype(np.float32)

"""Matched random operators: Gaussian values on the real operator's support (decision 17)."""

import numpy as np

from opbench.io.seeds import keyed_rng
from opbench.operators.drift import drift_halves


def gaussian_halves(halves: list[np.ndarray], support: np.ndarray, seed: int, draw: int) -> list[np.ndarray]:
    """Arm (a): each drift half replaced by N(0, sd of that half's entries on the support)."""
    out = []
    for index, half in enumerate(halves):
        rng = keyed_rng(seed, "gaussian_halves", draw, index)
        out.append(_on_support(support, rng, 0.0, float(half[support].std())))
    return out


def gaussian_blocks(blocks: np.ndarray, support: np.ndarray, seed: int, draw: int) -> list[np.ndarray]:
    """Arm (b): early, mid and late each drawn with the real block's mean and sd, then differenced."""
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


def _on_support(support: np.ndarray, rng: np.random.Generator, mean: float, sd: float) -> np.ndarray:
    values = np.zeros(support.shape, dtype=np.float64)
    values[support] = rng.normal(mean, sd, int(support.sum()))
    return values

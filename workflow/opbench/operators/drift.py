"""Pooled drift and single heads from summed attention (arXiv:2603.10261; layer blocks by decision 4)."""

import re

import numpy as np

from opbench.io.errors import InputError


def layer_blocks(layers: int) -> list[slice]:
    """Three equal blocks of layers: early, mid, late."""
    if layers % 3:
        raise InputError(f"model: {layers} layers do not divide into three equal drift blocks; use a multiple of 3.")
    size = layers // 3
    return [slice(start, start + size) for start in range(0, layers, size)]


def block_means(sums: np.ndarray) -> np.ndarray:
    """Mean of the native heads in each block: (L, H, G, G) attention sums -> (3, G, G).

    The sums are not divided by co-detection counts: that is what the published operator is
    (spec B.2), and every row of each block mean therefore sums to the gene's tokenised count.
    """
    return np.stack([sums[block].mean(axis=(0, 1), dtype=np.float64) for block in layer_blocks(len(sums))])


def row_stochastic_means(sums: np.ndarray) -> np.ndarray:
    """Mean over each block of heads whose rows were first divided by their sums: (L, H, G, G) -> (3, G, G)."""
    heads, out = sums.shape[1], []
    for block in layer_blocks(len(sums)):
        total = np.zeros(sums.shape[2:])
        for layer in range(block.start, block.stop):
            for head in range(heads):
                weights = sums[layer, head].astype(np.float64)
                rows = weights.sum(1, keepdims=True)
                total += weights / np.where(rows > 0, rows, 1)
        out.append(total / ((block.stop - block.start) * heads))
    return np.stack(out)


def drift_halves(blocks: np.ndarray) -> list[np.ndarray]:
    """The two halves [early - mid, mid - late] of the drift from (3, G, G) block means; rows sum to 0."""
    early, mid, late = blocks
    return [early - mid, mid - late]


def parse_head(name: str) -> tuple[int, int]:
    """`L2H5` -> (2, 5), both zero-based."""
    match = re.fullmatch(r"L(\d+)H(\d+)", name)
    if not match:
        raise InputError(f"operators.single_heads: '{name}' is not a head; write it as L2H5 (zero-based).")
    return int(match[1]), int(match[2])

"""Permutations of anchors within donors, and of cell types: the nulls of findings on a latent (decision 13)."""

from math import exp, lgamma

import numpy as np

from opbench.discovery.permutations import permute_inside
from opbench.io.seeds import keyed_rng


def within_donors(donor: np.ndarray, draws: int, *keys: object) -> np.ndarray:
    """Positions (draws, a) that permute the anchors inside each donor, keyed by `keys`."""
    return permute_inside(np.arange(len(donor)), donor, draws, keyed_rng(*keys, "within-donors"))


def type_values(values: np.ndarray, label: np.ndarray, draws: int, *keys: object) -> np.ndarray:
    """Values (draws, a) after the values of whole cell types, equal in all their anchors, change places; in all donors
    alike, as an order of cell types would that a head learned. Keyed by `keys`.
    """
    _, first, member = np.unique(label, return_index=True, return_inverse=True)
    rng = keyed_rng(*keys, "types")
    return rng.permuted(np.tile(values[first], (draws, 1)), axis=1)[:, member]


def arrangements(values: np.ndarray, block: np.ndarray) -> float:
    """Different orders of `values` (a,) inside the blocks (a,), by number; infinite where there are very many."""
    logarithm = 0.0
    for name in np.unique(block):
        counts = np.unique(values[block == name], return_counts=True)[1]
        logarithm += lgamma(counts.sum() + 1) - sum(lgamma(count + 1) for count in counts)
    return round(exp(logarithm)) if logarithm < 30 else float("inf")


def p_value(value: float, null: np.ndarray, orders: float = float("inf")) -> dict[str, float]:
    """One-sided p, the smallest that so many draws of so many different orders can give, and the null's mean and 95 %
    point. No p is below that floor.
    """
    floor = max(1 / (len(null) + 1), 1 / orders)
    p = max((1 + int((null >= value - 1e-12).sum())) / (len(null) + 1), floor)
    return {"p": p, "p_floor": floor, "null_mean": float(null.mean()), "null_q95": float(np.quantile(null, 0.95))}

"""Comparisons with a random arm: donors and draws are both resampled (decision 18)."""

from functools import lru_cache

import numpy as np
import pandas as pd

from opbench.io.seeds import keyed_rng


def by_draw(scores: pd.DataFrame) -> dict[str, np.ndarray]:
    """Donor values per draw of each label of one endpoint: label -> (donors, draws), donors sorted.

    The mean over splits is taken; NaN where a donor has no value in a draw.
    """
    donors = np.unique(scores["donor"])
    cells = scores.groupby(["label", "donor", "draw"], sort=True)["value"].mean()
    return {
        str(label): part.droplevel("label").unstack("draw").reindex(donors).to_numpy()
        for label, part in cells.groupby(level="label")
    }


@lru_cache(maxsize=16)
def _weights(seed: int, bootstraps: int, n: int, *draws: int) -> list[np.ndarray]:
    """Multinomial resampling weights (bootstraps, n), then (bootstraps, draws) of each arm; rows sum to 1."""
    rng = keyed_rng(seed, "two-way-bootstrap", n, *draws)
    return [rng.multinomial(k, np.full(k, 1 / k), size=bootstraps) / k for k in (n, *draws)]


def two_way_interval(a: np.ndarray, b: np.ndarray, bootstraps: int, seed: int, level: float) -> tuple[float, float]:
    """Percentile interval of mean(a) - mean(b) over donors and draws.

    a (donors, draws of a), b (donors, draws of b). Donors are resampled together for both, the draws of
    each arm on their own. With few draws the interval is somewhat too narrow: D draws show only
    (D - 1)/D of their variance. NaN with fewer than two common donors.
    """
    common = ~(np.isnan(a).any(axis=1) | np.isnan(b).any(axis=1))
    a, b, n = a[common], b[common], int(common.sum())
    if n < 2:
        return float("nan"), float("nan")
    donors, *weights = _weights(seed, bootstraps, n, a.shape[1], b.shape[1])
    effect = np.zeros(bootstraps)
    for sign, values, drawn in zip((1, -1), (a, b), weights, strict=True):
        effect += sign * ((donors @ values) * drawn).sum(axis=1)
    low, high = np.quantile(effect, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

"""Comparisons with a random arm: donors and draws are both resampled (decision 18)."""

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
    rng = keyed_rng(seed, "two-way-bootstrap", n, a.shape[1], b.shape[1])
    donors = rng.multinomial(n, np.full(n, 1 / n), size=bootstraps) / n
    effect = np.zeros(bootstraps)
    for sign, values in ((1, a), (-1, b)):
        draws = values.shape[1]
        weights = rng.multinomial(draws, np.full(draws, 1 / draws), size=bootstraps) / draws
        effect += sign * ((donors @ values) * weights).sum(axis=1)
    low, high = np.quantile(effect, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

"""Null against null: how far two operators of one random kind lie apart before anything is compared with them."""

import numpy as np


def null_differences(values: np.ndarray) -> np.ndarray:
    """|Mean over donors of the difference| of every pair of columns of `values` (donors, draws); none below two."""
    means = values.mean(axis=0)
    first, second = np.triu_indices(len(means), k=1)
    return np.abs(means[first] - means[second])


def null_floor(values: np.ndarray, level: float) -> float:
    """The `level` quantile of the null-vs-null differences: the lead that chance alone gives one draw over another.

    values (donors, draws), without NaN; NaN with fewer than two draws. The quantile is a difference that occurred, the
    next one up (numpy's `higher`): at 0.95 the largest of the 10 pairs of 5 draws, the second largest of the 21 of 7,
    the tenth largest of the 190 of 20. It errs upwards, since the difference of two draws spreads √2 times as far as
    that of one draw from the mean of many (spec K3; decision 18).
    """
    differences = null_differences(values)
    return float(np.quantile(differences, level, method="higher")) if len(differences) else float("nan")

"""Equivalence and non-inferiority as tests of their own: a difference that is not significant shows neither."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t


class Component(NamedTuple):
    """One source of the uncertainty of a mean difference: its variance and the degrees of freedom behind it."""

    variance: float
    df: float


class Margins(NamedTuple):
    """p of the two questions that a margin can be asked."""

    p_noninferiority: float  #: H0: the difference is -margin or less.
    p_equivalence: float  #: H0: the difference is at least the margin in size.


def components(differences: np.ndarray, *draws: np.ndarray) -> list[Component]:
    """Donors, and the draws of each arm that has several.

    differences (donors,): of the arms' means; draws: each arm's scores, (donors, draws). The spread of the draws'
    means also holds some of the donors' noise, which errs on the safe side.
    """
    n = len(differences)
    found = [Component(float(differences.var(ddof=1)) / n, n - 1)] if n > 1 else []
    for values in draws:
        k = values.shape[1]
        if k > 1:
            found.append(Component(float(values.mean(axis=0).var(ddof=1)) / k, k - 1))
    return found


def margin_tests(effect: float, parts: Sequence[Component], margin: float) -> Margins:
    """Two one-sided t-tests of a mean difference against ±margin (Schuirmann 1987, J Pharmacokinet Biopharm 15:657).

    The variances of `parts` add, with Welch and Satterthwaite's degrees of freedom; with donors alone these are the
    paired t-tests. NaN without a part.
    """
    if not parts:
        return Margins(float("nan"), float("nan"))
    variance = sum(part.variance for part in parts)
    if variance == 0:
        return Margins(float(effect <= -margin), float(abs(effect) >= margin))
    df = variance**2 / sum(part.variance**2 / part.df for part in parts)
    error = np.sqrt(variance)
    above, below = t.sf((effect + margin) / error, df), t.cdf((effect - margin) / error, df)
    return Margins(float(above), float(max(above, below)))

"""Power of the exact signed-rank test over donors, and the smallest difference that it can be expected to find."""

from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from opbench.io.seeds import keyed_rng
from opbench.statistics.tests import signed_rank_exact

LEVEL, POWER = 0.05, 0.8
#: Simulated cohorts behind a power; its standard error is then at most 0.004.
COHORTS = 20_000
#: Largest difference looked for, in standard deviations of the donors' differences.
LARGEST = 8.0


@lru_cache(maxsize=32)
def _cohorts(n: int) -> np.ndarray:
    return keyed_rng("check", "power", n).standard_normal((COHORTS, n))


@lru_cache(maxsize=128)
def _critical(n: int, level: float) -> float:
    """Largest signed-rank statistic (the smaller rank sum) whose p is at most `level`; -1 when none is."""
    largest, ranks = -1.0, np.arange(1, n + 1)
    for statistic in range(n * (n + 1) // 4 + 1):
        signs, rest = np.ones(n), statistic
        for rank in ranks[::-1]:  # greedy: ranks 1 to n make every sum
            if rank <= rest:
                signs[rank - 1], rest = -1, rest - rank
        if signed_rank_exact(signs * ranks).p > level:
            break
        largest = float(statistic)
    return largest


def power(n: int, effect: float, level: float = LEVEL) -> float:
    """Power of the exact two-sided test: n normal donor differences with sd 1 and mean `effect`, simulated by seed."""
    critical = _critical(n, level)
    if critical < 0:
        return 0.0
    values = _cohorts(n) + effect
    ranks = rankdata(np.abs(values), axis=1)
    plus = (ranks * (values > 0)).sum(axis=1)
    return float((np.minimum(plus, n * (n + 1) / 2 - plus) <= critical).mean())


@lru_cache(maxsize=128)
def detectable(n: int, level: float = LEVEL, wanted: float = POWER) -> float | None:
    """Smallest mean difference found with power `wanted`, in sd of the donors' differences; None when none is."""
    if power(n, LARGEST, level) < wanted:
        return None
    low, high = 0.0, LARGEST
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if power(n, middle, level) >= wanted else (middle, high)
    return high

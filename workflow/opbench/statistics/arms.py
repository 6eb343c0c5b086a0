"""The real operator against one control arm on one endpoint: scores by donor and draw become one comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from opbench.config.benchmark import Statistics
from opbench.config.evidence import Evidence
from opbench.statistics.draws import two_way_interval
from opbench.statistics.equivalence import components, margin_tests
from opbench.statistics.floors import null_floor
from opbench.statistics.tests import signed_rank_exact

#: Share of an arm's columns that a donor may lack.
MOST_GAPS = 0.5


@dataclass(frozen=True)
class Arm:
    """Scores (donors, draws) of one kind of operator; adaptor seeds stand for draws where there is one operator.

    random: whether each column is another operator. seeded: whether something is trained from a seed; a fit that has
    one solution differs from itself by nothing.
    """

    values: np.ndarray
    random: bool = False
    seeded: bool = True

    def floor(self, level: float) -> float:
        """Null floor among the columns; NaN where it needs a second one that is not there."""
        return null_floor(self.values, level) if self.random or self.seeded else 0.0


class Comparison(NamedTuple):
    """One row of evidence but for its q and outcome; NaN where donors or draws do not suffice."""

    n_donors: int
    n_real: int
    n_draws: int
    left_out: int  #: Columns of the two arms that lack a donor which others have.
    real_value: float
    control_value: float
    effect: float
    ci_low: float
    ci_high: float
    statistic: float
    p: float
    p_floor: float
    rank: int
    p_draws: float
    null_floor: float
    real_floor: float
    spread: float  #: Standard deviation over donors of the paired difference.
    margin: float
    p_noninferiority: float
    p_equivalence: float


def complete(real: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The donors that count, (donors,) bool of the given rows, and both arms' columns without a gap on them.

    A donor that lacks most columns of an arm does not count; of the others, columns with a gap are left out. So a draw
    that failed costs no donor, and a donor on which draws fail costs no draw.
    """
    donors = np.ones(len(real), dtype=bool)
    for values in (real, control):
        donors &= np.isnan(values).mean(axis=1) <= MOST_GAPS
    real, control = (values[:, ~np.isnan(values[donors]).any(axis=0)] for values in (real, control))
    if not real.shape[1] or not control.shape[1]:
        donors[:] = False
    return donors, real[donors], control[donors]


def operator_spread(real: Arm, arms: Mapping[str, Arm], evidence: Evidence) -> float:
    """How far two operators of a kind lie apart: the largest null floor of the rule's random arms; NaN without one."""
    floors = [
        null_floor(complete(real.values, arm.values)[2], evidence.floor_level)
        for name, arm in arms.items()
        if arm.random and name in evidence.must_beat
    ]
    return float(np.nanmax(floors)) if np.isfinite(floors).any() else float("nan")


def compare_arms(
    real: Arm, control: Arm, statistics: Statistics, evidence: Evidence, spread: float = float("nan")
) -> Comparison:
    """Compare the real operator with the distribution of a control's draws (decision 18).

    `effect` is the mean over donors of the real operator (mean over its adaptor seeds) less the mean of the draws, `p`
    its exact signed-rank p over donors, which holds the draws fixed, and the interval resamples donors, draws and
    seeds. The floor is that of the control's draws; for a control with one operator it is the largest of its own
    adaptor seeds', the real operator's, and `spread`. Seeds alone do not tell how far two operators of its kind lie
    apart: with them, an operator exchangeable with a single-operator control beat it in 7.2 % [4.9, 10.2] of pilot
    campaigns with 14 donors, and not in 2.5 %. `rank` counts draws whose mean is at least the real one's.
    """
    _, a, b = complete(real.values, control.values)
    n, draws = len(a), b.shape[1]
    left_out = real.values.shape[1] - a.shape[1] + control.values.shape[1] - draws
    nothing = float("nan")
    if n == 0:
        return Comparison(0, a.shape[1], draws, left_out, *[nothing] * 8, 0, *[nothing] * 7)
    differences = a.mean(axis=1) - b.mean(axis=1)
    effect = float(differences.mean())
    low, high = two_way_interval(a, b, statistics.bootstraps, statistics.seed, statistics.level)
    test = signed_rank_exact(differences)
    rank = int((b.mean(axis=0) >= a.mean()).sum())
    real_floor = Arm(a, real.random, real.seeded).floor(evidence.floor_level)
    floor = Arm(b, control.random, control.seeded).floor(evidence.floor_level)
    if not control.random and np.isfinite(floor):
        floor = float(np.nanmax([floor, real_floor, spread]))
    margin = float(np.nanmax([evidence.margin, floor]))
    margins = margin_tests(effect, components(differences, a, b), margin)
    return Comparison(
        n_donors=n,
        n_real=a.shape[1],
        n_draws=draws,
        left_out=left_out,
        real_value=float(a.mean()),
        control_value=float(b.mean()),
        effect=effect,
        ci_low=low,
        ci_high=high,
        statistic=test.statistic,
        p=test.p,
        p_floor=test.p_floor,
        rank=rank,
        p_draws=(1 + rank) / (1 + draws) if control.random else nothing,
        null_floor=floor,
        real_floor=real_floor,
        spread=float(differences.std(ddof=1)) if n > 1 else nothing,
        margin=margin,
        p_noninferiority=margins.p_noninferiority,
        p_equivalence=margins.p_equivalence,
    )

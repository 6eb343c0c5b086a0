"""What referees say of a scored case: the rule, the paper's test, and the tests in between that part their difference.

A verdict is one in favour of the real operator, but for `equivalent`. Two-sided tests at alpha give it in alpha/2 of
the cases when the real operator is exchangeable with the control.
"""

from collections.abc import Callable

import numpy as np

from opbench.calibration.campaigns import PaperSplits, Scored
from opbench.calibration.cases import FIXED, RANDOM
from opbench.config.benchmark import Endpoints, Statistics
from opbench.config.evidence import Evidence
from opbench.io.seeds import keyed_rng
from opbench.statistics.arms import compare_arms, operator_spread
from opbench.statistics.rule import outcome
from opbench.statistics.tests import bh, signed_rank_exact, signed_rank_split

MIN_DONORS = Endpoints().min_donors
#: Comparisons of marrow's family on other endpoints, 14 endpoints x 5 controls in all.
OTHERS = 13 * 5
#: Name -> what it is; the order is that of figures.
TESTS = {
    "rule": "donor-level rule: beats all must-beat controls",
    "rule_family": "the same in a family with 13 further endpoints on which nothing is different",
    "rule_control": "donor-level rule on the one control, its p uncorrected",
    "equivalent": "donor-level: equivalent to the one control",
    "donor_draws": "donors, real against the mean of draws",
    "donor_draw": "donors, one draw against one draw: the draw effect alone",
    "donor_swapped": "donors, the two draws swapped at random in each donor: neither",
    "split_draw": "the paper's: splits, one draw against one draw",
    "split_draws": "splits, real against the mean of draws",
    "split_swapped": "splits, the two draws swapped at random in each donor: pseudo-replication alone",
}


def ahead(differences: np.ndarray, test: Callable[..., tuple], alpha: float) -> bool:
    """Whether a two-sided test finds the real operator ahead."""
    return bool(differences.mean() > 0 and test(differences)[1] < alpha)


def judge(scored: Scored, statistics: Statistics, evidence: Evidence, seed: int) -> dict[str, bool]:
    """Verdicts in favour of the real operator, by test; the splits' are missing where there are no splits.

    The rule's controls are the simulated five, whatever the configuration adds to them. Swapping, in each donor, which
    of the two draws is called real leaves every donor's difference as large as it was and takes away that one operator
    is better than the other on all: what remains of the split-level test's excess is that splits share donors. Without
    a draw effect a test over donors holds its level.
    """
    alpha, must = evidence.alpha, (*RANDOM, *FIXED)
    spread = operator_spread(scored.real, {name: scored.controls[name] for name in RANDOM}, evidence)
    rows = [compare_arms(scored.real, scored.controls[name], statistics, evidence, spread)._asdict() for name in must]
    p = np.array([row["p"] for row in rows])
    others = keyed_rng(seed, "family").random(OTHERS)

    def beaten(q: np.ndarray) -> bool:
        return all(
            outcome(row | {"q": value}, alpha, MIN_DONORS).outcome == "beats"
            for row, value in zip(rows, q, strict=False)
        )

    # Whatever the other controls are, q is no smaller than p: alone, no control is beaten less often than in a family.
    row = rows[must.index(scored.case.control)]
    alone = outcome(row | {"q": row["p"]}, alpha, MIN_DONORS).outcome
    real, control = scored.real.values, scored.controls[scored.case.control].values
    one = real[:, 0] - control[:, 0]
    sign = keyed_rng(seed, "swap").choice([-1.0, 1.0], size=len(one))
    return {
        "rule": beaten(bh(p)),
        "rule_family": beaten(bh(np.concatenate([p, others]))),
        "rule_control": alone == "beats",
        "equivalent": alone == "equivalent",
        "donor_draws": ahead(real.mean(axis=1) - control.mean(axis=1), signed_rank_exact, alpha),
        "donor_draw": ahead(one, signed_rank_exact, alpha),
        "donor_swapped": ahead(sign * one, signed_rank_exact, alpha),
    } | (_by_split(scored.paper, sign, alpha) if scored.paper else {})


def _by_split(paper: PaperSplits, sign: np.ndarray, alpha: float) -> dict[str, bool]:
    """The same over the paper's splits, whose value is the mean over their test donors."""
    one = paper.real - paper.draws[..., 0]
    found = {
        "split_draw": ahead(one.mean(axis=1), signed_rank_split, alpha),
        "split_swapped": ahead((sign[paper.donors] * one).mean(axis=1), signed_rank_split, alpha),
    }
    if paper.draws.shape[-1] > 1:
        many = paper.real - paper.draws.mean(axis=-1)
        found["split_draws"] = ahead(many.mean(axis=1), signed_rank_split, alpha)
    return found

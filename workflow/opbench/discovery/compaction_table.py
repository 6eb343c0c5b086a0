"""Rows of a compaction: donor means, paired differences to a variant's reference, and how many of them are losses."""

from dataclasses import dataclass

import numpy as np

from opbench.config import Config
from opbench.statistics.equivalence import components, margin_tests
from opbench.statistics.floors import null_floor
from opbench.statistics.tests import bh, bootstrap_means, signed_rank_exact

NAN = float("nan")
#: Columns of a difference to a reference, where there is none.
NO_DIFFERENCE = {
    "effect": NAN, "ci_low": NAN, "ci_high": NAN, "p": NAN, "q": NAN, "p_floor": NAN, "margin": NAN,
    "p_noninferiority": NAN, "outcome": "", "losses": NAN, "endpoints": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """One variant of one operator-draw: bytes on disk, and endpoints of every tested donor (donors, endpoints).

    reason says why there are no values, or why they are compared with nothing; itself: the variant is its reference.
    """

    variant: str
    reference: str
    bytes: int
    values: np.ndarray | None
    reason: str = ""
    itself: bool = False


def reference_floors(draws: list[np.ndarray], level: float) -> np.ndarray:
    """How far two draws, or head seeds, of one variant lie apart by endpoint, (endpoints,); NaN with one draw.

    draws: (donors, endpoints) each.
    """
    stacked = np.stack(draws, axis=-1)
    kept = [column[np.isfinite(column).all(1)] for column in np.moveaxis(stacked, 1, 0)]
    return np.array([null_floor(column, level) if len(column) else NAN for column in kept])


def variant_rows(
    config: Config, endpoints: list[str], scored: Scored, reference: Scored | None, floors: np.ndarray | None
) -> list[dict]:
    """Rows by endpoint of one variant, beside its reference on the same draw.

    floors (endpoints,) is the null floor of the reference. An endpoint with fewer donors than `endpoints.min_donors` is
    shown without q and is none of the family (decision 11). A loss is a difference below 0 with q below
    `evidence.alpha`. What is its own reference loses nothing by construction: losses 0, no difference.
    """
    values, about = scored.values, {"variant": scored.variant, "reference": scored.reference, "bytes": scored.bytes}
    if values is None:
        state = {"status": "not_testable", "reason": scored.reason, "value": NAN, "n": 0}
        return [about | {"endpoint": name} | NO_DIFFERENCE | state for name in endpoints]
    n = np.isfinite(values).sum(0)
    out = []
    for index, name in enumerate(endpoints):
        value = float(np.nanmean(values[:, index])) if n[index] else NAN
        reason = scored.reason if n[index] else "no tested donor has enough cells of the classes"
        state = {"status": "ok" if n[index] else "not_testable", "reason": reason, "value": value, "n": int(n[index])}
        out.append(about | {"endpoint": name} | NO_DIFFERENCE | state)
    if scored.itself:
        held = int((n >= config.endpoints.min_donors).sum())
        return [row | {"losses": 0.0, "endpoints": held} for row in out]
    if reference is None or reference.values is None or floors is None:
        return out
    for row, difference in zip(out, _differences(config, values - reference.values, floors), strict=True):
        row |= difference
    return out


def _differences(config: Config, differences: np.ndarray, floors: np.ndarray) -> list[dict]:
    """Columns of the difference by endpoint; differences (donors, endpoints), NaN where unpaired."""
    statistics, rule = config.statistics, config.evidence
    effect, low, high = bootstrap_means(differences, statistics.bootstraps, statistics.seed, statistics.level)
    paired = [column[np.isfinite(column)] for column in differences.T]
    tests = [signed_rank_exact(column) if len(column) else None for column in paired]
    p = np.array([test.p if test else NAN for test in tests])
    member = np.array([len(column) >= config.endpoints.min_donors for column in paired])
    q = bh(np.where(member, p, NAN))
    lost = member & (effect < 0) & (q < rule.alpha)
    losses = float(lost.sum()) if member.any() else NAN
    out = []
    for index, column in enumerate(paired):
        margin = float(np.nanmax([rule.margin, floors[index]]))
        within = margin_tests(effect[index], components(column), margin).p_noninferiority
        test = tests[index]
        out.append(
            {
                "effect": effect[index], "ci_low": low[index], "ci_high": high[index], "p": p[index], "q": q[index],
                "p_floor": test.p_floor if test else NAN, "margin": margin, "p_noninferiority": within,
                "outcome": _outcome(bool(lost[index]), within < rule.alpha, len(column)), "losses": losses,
                "endpoints": int(member.sum()),
            }
        )  # fmt: skip
    return out


def _outcome(lost: bool, within: bool, n: int) -> str:
    """`loss`, `loss_within_margin` (significant, yet smaller than the margin), `non_inferior` or `undecided`."""
    if not n:
        return ""
    if lost:
        return "loss_within_margin" if within else "loss"
    return "non_inferior" if within else "undecided"

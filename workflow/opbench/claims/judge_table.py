"""Performance claims without a campaign: control rows of the same table, in the same statistic, stand in for evidence.

Tables of the chain (gates, heads, compaction, factors, manifold2) have such rows. They hold, beside the columns that a
claim asks for, `arm` (`real`, or a control as `evidence` names it) and `draw` (of a random arm its draw;
of the real one and of arms with one operator the head's seed); several rows of a draw, as donors or splits, are
averaged.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opbench.claims.judge import Judgement, sentence
from opbench.claims.query import NAN, Scope, conditions
from opbench.claims.views import Missing
from opbench.config.claims import Case, Claim
from opbench.config.evidence import RANDOM_ARMS, Evidence
from opbench.statistics.floors import null_floor

REAL, GAUSSIAN, LOOKUP = "real", "gaussian", "label_lookup"


@dataclass(frozen=True)
class _Against:
    """The real operator against one arm: its lead over that arm's best draw, the floor, and what follows."""

    arm: str
    outcome: str
    lead: float
    value: float
    floor: float
    reason: str


def judge_table(claim: Claim, case: Case, scope: Scope, evidence: Evidence) -> Judgement:
    """Judge a case by the draws of every must-beat arm in the table of its number.

    The real operator beats an arm when it is above all draws of that arm by more than their null floor (for an arm with
    one operator, the larger of the floors of its own and of the real operator's seeds), and loses when it is below all
    of them by as much. The verdicts are those of the rule. `Missing` when the table has no arms.
    """
    by_arm = _draws(claim, case, scope)
    if REAL not in by_arm:
        raise Missing(f"the number of claim {claim.id} has no row of arm real")
    sign = claim.direction * (1 if case.better == "higher" else -1)
    # Labels of tested cells are an oracle, which is shown beside and never must be beaten.
    wanted = [arm for arm in dict.fromkeys([*evidence.must_beat, *claim.controls.arms]) if arm != LOOKUP]
    absent = [arm for arm in wanted if arm not in by_arm]
    found = [_against(arm, by_arm, sign, evidence) for arm in wanted if arm in by_arm]
    trivial = [_against(arm, by_arm, sign, evidence) for arm in evidence.trivial if arm in by_arm]
    readable = [one.outcome == "beats" for one in trivial if one.outcome != "not_testable"]
    verdict, reason = _verdict(claim, found, absent, trivial, evidence)
    said = ("yes" if all(readable) else "no") if readable else "-"
    judged = [one for one in found if one.outcome != "not_testable"]
    if not judged:
        return Judgement(verdict, sentence(reason), readable=said)
    hardest = min(judged, key=lambda one: one.lead - one.floor)
    return Judgement(verdict, sentence(reason), hardest.arm, hardest.value, hardest.floor, said)


def _draws(claim: Claim, case: Case, scope: Scope) -> dict[str, np.ndarray]:
    """Values of the case's number by arm, one a draw."""
    if not isinstance(case.value, str) or case.value not in claim.quantities:
        raise Missing(f"claim {claim.id} has a number made of several, which no control stands beside")
    query = claim.quantities[case.value]
    frame = scope.tables.get(query.table)
    if absent := [name for name in ("arm", "draw") if name not in frame]:
        raise Missing(f"table '{query.table}' has no {' and no '.join(absent)}, so that no control stands beside")
    where = {name: value for name, value in query.where.items() if name != "arm"}
    rows = frame[conditions(frame, where, scope)[0]]
    arm = rows["arm"].astype(str)
    rows = rows.assign(arm=arm.where(~arm.str.startswith(f"{GAUSSIAN}_"), GAUSSIAN))
    rows = rows[rows[query.column].notna()].assign(own=arm)  # two constructions of one arm have draws of their own
    means: pd.Series = rows.groupby(["arm", "own", "draw"])[query.column].mean()
    return {str(name): part.to_numpy(float) for name, part in means.groupby(level="arm")}


def _against(arm: str, by_arm: dict[str, np.ndarray], sign: int, evidence: Evidence) -> _Against:
    real, draws = by_arm[REAL], by_arm[arm]
    leads = sign * (real.mean() - draws)
    best = float(draws[leads.argmin()])
    floor = null_floor(draws[None, :], evidence.floor_level)
    random = arm in (GAUSSIAN, *RANDOM_ARMS)
    if not random:
        floor = max(floor, null_floor(real[None, :], evidence.floor_level))
    if random and len(draws) < evidence.min_draws:
        return _Against(arm, "not_testable", NAN, best, NAN, f"{len(draws)} draws, fewer than {evidence.min_draws}")
    if np.isnan(floor):
        return _Against(arm, "not_testable", NAN, best, NAN, "a single head seed gives no null floor")
    lead = float(leads.min())
    outcome = "beats" if lead > floor else "loses" if leads.max() < -floor else "not_separable"
    facts = f"{real.mean():.3g} against {best:.3g}, the best of {len(draws)}, null floor {floor:.3g}"
    return _Against(arm, outcome, lead, best, floor, facts)


def _verdict(
    claim: Claim, found: list[_Against], absent: list[str], trivial: list[_Against], evidence: Evidence
) -> tuple[str, str]:
    """As `judge_claim`: against the claim, not beaten, something missing, or beaten by none."""
    of = {name: [one for one in found if one.outcome == name] for name in ("loses", "not_separable", "not_testable")}
    if of["loses"]:
        return "contradicted", f"against the claim: {_named(of['loses'])}"
    if of["not_separable"]:
        return "not_separable", f"not separable from a matched control: {_named(of['not_separable'])}"
    missing = [f"no {', '.join(absent)}"] if absent else []
    missing += [_named(of["not_testable"])] if of["not_testable"] else []
    judged = [one for one in trivial if one.outcome != "not_testable"]
    unread = [one for one in judged if one.outcome != "beats"]
    if missing:
        beaten = judged and not unread and len(of["not_testable"]) < len(found)
        text = "beats the trivial controls and those that ran, but" if beaten else "not testable:"
        return "readable" if beaten else "not_testable", f"{text} {'; '.join(missing)}"
    reason = f"beats every control: {_named(found)}"
    if claim.direction > 0 and unread:
        return "not_separable", f"{reason}; but not {_named(unread)}"
    if claim.direction > 0 and not judged and evidence.trivial:
        return "not_testable", f"{reason}; but none of {', '.join(evidence.trivial)} is in the table"
    return "model_specific", reason


def _named(found: list[_Against]) -> str:
    return "; ".join(f"{one.arm}: {one.reason}" for one in found)

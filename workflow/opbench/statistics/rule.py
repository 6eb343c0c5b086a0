"""The decision rule: from a comparison to its outcome, and from a claim's comparisons to its verdict.

Pure functions of rows of `EVIDENCE`; nothing here looks at scores, and nothing is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from opbench.config.evidence import Evidence

#: Families of evidence rows. `verdict`: verdict endpoints × must-beat controls at the rule's budget and width,
#: corrected together. `readable`: trivial controls there. `descriptive`: all others. `healthy`: healthy donors alone.
VERDICT, READABLE, DESCRIPTIVE, HEALTHY = "verdict", "readable", "descriptive", "healthy"

Outcome = Literal["beats", "loses", "equivalent", "not_separable", "not_testable"]
#: An outcome seen from the other side, for a claim that the real operator is the worse one.
MIRRORED: dict[str, str] = {"beats": "loses", "loses": "beats"}


class Judged(NamedTuple):
    """Outcome of one comparison and the sentence that explains it."""

    outcome: Outcome
    reason: str


#: A control whose heads were at the epoch cap more often than the real operator's, by more than this share, is not
#: beaten: a lead over heads that were still training says nothing (epoch budgets have turned the sign; spec K5).
CAPPED = 0.1


def outcome(row: Mapping[str, Any], alpha: float, min_donors: int, min_draws: int = 0) -> Judged:
    """Judge one comparison with one control.

    `beats`: the effect exceeds the null floor, its donor × draw interval lies above 0, and q < alpha (p outside the
    declared family). `loses`: the same on the other side. `equivalent`: neither, and both one-sided tests of the margin
    reject at alpha; where the margin is the null floor, this says no more than that the two are as alike as two draws
    of the control. `not_separable`: none of these, which is no evidence of equality. `not_testable`: fewer than
    `min_donors` donors, fewer than `min_draws` draws of a random arm, nothing to take a floor from, or a lead over
    heads that were still training at the epoch cap.
    """
    if row["n_donors"] < min_donors:
        return Judged("not_testable", f"{row['n_donors']} donors, fewer than {min_donors}")
    random = row.get("kind") == "random"
    if random and row["n_draws"] < min_draws:
        return Judged("not_testable", f"{row['n_draws']} draws, fewer than {min_draws}")
    if np.isnan(row["null_floor"]):
        return Judged("not_testable", "a single draw or adaptor seed gives no null floor")
    name, p = ("p", row["p"]) if np.isnan(row["q"]) else ("q", row["q"])
    effect, floor = row["effect"], row["null_floor"]
    beyond = abs(effect) > floor
    clear = row["ci_low"] > 0 if effect > 0 else row["ci_high"] < 0
    facts = (
        f"difference {effect:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}], "
        f"null floor {floor:.3f}, {name} {p:.2g}"
    )
    if random:
        facts += f", {row['rank']} of {row['n_draws']} draws at least as good"
    if beyond and clear and p < alpha:
        training = row.get("capped_control", 0.0)
        if effect > 0 and training - row.get("capped_real", 0.0) > CAPPED:
            return Judged(
                "not_testable", f"{training:.0%} of the control's heads were still training at the cap; {facts}"
            )
        return Judged("beats" if effect > 0 else "loses", facts)
    if row["p_equivalence"] < alpha:
        margin = "the null floor" if row["margin"] == floor else f"{row['margin']:.3f}"
        return Judged("equivalent", f"{facts}; within ±{margin} (p {row['p_equivalence']:.2g})")
    failed = [
        text
        for text, held in (
            ("within the null floor", beyond),
            ("interval holds 0", clear),
            (f"{name} not below {alpha:g}", p < alpha),
        )
        if not held
    ]
    return Judged("not_separable", f"{facts}: {', '.join(failed)}")


class Verdict(NamedTuple):
    """What the evidence says of one claim."""

    verdict: Literal["model_specific", "readable", "not_separable", "contradicted", "not_testable"]
    readable: bool | None  #: Beats every trivial control that ran; None when none could be judged.
    strongest: str  #: The must-beat control with the smallest lead beyond its floor; '' without one.
    endpoint: str  #: The endpoint on which it is the strongest.
    reason: str


def judge_claim(rows: pd.DataFrame, endpoints: Sequence[str], evidence: Evidence, direction: int = 1) -> Verdict:
    """Turn the evidence on a claim's endpoints into its verdict (spec L, last paragraph).

    rows: `EVIDENCE` rows of one campaign; only the families `verdict` and `readable` are used, which hold the rule's
    budget and width. direction: 1 where the claim says that the real operator scores higher than its controls, -1 where
    it says lower. A claim on several endpoints must hold on all of them. In this order:

    - `not_testable`: an endpoint without rows, or no must-beat control that could be judged;
    - `contradicted`: a must-beat control is significantly ahead, against the claim;
    - `not_separable`: a must-beat control is not beaten, be it equivalent or not told apart, or all are and a trivial
      one (no operator, one number per cell) is not;
    - `readable`: every must-beat control that could be judged is beaten, as is every trivial one, but one could not be;
    - `model_specific`: every must-beat control is beaten on every endpoint, and every trivial one.

    What lacks a must-beat control and does not beat the trivial ones is `not_testable` too, and so is what beats the
    must-beat controls where none of `evidence.trivial` ran. A claim that the real operator is worse asks no more of the
    trivial ones. Raises `ValueError` for
    rows of several campaigns.
    """
    rows = rows[rows["endpoint"].isin(endpoints) & (rows["subset"] == "all")]
    if rows[["run", "panel", "campaign"]].drop_duplicates().shape[0] > 1:
        raise ValueError("A claim is judged within one campaign; hand in the rows of one.")
    readable = _readable(rows, evidence)
    if direction < 0:
        rows = rows.assign(outcome=rows["outcome"].replace(MIRRORED))
    must = rows[(rows["family"] == VERDICT) & rows["control"].isin(evidence.must_beat)]
    judged = must[must["outcome"] != "not_testable"]
    missing = _missing(must, endpoints, evidence)
    if judged.empty or not set(endpoints) <= set(judged["endpoint"]):
        return Verdict("not_testable", readable, "", "", f"not testable: {missing}")
    lead = direction * judged["effect"] - judged["null_floor"]
    hardest = judged.loc[lead.idxmin()]
    strongest = str(hardest["control"]), str(hardest["endpoint"])

    def verdict(name: Any, text: str) -> Verdict:
        return Verdict(name, readable, *strongest, text)

    against = judged[judged["outcome"] == "loses"]
    if len(against):
        return verdict("contradicted", f"against the claim: {_named(against)}")
    unbeaten = judged[judged["outcome"] != "beats"]
    if len(unbeaten):
        return verdict("not_separable", f"not separable from a matched control: {_named(unbeaten)}")
    if not missing:
        beaten = f"beats every matched control; the strongest is {_named(hardest.to_frame().T)}"
        if direction > 0 and readable is False:
            return verdict("not_separable", f"{beaten}; but not {_named(_unread(rows, evidence))}")
        if direction > 0 and readable is None and evidence.trivial:
            return verdict("not_testable", f"{beaten}; but none of {', '.join(evidence.trivial)} ran")
        return verdict("model_specific", beaten)
    if readable:
        return verdict("readable", f"beats the trivial controls and those that ran, but {missing}")
    return verdict("not_testable", f"not testable: {missing}")


def _missing(must: pd.DataFrame, endpoints: Sequence[str], evidence: Evidence) -> str:
    """What keeps must-beat controls from being judged, '' when nothing does."""
    present, parts = set(must["endpoint"]), []
    if nowhere := [name for name in endpoints if name not in present]:
        parts.append(f"no comparison that carries a verdict on {', '.join(nowhere)}")
    for endpoint in (name for name in endpoints if name in present):
        mine = must[must["endpoint"] == endpoint]
        if absent := [name for name in evidence.must_beat if name not in set(mine["control"])]:
            parts.append(f"no {', '.join(absent)} at budget {evidence.budget} on {endpoint}")
        for reason, some in mine[mine["outcome"] == "not_testable"].groupby("reason", sort=True):
            parts.append(f"{', '.join(some['control'])} on {endpoint}: {reason}")
    return "; ".join(parts)


def _trivial(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Comparisons with trivial controls that could be judged."""
    rows = rows[rows["family"].isin([VERDICT, READABLE])]
    return rows[rows["control"].isin(evidence.trivial) & (rows["outcome"] != "not_testable")]


def _readable(rows: pd.DataFrame, evidence: Evidence) -> bool | None:
    trivial = _trivial(rows, evidence)
    return None if trivial.empty else bool((trivial["outcome"] == "beats").all())


def _unread(rows: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    trivial = _trivial(rows, evidence)
    return trivial[trivial["outcome"] != "beats"]


def _named(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row['control']} on {row['endpoint']}: {row['reason']}" for _, row in rows.iterrows())

"""The decision rule on a claim: its endpoints' evidence, and the methods that it must lead, as the rule reads them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import pandas as pd

from opbench.claims.against_methods import method_rows, with_outcomes
from opbench.claims.cases import Place
from opbench.claims.query import NAN
from opbench.claims.views import Missing, Tables
from opbench.config.claims import Claim
from opbench.config.evidence import Evidence
from opbench.config.root import Config
from opbench.statistics.rule import MIRRORED, VERDICT, Verdict, judge_claim


def sentence(text: str) -> str:
    """A reason as a sentence."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason, the strongest control, that control's value and the null-vs-null floor."""

    verdict: str
    reason: str = ""
    control: str = ""
    control_value: float = NAN
    floor: float = NAN
    readable: str = "-"  #: Whether every trivial control is beaten: yes, no, or - where none could be judged.


@dataclass(frozen=True)
class _Part:
    """The verdict on some endpoints, and the row of the control with the smallest lead beyond its floor."""

    endpoints: list[str]
    verdict: str
    reason: str
    readable: bool | None
    hardest: pd.Series | None


def judge(claim: Claim, place: Place, endpoints: Sequence[str], tables: Tables, config: Config) -> Judgement:
    """Put a performance claim on `endpoints` through the rule of `opbench.statistics.rule`.

    Must be beaten: the rule's own controls and the arms and methods that the claim names. Evidence is that of the
    campaign on the same panel which runs most of the rule's controls; methods are compared in the claim's own campaign,
    and both parts must hold. With a `judged_share` each endpoint is judged alone. `Missing` when there is no evidence.
    """
    rows = _evidence(claim, place, endpoints, tables, config)
    methods = method_rows(claim, place, endpoints, tables, config, rows)
    rows, methods = with_outcomes(rows, methods, claim, config)
    beaten = dict.fromkeys([*config.evidence.must_beat, *claim.controls.arms])
    rule = config.evidence.model_copy(update={"must_beat": list(beaten)})
    groups = [list(endpoints)] if claim.judged_share == 1 else [[name] for name in endpoints]
    parts = [_part(claim, place, group, rows, methods, rule) for group in groups]
    hardest = min(
        (part for part in parts if part.hardest is not None), key=lambda part: part.hardest["lead"], default=None
    )  # fmt: skip
    verdict, reason, readable = _together(claim, parts, hardest)
    said = {None: "-", True: "yes", False: "no"}[readable]
    if hardest is None or hardest.hardest is None:
        return Judgement(verdict, sentence(reason), readable=said)
    row = hardest.hardest
    value, floor = float(row["control_value"]), float(row["null_floor"])
    return Judgement(verdict, sentence(reason), str(row["control"]), value, floor, said)


def _evidence(claim: Claim, place: Place, endpoints: Sequence[str], tables: Tables, config: Config) -> pd.DataFrame:
    """Rows of one campaign over all donors at the rule's width and budget; arms of the claim join the rule's family."""
    rows = tables.get("evidence")
    budget = rows["budget"].isin([config.evidence.budget, ""])
    rows = rows[(rows["panel"] == place.panel) & (rows["subset"] == "all") & rows["endpoint"].isin(endpoints) & budget]
    rows = rows[rows["width"] == config.adaptor.width]
    carrying = rows[rows["family"] == VERDICT].groupby("campaign")["control"].nunique()
    if carrying.empty:
        text = ", ".join(endpoints)
        raise Missing(f"no comparison with a control arm carries a verdict on {text} in panel {place.panel}")
    # The campaign with most controls; of equal ones the claim's own, then the first by name.
    chosen = max(sorted(carrying.index), key=lambda name: (carrying[name], name == place.campaign))
    rows = rows[rows["campaign"] == chosen]
    return rows.assign(family=rows["family"].mask(rows["control"].isin(claim.controls.arms), VERDICT))


def _part(
    claim: Claim, place: Place, endpoints: list[str], rows: pd.DataFrame, methods: pd.DataFrame, rule: Evidence
) -> _Part:
    """Evidence and methods on some endpoints: the claim must hold against both."""
    found = judge_claim(rows, endpoints, rule, claim.direction)
    where = str(rows["campaign"].iloc[0])
    reason = found.reason if where == place.campaign else f"in campaign {where}, {found.reason}"
    verdict = found.verdict
    if len(methods):
        methods = methods[methods["endpoint"].isin(endpoints)]
    if claim.controls.methods:
        verdict, text = _with_methods(claim, place, endpoints, methods, found)
        reason = f"{reason}; in campaign {place.campaign}, {text}"
    chosen = (rows["control"] == found.strongest) & (rows["endpoint"] == found.endpoint) & (rows["family"] == VERDICT)
    known = [frame for frame in (rows[chosen].head(1), methods[methods["outcome"] != "not_testable"]) if len(frame)]
    if not known:
        return _Part(endpoints, verdict, reason, found.readable, None)
    both = pd.concat(known, ignore_index=True)
    both = both.assign(lead=claim.direction * both["effect"] - both["null_floor"])
    return _Part(endpoints, verdict, reason, found.readable, both.loc[both["lead"].idxmin()])


def _with_methods(
    claim: Claim, place: Place, endpoints: list[str], methods: pd.DataFrame, found: Verdict
) -> tuple[str, str]:
    """The verdict with the claim's methods, and what they show: a method is a control that must be beaten too."""
    if claim.direction < 0:
        methods = methods.assign(outcome=methods["outcome"].replace(MIRRORED))
    against, level = (methods[methods["outcome"] == one] for one in ("loses", "not_separable"))
    there = set(zip(methods["control"], methods["endpoint"], strict=True))
    absent = [f"no {m} on {e}" for m in claim.controls.methods for e in endpoints if (m, e) not in there]
    untested = methods[methods["outcome"] == "not_testable"]
    missing = "; ".join([*absent, *([_named(untested)] if len(untested) else [])])
    if len(against):
        return "contradicted", f"against the claim: {_named(against)}"
    if len(level):
        verdict = "contradicted" if found.verdict == "contradicted" else "not_separable"
        return verdict, f"no lead over {_named(level)}"
    if missing:
        weaker = {"model_specific": "readable" if found.readable else "not_testable"}
        return weaker.get(found.verdict, found.verdict), f"not testable: {missing}"
    return found.verdict, f"a lead over {_named(methods)}"


def _together(claim: Claim, parts: list[_Part], hardest: _Part | None) -> tuple[str, str, bool | None]:
    """One verdict of many: what the claim's share of the judged endpoints reaches."""
    if len(parts) == 1:
        return parts[0].verdict, parts[0].reason, parts[0].readable
    count, need = Counter(part.verdict for part in parts), ceil(claim.judged_share * len(parts) - 1e-9)
    if count["model_specific"] >= need:
        verdict = "model_specific"
    elif count["contradicted"] >= need:
        verdict = "contradicted"
    elif count["model_specific"] + count["readable"] >= need:
        verdict = "readable"
    else:
        verdict = "not_testable" if len(parts) - count["not_testable"] < need else "not_separable"
    listed = []
    for name, number in count.most_common():
        named = ", ".join(part.endpoints[0] for part in parts if part.verdict == name)
        listed.append(f"{number} {name.replace('_', ' ')} ({named})")
    reason = f"of {len(parts)} endpoints {'; '.join(listed)}; {need} must agree"
    shown = hardest or parts[0]
    reason += f". On {shown.endpoints[0]}: {shown.reason}"
    readable = [part.readable for part in parts]
    judged = None if all(one is None for one in readable) else sum(one is True for one in readable) >= need
    return verdict, reason, judged


def _named(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row['control']} on {row['endpoint']}: {row['reason']}" for row in rows.to_dict("records"))

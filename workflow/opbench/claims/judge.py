"""The decision rule on a claim: its endpoints' evidence, and the methods that it must lead, as the rule reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from opbench.claims.cases import Place
from opbench.claims.query import NAN
from opbench.claims.views import Missing, Tables
from opbench.config.claims import Claim
from opbench.config.root import Config
from opbench.statistics.rule import VERDICT, judge_claim, outcome

#: The extracted algorithm in tables of methods.
EXTRACTED = "extracted_head"
KEY = ["run", "panel", "campaign"]


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


def judge(claim: Claim, place: Place, endpoints: Sequence[str], tables: Tables, config: Config) -> Judgement:
    """Put a performance claim on `endpoints` through the rule of `opbench.statistics.rule`.

    Must be beaten: the rule's own controls and the arms and methods that the claim names. A method is compared in the
    claim's own campaign; its row has no null floor but 0. Evidence is that of the campaign on the same panel which runs
    most of the rule's controls. `Missing` when there is none.
    """
    rule = config.evidence
    rows = _evidence(claim, place, endpoints, tables, config)
    beaten = [*rule.must_beat, *claim.controls.arms, *claim.controls.methods]
    extended = rule.model_copy(update={"must_beat": list(dict.fromkeys(beaten))})
    methods = _methods(claim, place, endpoints, tables, config).assign(**rows[KEY].iloc[0].to_dict())
    rows = pd.concat([rows, methods], ignore_index=True) if len(methods) else rows
    found = judge_claim(rows, endpoints, extended)
    where = rows["campaign"].iloc[0]
    reason = sentence(found.reason if where == place.campaign else f"in campaign {where}, {found.reason}")
    if not found.strongest:
        return Judgement(found.verdict, reason)
    mine = rows[(rows["control"] == found.strongest) & (rows["endpoint"] == found.endpoint)]
    row = mine[mine["family"] == VERDICT].iloc[0]
    floor = NAN if found.strongest in claim.controls.methods else float(row["null_floor"])
    return Judgement(found.verdict, reason, found.strongest, float(row["control_value"]), floor)


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


def _methods(claim: Claim, place: Place, endpoints: Sequence[str], tables: Tables, config: Config) -> pd.DataFrame:
    """The extracted head against methods, as evidence rows: of a method's arms the one that is hardest to lead."""
    if not claim.controls.methods:
        return pd.DataFrame()
    pairs, means = tables.get("pairs"), tables.get("means")
    here = (pairs["campaign"] == place.campaign) & pairs["endpoint"].isin(endpoints) & (pairs["a"] == EXTRACTED)
    here &= (pairs["a_budget"] == config.evidence.budget) & pairs["b"].isin(claim.controls.methods)
    hardest = pairs[here].sort_values("effect").drop_duplicates(["endpoint", "b"])
    means = means[(means["campaign"] == place.campaign) & (means["subset"] == "all")].set_index(["endpoint", "label"])
    rows = []
    for row in hardest.to_dict("records"):
        seen = {"control": row["b"], "endpoint": row["endpoint"], "effect": row["effect"], "ci_low": row["ci_low"],
                "ci_high": row["ci_high"], "p": row["p"], "q": row["q"], "n_donors": row["n"], "null_floor": 0.0,
                "p_equivalence": NAN, "margin": NAN, "subset": "all", "family": VERDICT,
                "control_value": means["mean"].get((row["endpoint"], row["label_b"]), NAN)}  # fmt: skip
        judged = outcome(seen, config.evidence.alpha, config.endpoints.min_donors)
        rows.append(seen | {"outcome": judged.outcome, "reason": judged.reason})
    return pd.DataFrame(rows)

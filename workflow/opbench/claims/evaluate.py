"""Every claim on every place of a run that can speak to it, as one table (contract `CLAIMS`)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from opbench.claims.cases import Place, endpoints_by_role, places, scored
from opbench.claims.expression import check, evaluate
from opbench.claims.judge import Judgement, judge, sentence
from opbench.claims.judge_table import judge_table
from opbench.claims.published import what_is_missing
from opbench.claims.query import NAN, Found, Number, Scope, answer
from opbench.claims.views import Missing, Tables
from opbench.config.claims import Case, Claim, ClaimFile
from opbench.config.claims_query import SETTINGS, Criterion, Operation, names_in
from opbench.config.evidence import Evidence
from opbench.config.root import Config
from opbench.io.tables import CLAIMS

#: Between the parts of `source_table` and `where`, in the same order, when a number comes from several queries.
BETWEEN = " || "
NOT_TESTABLE = "not_testable"


@dataclass(frozen=True)
class Run:
    """What claims are tested with: the run's settings, its tables, its model card, and genes' digest by panel."""

    config: Config
    tables: Tables
    model: Mapping[str, Any]
    genes: Mapping[str, str]


def evaluate_claims(claims: ClaimFile, run: Run) -> pd.DataFrame:
    """One row per claim and test case (CLAIMS), claims in the file's order."""
    evaluation = _Evaluation(claims, run)
    rows = [row for claim in claims.claims for case in claim.cases for row in evaluation.rows(claim, case)]
    return pd.DataFrame(rows, columns=CLAIMS.names)


def genes_digest(genes: Sequence[str]) -> str:
    """SHA-256 of a gene panel: its symbols sorted, one a line."""
    return hashlib.sha256("".join(f"{gene}\n" for gene in sorted(genes)).encode()).hexdigest()


class _Numbers(Mapping[str, Number]):
    """Named numbers of a claim at one place, each looked up when it is first asked for, and settings of the rule."""

    def __init__(self, claim: Claim, scope: Scope, evidence: Evidence) -> None:
        self.claim, self.scope, self.evidence = claim, scope, evidence
        self.found: dict[str, Found] = {}

    def __getitem__(self, name: str) -> Number:
        if name in SETTINGS:
            return Number(float(getattr(self.evidence, name)))
        if name not in self.found:
            self.found[name] = answer(self.claim.quantities[name], self.scope)
        return self.found[name].number

    def __iter__(self) -> Iterator[str]:
        return iter([*self.claim.quantities, *SETTINGS])

    def __len__(self) -> int:
        return len(self.claim.quantities) + len(SETTINGS)


class _Evaluation:
    """The claims of one file on one run."""

    def __init__(self, claims: ClaimFile, run: Run) -> None:
        self.run, self.roles = run, claims.roles
        self.endpoints = endpoints_by_role(claims.roles, run.config.claims)
        self.statistics, self.level = run.config.statistics, run.config.evidence.floor_level

    def rows(self, claim: Claim, case: Case) -> list[dict[str, object]]:
        """Rows of a case: of each panel and endpoint, the campaigns of the first design that has the numbers."""
        candidates = self._scope(Place()).endpoints(case.endpoint)
        try:
            groups = places(claim, case, self.run.tables, candidates, self.run.config.claims)
        except Missing as reason:
            return [self._row(claim, case, Place(), Judgement(NOT_TESTABLE, sentence(str(reason))))]
        return [row for tiers in groups for row in self._first(claim, case, tiers)]

    def _first(self, claim: Claim, case: Case, tiers: list[list[Place]]) -> list[dict[str, object]]:
        """Rows of the first tier in which a place has the case's number; without one, why the first place has none."""
        absent = []
        for tier in tiers:
            rows = []
            for place in tier:
                numbers = _Numbers(claim, self._scope(place), self.run.config.evidence)
                try:
                    number = evaluate(case.value, numbers, self.statistics, self.level)
                except Missing as reason:
                    absent.append(self._row(claim, case, place, Judgement(NOT_TESTABLE, sentence(str(reason)))))
                else:
                    rows.append(self._tested(claim, case, place, number, numbers))
            if rows:
                return rows
        return absent[:1]

    def _scope(self, place: Place) -> Scope:
        config = self.run.config
        arms = config.evidence.must_beat
        # Tables of single operators tell the two constructions of the Gaussian arm apart.
        constructions = ["gaussian_halves", "gaussian_blocks"] if "gaussian" in arms else []
        bound = {
            "$campaign": place.campaign, "$panel": place.panel, "$endpoint": place.endpoint,
            "$budget": config.evidence.budget, "$width": config.adaptor.width, "$must_beat": [*arms, *constructions],
        }  # fmt: skip
        given = {name: value for name, value in bound.items() if value != ""}
        return Scope(self.run.tables, self.statistics, given, self.endpoints)

    def _tested(self, claim: Claim, case: Case, place: Place, number: Number, numbers: _Numbers) -> dict[str, object]:
        """The row of a case at a place that has its number."""
        sources = [numbers.found[name] for name in dict.fromkeys(names_in(case.value)) if name in numbers.found]
        try:
            verdict = self._verdict(claim, case, place, number, numbers)
        except Missing as reason:
            verdict = Judgement(NOT_TESTABLE, sentence(str(reason)))
        return self._row(claim, case, place, self._beside(claim, case, verdict, numbers), number, sources)

    def _verdict(self, claim: Claim, case: Case, place: Place, number: Number, numbers: _Numbers) -> Judgement:
        """Whether the claim holds in these numbers, and for a performance claim what it is worth."""

        def checked(criteria: Sequence[Criterion], met: bool) -> list[str]:
            found = [check(criterion, numbers, self.statistics, self.level) for criterion in criteria]
            return [text for answer, text in found if answer == met]

        if unmet := checked(case.given, False):
            return Judgement(NOT_TESTABLE, sentence(f"this case does not apply: {unmet[0]}"))
        if 0 < number.n < (fewest := self.run.config.endpoints.min_donors):
            return Judgement(NOT_TESTABLE, f"{number.n} donors, fewer than the {fewest} of endpoints.min_donors.")
        if claim.needs_control:
            _ = numbers[case.control or claim.control or ""]
        against = checked(case.contradicted, True)
        if case.contradicted and len(against) == len(case.contradicted):
            return Judgement("contradicted", sentence(" and ".join(against)))
        unmet = checked(case.holds, False)
        if unmet and case.or_holds:
            other = checked(case.or_holds, False)
            unmet = [f"{unmet[0]}, nor does the claim hold otherwise: {other[0]}"] if other else []
        if claim.kind != "performance":
            return Judgement(case.otherwise, sentence(unmet[0])) if unmet else Judgement("holds")
        if unmet:
            return Judgement("not_separable", sentence(f"the claim itself is not shown: {unmet[0]}"))
        if claim.designs:
            found = judge(claim, place, self._judged(claim, place), self.run.tables, self.run.config)
        else:
            found = judge_table(claim, case, numbers.scope, self.run.config.evidence)
        if claim.readable_at_most and found.verdict == "model_specific":
            return replace(found, verdict="readable", reason=f"{found.reason} But {claim.readable_at_most}.")
        return found

    def _judged(self, claim: Claim, place: Place) -> list[str]:
        """Endpoints for the rule; of those that stand for a role, the ones that the campaign scores."""
        known = scored(self.run.tables, place.campaign) | {place.endpoint}
        named = [name for wanted in claim.judged or [place.endpoint] for name in self._scope(place).endpoints(wanted)]
        if judged := [name for name in named if name and name in known]:
            return judged
        raise Missing("the rule has no endpoint to judge; name some in 'judged'")

    def _row(
        self, claim: Claim, case: Case, place: Place, verdict: Judgement, number: Number | None = None,
        sources: Sequence[Found] = (),
    ) -> dict[str, object]:  # fmt: skip
        run, number = self.run, number or Number(NAN)
        same = case.tolerance.holds(number.value, case.reported_value) if number.value == number.value else None
        missing = what_is_missing(claim, case, place, self.roles, run.config.claims, run.model, run.genes)
        return {
            "run": run.config.run, "claim": claim.id, "family": claim.family, "kind": claim.kind, "title": claim.title,
            "paper": claim.paper, "place": claim.place, "wording": claim.wording,
            "case": ", ".join(filter(None, (case.name, place.endpoint, place.campaign or place.panel))),
            "statistic": case.statistic or claim.statistic, "reported": case.reported,
            "reported_value": NAN if case.reported_value is None else case.reported_value,
            "tolerance": case.tolerance.text(), "value": number.value, "ci_low": number.low, "ci_high": number.high,
            "matches": {None: "-", True: "yes", False: "no"}[same], "strongest_control": verdict.control,
            "control_value": verdict.control_value, "null_floor": verdict.floor,
            "published": NOT_TESTABLE if missing else verdict.verdict, "published_reason": missing or verdict.reason,
            "analogue": verdict.verdict, "analogue_reason": verdict.reason, "readable": verdict.readable,
            "panel": place.panel, "campaign": place.campaign, "endpoint": place.endpoint, "n_donors": number.n,
            "source_table": BETWEEN.join(found.source for found in sources),
            "rows": sum(found.rows for found in sources), "where": BETWEEN.join(found.where for found in sources),
        }  # fmt: skip

    def _beside(self, claim: Claim, case: Case, verdict: Judgement, numbers: _Numbers) -> Judgement:
        """The control and floor that the claim names, in the statistic of its number; else those of the rule."""

        def number(expression: str | float | Operation) -> Number:
            try:
                return evaluate(expression, numbers, self.statistics, self.level)
            except Missing:
                return Number(NAN)

        if chosen := case.control or claim.control:
            control = number(chosen)
            known = control.value == control.value
            if known or claim.designs:  # the rule's own is in another statistic where it is that of a campaign
                name = (control.name or chosen) if known else ""
                verdict = replace(verdict, control=name, control_value=control.value)
        floor = claim.floor if case.floor is None else case.floor
        return verdict if floor is None else replace(verdict, floor=number(floor).value)

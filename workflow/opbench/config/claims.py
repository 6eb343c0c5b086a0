"""Claims: what was published, which numbers of a run speak to it, and when it holds."""

from typing import Literal

from pydantic import Field, model_validator

from opbench.config.base import Digest, Name, Section
from opbench.config.claims_query import SETTINGS, VIEWS, Criterion, Expression, Operation, Quantity, Query, names_in


class Tolerance(Section):
    """When our number counts as the reported one; all keys that are given must hold."""

    within: float | None = Field(None, ge=0, description="At most this far from the reported value.")
    above: float | None = Field(None, description="Larger than this.")
    at_least: float | None = Field(None, description="This or larger.")
    below: float | None = Field(None, description="Smaller than this.")
    at_most: float | None = Field(None, description="This or smaller.")

    def text(self) -> str:
        """In print: `± 0.03`, `> 10`, or `exact` for a distance of 0."""
        signs = {"within": "±", "above": ">", "at_least": "≥", "below": "<", "at_most": "≤"}
        given = {key: getattr(self, key) for key in signs if getattr(self, key) is not None}
        return ", ".join("exact" if (k, v) == ("within", 0) else f"{signs[k]} {v:g}" for k, v in given.items())

    def holds(self, value: float, reported: float | None) -> bool | None:
        """Whether `value` counts as the reported one; None when nothing is asked."""
        said = [
            None if self.within is None or reported is None else abs(value - reported) <= self.within + 1e-12,
            None if self.above is None else value > self.above,
            None if self.at_least is None else value >= self.at_least,
            None if self.below is None else value < self.below,
            None if self.at_most is None else value <= self.at_most,
        ]
        asked = [one for one in said if one is not None]
        return all(asked) if asked else None


class Case(Section):
    """One test of a claim; it is repeated for every campaign (or panel) and endpoint that it fits."""

    name: str = Field("", description="What sets this case apart.")
    endpoint: str = Field("", description="Endpoint, or `role/metric`; empty where the test has none.")
    value: Expression = Field(description="Our number.")
    statistic: str = Field("", description="What it is, in words; empty: that of the claim.")
    reported: str = Field("", description="The published figure as printed.")
    reported_value: float | None = Field(None, description="The same as a number.")
    tolerance: Tolerance = Field(Tolerance(), description="When ours counts as the same.")
    given: list[Criterion] = Field([], description="Without these the case is not testable.")
    holds: list[Criterion] = Field([], description="The claim, in these numbers.")
    or_holds: list[Criterion] = Field([], description="Another way in which the claim holds, when all are met.")
    contradicted: list[Criterion] = Field([], description="The opposite of the claim, shown, when all are met.")
    otherwise: Literal["fails", "undecided"] = Field(
        "fails",
        description="Verdict of an exact or descriptive claim that neither holds nor is contradicted; `undecided` "
        "where a lack of evidence must not count as evidence.",
    )
    better: Literal["higher", "lower"] = Field(
        "higher", description="Which way its number is better, where it is judged within its own table."
    )
    control: Quantity | None = Field(None, description="As `control` of the claim, for this case.")
    floor: Expression | None = Field(None, description="As `floor` of the claim, for this case.")

    @model_validator(mode="after")
    def _figure(self) -> "Case":
        if self.tolerance.within is not None and self.reported_value is None:
            raise ValueError("'tolerance.within' needs 'reported_value'")
        return self

    def expressions(self) -> list[str | float | Operation]:
        """All of them."""
        criteria = [*self.given, *self.holds, *self.or_holds, *self.contradicted]
        shown = [] if self.floor is None else [self.floor]
        return [self.value, *shown, *(c.value for c in criteria), *(c.limit for c in criteria)]


class Controls(Section):
    """What the claim must beat beyond the rule's own list."""

    arms: list[Name] = Field([], description="Operator arms besides `evidence.must_beat`.")
    methods: list[Name] = Field([], description="Methods, each of which the extracted head must lead by donor.")


class Claim(Section):
    """One published claim and how a run speaks to it."""

    id: int = Field(
        ge=1, description="Number; those of the paper and its critique are 1 to 32, of the sister paper 33 to 42."
    )
    title: str = Field(max_length=28, description="At most 28 letters, for the board.")
    paper: Literal["2603.10261", "critique", "derived", "2602.22247"] = Field(
        description="`2603.10261`, the critique of it, `derived` (what follows from either by arithmetic), or the "
        "sister paper `2602.22247`."
    )
    place: str = Field(description="Where it is printed.")
    wording: str = Field(description="The claim in one sentence of ours.")
    family: Literal[
        "operator", "gates", "benchmark", "cost", "heads and factors", "second manifold", "critique", "geometry"
    ] = Field(description="Group on the board.")
    kind: Literal["exact", "descriptive", "performance"] = Field(
        description="`exact` and `descriptive` hold or fail; `performance` goes through the rule of `evidence`."
    )
    statistic: str = Field(description="What is computed, in words.")
    designs: list[Literal["leave_one_donor_out", "folds", "grouped", "frozen"]] = Field(
        [], description="Campaign designs that may speak to it: the first with the numbers is used."
    )
    quantities: dict[Quantity, Query] = Field({}, description="Named numbers.")
    cases: list[Case] = Field(min_length=1, description="Its tests.")
    controls: Controls = Field(Controls(), description="What it must beat, for `performance`.")
    judged: list[str] = Field(
        [], description="Endpoints (or `role/metric`) that the rule is applied to; empty: that of the case."
    )
    judged_share: float = Field(
        1, gt=0, le=1, description="Share of the judged endpoints that must be model-specific for the claim to be so."
    )
    direction: Literal[1, -1] = Field(
        1, description="-1 where the claim says that the real operator is worse than its controls."
    )
    control: Quantity | None = Field(
        None, description="A control in the statistic of its number; null: the rule's strongest."
    )
    readable_at_most: str = Field(
        "", description="Why it cannot be called model-specific whatever it beats; empty where it can."
    )
    needs_control: bool = Field(False, description="Whether a case is not testable without its `control`.")
    floor: Quantity | None = Field(None, description="The null-vs-null floor shown beside it; null: the rule's.")
    published_needs: list[Literal["checkpoint", "genes", "cells"]] = Field(
        ["checkpoint", "genes", "cells"], description="What of the paper's own inputs its published verdict needs."
    )

    @property
    def needs(self) -> list[str]:
        """Tables that it reads."""
        read = [VIEWS[q.table][0] if q.table in VIEWS else q.table for q in self.quantities.values()]
        ruled = self.kind == "performance" and self.designs
        rule = ["evidence", *(["comparisons"] if self.controls.methods else [])] if ruled else []
        return list(dict.fromkeys([*read, *rule]))

    @model_validator(mode="after")
    def _names(self) -> "Claim":
        used = [name for case in self.cases for e in case.expressions() for name in names_in(e)]
        shown = [self.control, self.floor, *(case.control for case in self.cases)]
        for name in [*used, *filter(None, shown)]:
            if name not in self.quantities and name not in SETTINGS:
                raise ValueError(f"claim {self.id}: '{name}' is none of its quantities, {', '.join(self.quantities)}")
        if taken := set(SETTINGS) & set(self.quantities):
            raise ValueError(f"claim {self.id}: '{min(taken)}' is a setting of the rule; call the quantity otherwise")
        if self.needs_control and not all(case.control or self.control for case in self.cases):
            raise ValueError(f"claim {self.id}: 'needs_control' is set, but a case has no 'control'")
        return self


class Role(Section):
    """An endpoint of the paper, and names under which a run may have it or something like it."""

    text: str = Field(description="Its name in print.")
    paper: list[Name] = Field(description="Two-class endpoints that are the paper's own.")
    analogues: list[Name] = Field([], description="Two-class endpoints that stand for it where it cannot be had.")


class ClaimFile(Section):
    """A file of claims."""

    roles: dict[Name, Role] = Field({}, description="The paper's endpoints by name.")
    claims: list[Claim] = Field(min_length=1, description="The claims.")

    @model_validator(mode="after")
    def _known(self) -> "ClaimFile":
        ids = [claim.id for claim in self.claims]
        if twice := sorted({number for number in ids if ids.count(number) > 1}):
            raise ValueError(f"claim {twice[0]} is given twice; keep one")
        for claim in self.claims:
            wanted = [*claim.judged, *(case.endpoint for case in claim.cases)]
            for query in claim.quantities.values():
                value = query.where.get("endpoint", "")
                wanted += [str(item) for item in (value if isinstance(value, list) else [value])]
            for role in {name.split("/")[0] for name in wanted if "/" in name} - set(self.roles):
                raise ValueError(f"claim {claim.id}: '{role}' is none of the roles, {', '.join(self.roles)}")
        return self


class PublishedInputs(Section):
    """The paper's own inputs, without which no verdict on its figures is given."""

    checkpoint_sha256: Digest | None = Field(
        None,
        description="SHA-256 of the weights that the paper used. The paper prints none; null: the released whole-human "
        "scGPT, which it names, as the model card recognises it.",
    )
    genes_sha256: Digest | None = Field(
        None,
        description="SHA-256 of the paper's gene panel: its symbols sorted, one a line. Its list is not public; null: "
        "unknown, so that nothing is a verdict on the paper's figures.",
    )
    panels: list[Name] = Field([], description="Panels of this run that hold the paper's cells, as you judge it.")


class ClaimSettings(Section):
    """Published claims beside this run."""

    file: str = Field("config/claims.yaml", description="The claims; docs/claims.md tells how to add one.")
    analogues: dict[Name, list[Name]] = Field(
        {},
        description="Role of the claims file (`cd4_cd8`, `mono_macro`) → two-class endpoints of this run that stand "
        "for it, in place of the names that the file knows.",
    )
    published: PublishedInputs = Field(PublishedInputs(), description="What the paper itself used.")

"""The language of claims: queries of result tables, arithmetic on named numbers, comparisons. Nothing is executed."""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import pyarrow as pa
from pydantic import Field, StringConstraints, model_validator

from opbench.config.base import Section
from opbench.io import tables as contracts

#: Columns that a view has in place of those of the table beneath it.
VIEWS = {
    "means": ("summary", {"method": ("method", "arm", "budget")}),
    "pairs": ("comparisons", {"method_a": ("a", "a_arm", "a_budget"), "method_b": ("b", "b_arm", "b_budget")}),
}
#: Words that stand for what a test case is about.
PLACEHOLDERS = ("$campaign", "$panel", "$endpoint", "$width", "$budget", "$must_beat")

#: Settings of the rule (`evidence`) that expressions may name as they do quantities.
SETTINGS = ("alpha", "margin", "min_draws")

Scalar = str | bool | int | float
Quantity = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


def columns_of(table: str) -> list[str] | None:
    """Columns that a query may name; None while the table has no contract."""
    if table in VIEWS:
        source, apart = VIEWS[table]
        known = columns_of(source) or []
        return [new for name in known for new in apart.get(name, (name,))]
    schema = getattr(contracts, table.upper(), None)
    return list(schema.names) if isinstance(schema, pa.Schema) else None


class Bound(Section):
    """A condition on a column that is not plain equality."""

    above: float | None = Field(None, description="Larger than this.")
    at_least: float | None = Field(None, description="This or larger.")
    below: float | None = Field(None, description="Smaller than this.")
    at_most: float | None = Field(None, description="This or smaller.")
    other_than: Scalar | list[Scalar] | None = Field(None, description="None of these.")

    @model_validator(mode="after")
    def _something(self) -> "Bound":
        if not self.model_fields_set:
            raise ValueError("a bound is empty; give above, at_least, below, at_most or other_than")
        return self


Where = dict[str, Scalar | list[Scalar] | Bound]


class Query(Section):
    """One number (or one per group) of a result table; nothing but these keys is understood."""

    table: Literal[
        "means", "pairs", "scores", "summary", "comparisons", "costs", "ratio", "splits", "leakage", "panels", "roles",
        "nulls", "evidence", "sweeps", "operator_facts", "embedding_repeat", "gates", "heads", "compaction", "factors",
        "manifold2", "geometry", "geometry_headlines",
    ] = Field(description="Result table, or a view: `means` is `summary` and `pairs` is `comparisons` with the method "
              "label taken apart, the latter with every pair both ways round.")  # fmt: skip
    where: Where = Field(
        {}, description="Column → value, list of values, or a bound. Placeholders: $campaign, $panel, $endpoint, "
        "$width, $budget, $must_beat; `role/metric` is every endpoint of this run that stands for that role.",
    )  # fmt: skip
    column: str = Field(description="The column that is read.")
    reduce: Literal["one", "min", "max", "mean", "sum", "count", "share"] = Field(
        "one",
        description="How several rows become one number; `one` expects a single row, `min` and `max` keep the row.",
    )
    when: Where = Field({}, description="For `count` and `share`: which of the rows count.")
    by: list[str] = Field(
        [], description="Mean of the column within each group: a series, for arithmetic group by group."
    )
    each: str | None = Field(
        None,
        description="A column whose listed values in `where` must all have a row; else the reason names the absent.",
    )

    @model_validator(mode="after")
    def _columns(self) -> "Query":
        known = columns_of(self.table)
        for name in (self.column, *self.where, *self.when, *self.by) if known else ():
            if name not in known:
                raise ValueError(f"{self.table} has no column '{name}'; it has {', '.join(known)}")
        for where in (self.where, self.when):
            for value in where.values():
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, str) and item.startswith("$") and item not in PLACEHOLDERS:
                        raise ValueError(f"'{item}' is no placeholder; use one of {', '.join(PLACEHOLDERS)}")
        if bool(self.when) != (self.reduce in ("count", "share")):
            raise ValueError("'when' belongs to `reduce: count` and `reduce: share`, which need it")
        if self.by and self.reduce != "one":
            raise ValueError("'by' gives a mean for each group, so that 'reduce' must be left out")
        if self.each is not None and not isinstance(self.where.get(self.each), list):
            raise ValueError(f"'each' is '{self.each}', which 'where' gives no list of values for")
        return self


#: Tables that a claim may read.
TABLES = tuple(name for name in get_args(Query.model_fields["table"].annotation) if name not in VIEWS)


class Operation(Section):
    """Arithmetic on named quantities: exactly one key."""

    difference: "tuple[Expression, Expression] | None" = Field(None, description="First minus second.")
    ratio: "tuple[Expression, Expression] | None" = Field(None, description="First over second.")
    share_above: "tuple[Expression, Expression] | None" = Field(
        None, description="Share of common groups in which the first series is larger."
    )
    correlation: "tuple[Expression, Expression] | None" = Field(
        None,
        description="Pearson correlation of two series over their common groups, with Fisher's z interval, which takes "
        "the groups as independent.",
    )
    null_floor: "Expression | None" = Field(
        None,
        description="`evidence.floor_level` point of |difference| between two members of a series, draws as a rule.",
    )
    signed_rank: "tuple[Expression, Expression] | None" = Field(
        None, description="Exact two-sided signed-rank p of two series over their common groups, donors as a rule."
    )
    largest: "list[Expression] | None" = Field(None, min_length=1, description="The largest, of a series its largest.")
    smallest: "list[Expression] | None" = Field(None, min_length=1, description="The smallest, likewise.")
    magnitude: "Expression | None" = Field(None, description="Absolute value.")
    low: "Expression | None" = Field(None, description="Lower bound of its interval.")
    high: "Expression | None" = Field(None, description="Upper bound of its interval.")

    @model_validator(mode="after")
    def _one(self) -> "Operation":
        if len(self.model_fields_set) != 1:
            raise ValueError(f"give exactly one of {', '.join(Operation.model_fields)}")
        return self

    @property
    def verb(self) -> str:
        """The key that is given."""
        return next(iter(self.model_fields_set))

    @property
    def operands(self) -> "list[Expression]":
        """What it is applied to."""
        value = getattr(self, self.verb)
        return list(value) if isinstance(value, list | tuple) else [value]


Expression = Annotated[str | float | Operation, Field(union_mode="left_to_right")]
Operation.model_rebuild()


def names_in(expression: "str | float | Operation") -> Iterator[str]:
    """Names of the quantities that an expression reads."""
    if isinstance(expression, str):
        yield expression
    elif isinstance(expression, Operation):
        for operand in expression.operands:
            yield from names_in(operand)


class Criterion(Section):
    """A comparison of an expression with a number or another expression."""

    value: Expression = Field(description="What is compared.")
    above: Expression | None = Field(None, description="It must be larger than this.")
    at_least: Expression | None = Field(None, description="It must be this or larger.")
    below: Expression | None = Field(None, description="It must be smaller than this.")
    at_most: Expression | None = Field(None, description="It must be this or smaller.")
    equals: Expression | None = Field(None, description="It must be this.")

    @model_validator(mode="after")
    def _one(self) -> "Criterion":
        if len(self.model_fields_set - {"value"}) != 1:
            raise ValueError("give a criterion exactly one of above, at_least, below, at_most, equals")
        return self

    @property
    def verb(self) -> str:
        """The comparison."""
        return next(iter(self.model_fields_set - {"value"}))

    @property
    def limit(self) -> "str | float | Operation":
        """What it is compared with."""
        return getattr(self, self.verb)  # type: ignore[no-any-return]

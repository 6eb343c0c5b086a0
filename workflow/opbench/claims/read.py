"""Reads a file of claims; what is wrong in it is one sentence."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from opbench.config.claims import Case, Claim, ClaimFile, Controls, Role
from opbench.config.claims_query import Bound, Criterion, Operation, Query
from opbench.config.root import read_yaml
from opbench.io.errors import InputError

#: Keys that a file of claims may hold anywhere, for a hint at a misspelt one.
SECTIONS = (ClaimFile, Claim, Case, Controls, Role, Query, Bound, Criterion, Operation)
KEYS = sorted({key for section in SECTIONS for key in section.model_fields})
#: Names that a union of types puts into the place of an error.
TYPES = {"str", "float", "int", "bool", "Operation", "Bound", "list[union[str,bool,int,float]]"}


def read_claims(path: str | Path) -> ClaimFile:
    """Read and check a file of claims (docs/claims.md); raises InputError."""
    try:
        return ClaimFile.model_validate(read_yaml(path))
    except ValidationError as error:
        problems = [item for item in error.errors() if not _other_branch(item, error.errors())]
        problems.sort(key=lambda item: item["type"] != "extra_forbidden")  # a misspelt key is also a missing one
        raise InputError(f"{path}: {_described(problems[0])}{_more(len(problems) - 1)}.") from None


def _of_type(item: Any) -> bool:
    """Whether an error says that a value is not of a type."""
    plain = ("string_type", "float_type", "model_type", "list_type", "int_type", "bool_type")
    return item["type"] in plain or item["type"].endswith("_parsing")


def _other_branch(item: Any, errors: list[Any]) -> bool:
    """Whether an error only says that a value is not of another type that would have been allowed in its place."""
    place = _place(item)
    nearer = [other for other in errors if _place(other)[: len(place)] == place]
    return _of_type(item) and any(len(_place(other)) > len(place) or not _of_type(other) for other in nearer)


def _place(item: Any) -> tuple[str, ...]:
    parts = map(str, item["loc"])
    return tuple(part for part in parts if part not in TYPES and not part.startswith("function-"))


def _described(item: Any) -> str:
    place = ".".join(_place(item))
    text = item["msg"].removeprefix("Value error, ").rstrip(".")
    if item["type"] == "extra_forbidden":
        near = get_close_matches(_place(item)[-1], KEYS, n=1)
        return f"{place} is no known key" + (f"; did you mean '{near[0]}'" if near else "; see docs/claims.md")
    if isinstance(item["input"], str | int | float) and item["type"] != "value_error":
        text = f"is {item['input']!r}, but: {text}"
    return f"{place}: {text}" if place else text


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""

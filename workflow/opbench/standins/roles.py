"""Which donors a dataset's configuration speaks of, and which columns make their cells benchmarked or corpus."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
import pandas as pd

from opbench.config import Config
from opbench.config.benchmark import Campaign
from opbench.config.data import Dataset
from opbench.io.errors import InputError

#: A value that no filter names.
OTHER = "stand-in"
#: Donors where the configuration asks for no particular number.
DONORS = 8


@dataclass(frozen=True)
class Group:
    """Cells of one donor in one role (`evaluation` or `corpus`), and what the filters need in their columns."""

    donor: str
    role: str
    columns: dict[str, object]


def groups_of(name: str, config: Config) -> list[Group]:
    """Return the donors and roles that make the configuration of dataset `name` work.

    Donors are those that filters and campaigns name, then invented ones as far as campaigns need more. The
    filters are evaluated on every combination of the values that they name. Raises InputError when no
    combination gives benchmarked or corpus cells.
    """
    dataset = config.datasets[name]
    campaigns = [c for c in config.campaigns.values() if name in (c.train, c.test)]
    named = _named_donors(name, dataset, campaigns)
    wanted = _wanted(name, campaigns, named)
    invented = [donor for donor in (f"S{i:02d}" for i in range(1, 1 + wanted + len(named))) if donor not in named]
    table = _combinations(name, dataset, [*named, *invented])
    evaluation = _first(table, "evaluation")
    kept = [donor for donor in named if donor in evaluation]
    never = {donor for campaign in campaigns if campaign.test == name for donor in campaign.never_tested}
    kept += [donor for donor in invented if donor in evaluation][: max(0, wanted - len(set(kept) - never))]
    groups = [Group(donor, "evaluation", evaluation[donor]) for donor in kept]
    if len(groups) < 2:
        raise InputError(
            f'datasets.{name}.evaluation: no values were found for "{dataset.evaluation}" that keep two donors; '
            "stand-ins can only be made for comparisons of columns with constants."
        )
    if dataset.corpus is not None:
        corpus = _first(table, "corpus")
        donors = [donor for donor in named if donor in corpus] or [donor for donor in kept if donor in corpus][:DONORS]
        if not donors:
            raise InputError(
                f'datasets.{name}.corpus: no values were found for "{dataset.corpus}"; stand-ins can only be made '
                "for comparisons of columns with constants."
            )
        groups += [Group(donor, "corpus", corpus[donor]) for donor in donors]
    return groups


def _named_donors(name: str, dataset: Dataset, campaigns: list[Campaign]) -> list[str]:
    """Donors that the campaigns test or exclude, then those that the filters compare with, each once."""
    tested = [d for c in campaigns if c.test == name for d in [*(c.tested or []), *c.never_tested]]
    compared = _constants(name, dataset).get(dataset.columns.donor, [])
    return list(dict.fromkeys([*tested, *(str(value) for value in compared)]))


def _wanted(name: str, campaigns: list[Campaign], named: list[str]) -> int:
    """How many testable donors the campaigns need."""
    open_ended = [c for c in campaigns if c.test == name and c.tested is None]
    need = 0 if named and not open_ended else DONORS
    for campaign in open_ended:
        if campaign.design == "leave_one_donor_out":
            return campaign.splits
        while campaign.design == "grouped" and (
            need < campaign.test_donors + 2 or comb(need, campaign.test_donors) < campaign.splits
        ):
            need += 1
    return need


def _constants(name: str, dataset: Dataset) -> dict[str, list[object]]:
    """Columns that the filters name, each with the constants it is compared with (none: it is used as a flag)."""
    found: dict[str, list[object]] = {}
    for field, query in (("evaluation", dataset.evaluation), ("corpus", dataset.corpus)):
        try:
            tree = ast.parse(query or "True", mode="eval")
        except SyntaxError as error:
            raise InputError(f'datasets.{name}.{field}: "{query}" is not a readable filter ({error.msg}).') from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                found.setdefault(node.id, [])
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                for column in (side.id for side in sides if isinstance(side, ast.Name)):
                    found.setdefault(column, []).extend(c for side in sides for c in _values(side))
    return found


def _values(node: ast.expr) -> Iterator[object]:
    if isinstance(node, ast.Constant):
        yield node.value
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for item in node.elts:
            yield from _values(item)


def _candidates(constants: list[object]) -> list[object]:
    """The constants and a value beside them; a column that is compared with nothing is a flag."""
    if not constants:
        return [True, False]
    if all(isinstance(value, bool) for value in constants):
        return [True, False]
    if all(isinstance(value, int | float) for value in constants):
        numbers = [float(str(value)) for value in constants]
        return sorted({*numbers, *(n - 1 for n in numbers), *(n + 1 for n in numbers)})
    return [*dict.fromkeys(constants), OTHER]


def _combinations(name: str, dataset: Dataset, donors: list[str]) -> pd.DataFrame:
    """One row per donor and combination of column values, with its `role` (empty when it has none)."""
    columns = _constants(name, dataset)
    columns.pop(dataset.columns.donor, None)
    values = [_candidates(constants) for constants in columns.values()]
    rows = list(product(donors, *values))
    table = pd.DataFrame(rows, columns=[dataset.columns.donor, *columns])
    keeps = {}
    for field, query in (("evaluation", dataset.evaluation), ("corpus", dataset.corpus)):
        try:
            keeps[field] = (
                np.full(len(table), field == "evaluation") if query is None else np.asarray(table.eval(query))
            )
        except Exception as error:  # pandas raises many kinds for a wrong expression
            raise InputError(f'datasets.{name}.{field}: "{query}" does not work ({error}); correct it.') from error
    evaluation, corpus = keeps["evaluation"].astype(bool), keeps["corpus"].astype(bool)
    role = np.select([evaluation & ~corpus, corpus & ~evaluation], ["evaluation", "corpus"], "")
    return table.set_index(dataset.columns.donor).assign(**{"role ": role})


def _first(table: pd.DataFrame, role: str) -> dict[str, dict[str, object]]:
    """The first combination of each donor that has a role."""
    chosen = table[table["role "] == role].drop(columns="role ")
    chosen = chosen[~chosen.index.duplicated()]
    return {str(donor): dict(row) for donor, row in chosen.to_dict("index").items()}

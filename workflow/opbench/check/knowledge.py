"""Knowledge tables before a run: each is read as its analyses will read it, and names given to them are looked up."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from opbench.check.findings import Findings
from opbench.config import Config
from opbench.config.geometry import KINDS
from opbench.discovery.enrichment import read_gmt
from opbench.discovery.interactions import read_interactions
from opbench.geometry.study import READERS, named_by
from opbench.io.locate import locate_knowledge
from opbench.panels.reading import check_sha256

#: Names of a table's own that are offered for one that it has not.
NEAR = 3


@dataclass(frozen=True)
class KnowledgeFacts:
    """A table as it was read: its rows, its gene symbols, those that the model knows, its terms or cell types.

    `known` is None where the model's genes are not known before the run.
    """

    name: str
    kind: str
    file: str
    rows: int
    symbols: frozenset[str]
    known: int | None
    terms: frozenset[str]


def describe_knowledge(config: Config, vocabulary: set[str] | None, findings: Findings) -> dict[str, KnowledgeFacts]:
    """Name -> what a table holds. One that is found nowhere is a warning, one that cannot be read a problem."""
    found = {}
    for name, entry in config.knowledge.items():
        path = locate_knowledge(entry.path)
        if path is None:
            findings.warn(
                f"knowledge.{name}: '{entry.path}' is neither in $OPBENCH_KNOWLEDGE nor in the working folder, so that "
                "what reads it is not testable."
            )
            continue
        facts = None
        with findings.collect():
            check_sha256(path, entry.sha256)
            if name in config.discovery.compaction.gene_sets:
                read_gmt(path)  # holds repeated and empty sets for errors, which the geometry's reader does not
            facts = _facts(name, entry.kind, path, vocabulary)
        if facts is not None:
            found[name] = facts
            if facts.known == 0:
                findings.warn(
                    f"knowledge.{name}: the model knows none of the {len(facts.symbols)} symbols of {path}, "
                    f"'{min(facts.symbols)}' among them, so that what reads it is not testable; give a table of the "
                    "model's species by symbol."
                )
    return found


def _facts(name: str, kind: str, path: Path, vocabulary: set[str] | None) -> KnowledgeFacts:
    frame = _pairs(path) if kind == "interactions" else READERS[kind](path)
    use = next((use for use, kinds in KINDS.items() if kind in kinds), "interactions")
    symbols = frozenset(named_by(use, frame))
    terms = frozenset(name for column in ("term", "cell_type") if column in frame for name in frame[column])
    known = None if vocabulary is None else len(symbols & vocabulary)
    return KnowledgeFacts(name, kind, str(path), len(frame), symbols, known, terms)


def _pairs(path: Path) -> pd.DataFrame:
    """Pairs a, b of an interaction table, a complex as one name."""
    table = read_interactions(path)
    return pd.DataFrame({side: [table.genes[gene] for gene in table.edges[:, i]] for i, side in enumerate("ab")})


def geometry_symbols(config: Config, tables: dict[str, KnowledgeFacts]) -> dict[str, frozenset[str]]:
    """Use -> symbols of the table that the geometry names for it; none where it is not read."""
    named = config.geometry.knowledge.model_dump()
    return {use: tables[name].symbols if (name := named[use]) in tables else frozenset() for use in KINDS}


def check_names(config: Config, tables: dict[str, KnowledgeFacts], genes: Collection[str], findings: Findings) -> None:
    """Warn of cell types, compartments and genes of the geometry's settings that tables, or model and cells, lack.

    `genes` are those that the model knows and the corpus holds; none: not known before the run.
    """
    s = config.geometry
    asked: list[tuple[str, str, list[str], Collection[str], str]] = []
    for analysis, field, use in (("markers", "marker_types", "markers"), ("compartments", "sequence", "localisation")):
        name = getattr(s.knowledge, use)
        held = tables[name].terms if name in tables else ()
        asked.append((analysis, field, getattr(s, field), held, f"knowledge.{name}"))
    for field in ("anchors", "converging"):
        asked.append(("convergence", field, getattr(s, field), genes, "the genes that model and corpus share"))
    for analysis, field, names, held, place in asked:
        absent = [name for name in names if name not in held]
        if not (s.spaces and analysis in s.analyses and held and absent):
            continue
        # An order over compartments needs every one of them; of the others those that are there are tested.
        lost = len(absent) == len(names) or field == "sequence"
        findings.warn(
            f"geometry.{field}: {', '.join(_with_near(absent, held))} {'is' if len(absent) == 1 else 'are'} not in "
            f"{place}, so that {'this is not testable' if lost else 'the others are used alone'}; correct or take out."
        )


def _with_near(names: Collection[str], held: Collection[str]) -> Iterator[str]:
    """Each name, and those of `held` that look like it, whatever their case."""
    plain: dict[str, str] = {name.casefold(): name for name in sorted(held)}
    for name in names:
        near = [f"'{plain[key]}'" for key in get_close_matches(name.casefold(), plain, n=NEAR)]
        yield f"'{name}'" + (f" (near: {', '.join(near)})" if near else "")

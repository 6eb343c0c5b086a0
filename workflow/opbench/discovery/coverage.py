"""Which column of a file is which gene of an artifact, and how many of its genes the file has."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from opbench.discovery.artifact import Artifact
from opbench.io.errors import InputError
from opbench.panels.gene_ids import ENSEMBL
from opbench.panels.reading import require_column

#: Missing genes that a report names.
NAMED = 10


@dataclass(frozen=True)
class Matched:
    """The gene of each column of a file, (columns,) int32, -1 for none of the artifact's; and what tells them.

    column: `index` or a var column; kind: `symbol` or `ensembl`; found (G,) bool; repeated: genes of several columns.
    """

    target: np.ndarray
    column: str
    kind: str
    found: np.ndarray
    repeated: int

    @property
    def share(self) -> float:
        """Share of the artifact's genes that the file has."""
        return float(self.found.mean())

    def share_read(self, support: np.ndarray) -> float:
        """The same among the genes that its map reads, (G,) bool; 1 for a map that reads none."""
        return float(self.found[support].mean()) if support.any() else 1.0


def match_genes(var: pd.DataFrame, artifact: Artifact, column: str | None, source: str) -> Matched:
    """Match columns to genes by the names in `column` of var, or in whichever knows most genes: symbols first.

    Ensembl ids match whatever their version. Names are compared as they are written, case included: another species'
    genes are not these. `source` names file and table in messages.
    """
    if column not in (None, "index"):
        require_column(var, str(column), source, "--gene-column")
    names = {"index": var.index} | {str(name): var[name] for name in var.columns if _is_text(var[name])}
    if column is not None:
        names = {column: var.index if column == "index" else var[column]}
    ids = {name: row for row, known in enumerate(artifact.ensembl) for name in known.split("|") if name}
    places = {"symbol": {gene: row for row, gene in enumerate(artifact.genes)}, "ensembl": ids}
    best: Matched | None = None
    for name, values in names.items():
        texts = pd.Index(values).astype(str)
        for kind, place in places.items():
            found = _matched(texts if kind == "symbol" else _without_version(texts), place, name, kind, artifact)
            if best is None or found.found.sum() > best.found.sum():
                best = found
    assert best is not None
    return best


def check_coverage(matched: Matched, artifact: Artifact, least: float, source: str) -> None:
    """Refuse a file that has less than the share `least` of the genes, or of those that the map reads."""
    shares = {"genes": matched.share, "genes that its operator reads": matched.share_read(artifact.support)}
    for what, share in shares.items():
        if share < least:
            known = "" if any(artifact.ensembl) else " (it knows symbols alone, no Ensembl ids)"
            raise InputError(
                f"{source}: names {share:.1%} of the artifact's {what} in '{matched.column}', less than {least:.1%}; "
                f"name the var column of symbols or Ensembl ids in --gene-column{known}, or lower --min-coverage."
            )


def report(matched: Matched, artifact: Artifact) -> dict[str, object]:
    """Gene coverage in numbers and names, as `uns` holds it."""
    return {
        "genes": len(artifact.genes),
        "genes_found": int(matched.found.sum()),
        "share": matched.share,
        "share_of_genes_read": matched.share_read(artifact.support),
        "matched_by": f"{matched.kind} in {matched.column}",
        "genes_in_several_columns": matched.repeated,
        "missing": np.array(artifact.genes, dtype=object)[~matched.found],
    }


def sentence(coverage: dict[str, object]) -> str:
    """The report as one line, for people."""
    missing = list(coverage["missing"])  # type: ignore[call-overload]
    named = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
    return (
        f"{coverage['genes_found']} of {coverage['genes']} genes found by {coverage['matched_by']} "
        f"({coverage['share_of_genes_read']:.1%} of those that the operator reads); "
        f"{coverage['genes_in_several_columns']} in several columns, whose counts are summed"
        + (f"; missing, and read as 0: {named}" if missing else "")
    )


def _is_text(values: pd.Series) -> bool:
    kind = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return kind.dtype == object or pd.api.types.is_string_dtype(kind)


def _without_version(names: pd.Index) -> pd.Index:
    parts = [ENSEMBL.fullmatch(name) for name in names]
    return pd.Index([part[1] if part else "" for part in parts])


def _matched(names: pd.Index, place: dict[str, int], column: str, kind: str, artifact: Artifact) -> Matched:
    target = np.array([place.get(name, -1) for name in names], dtype=np.int32)
    columns = np.bincount(target[target >= 0], minlength=len(artifact.genes))
    return Matched(target, column, kind, columns > 0, int((columns > 1).sum()))

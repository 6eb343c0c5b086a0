"""The vocabulary of a small model: panel genes first, then genes of knowledge tables, within a universe."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from opbench.io.atomic import write_text
from opbench.io.errors import InputError
from opbench.io.tables import GENES, read_table
from opbench.models.checkpoint import CLS, EOC, PAD
from opbench.panels.reading import read_vocabulary

log = logging.getLogger("opbench.models")

TRRUST_MODES = {"Activation", "Repression", "Unknown"}
PANGLAO_ORGANS = {"Blood", "Bone", "Immune system"}
CELLMARKER_TISSUES = {"Blood", "Bone marrow"}


def build_vocabulary(
    gene_parquets: Sequence[str | Path],
    extra_files: Sequence[str | Path],
    universe: str | Path | None,
    max_genes: int,
    output: str | Path,
) -> None:
    """Write `vocab.json`: the ordered union of panel genes and extra genes, then `<pad>`, `<cls>`, `<eoc>`.

    Genes outside the `universe` vocabulary are left out; beyond `max_genes` the last extra genes are dropped.
    Raises InputError when the panels alone exceed `max_genes` or nothing is left.
    """
    known = None if universe is None else set(read_vocabulary(universe))
    genes: dict[str, None] = {}
    for path in gene_parquets:
        frame = read_table(path, GENES).sort_values("rank")
        genes.update(dict.fromkeys(_within(frame["gene"], known)))
    if not 0 < len(genes) <= max_genes:
        raise InputError(
            f"model.pretrain.max_genes: is {max_genes} but the panels hold {len(genes)} genes that may be used; "
            "raise it or change the panels' gene lists."
        )
    for path in extra_files:
        before = len(genes)
        genes.update(dict.fromkeys(_within(read_gene_list(path), known)))
        log.info("vocabulary: %s adds %d genes", Path(path).name, len(genes) - before)
    kept = list(genes)[:max_genes]
    log.info("vocabulary: %d genes, %d more dropped at max_genes", len(kept), len(genes) - len(kept))
    vocab = {token: index for index, token in enumerate([*kept, PAD, CLS, EOC])}
    write_text(json.dumps(vocab, indent=0) + "\n", output)


def read_gene_list(path: str | Path) -> list[str]:
    """Genes of a knowledge table, by what the file looks like, in order of first appearance.

    TRRUST pairs (no header: regulator, target, mode, ...); PanglaoDB markers (human; organs Blood, Bone,
    Immune system); CellMarker2 (`Tissue`, comma-joined `Gene`; Blood, Bone marrow); a table with a `gene`
    column; or one symbol a line.
    """
    path = Path(path)
    try:
        first = path.read_text().split("\n", 1)[0]
        separator = "\t" if "\t" in first else ","
        columns = [name.strip('"\r ') for name in first.split(separator)]
        # Trailing columns of marker tables may be ragged, so read only those that are used.
        if "official gene symbol" in columns:
            table = _read(path, separator, ["species", "official gene symbol", "organ"])
            human = table["species"].str.contains("Hs") & table["organ"].isin(PANGLAO_ORGANS)
            return _clean(table.loc[human, "official gene symbol"])
        if {"Tissue", "Gene"} <= set(columns):
            table = _read(path, separator, ["Tissue", "Gene"])
            return _clean(table.loc[table["Tissue"].isin(CELLMARKER_TISSUES), "Gene"].str.split(",").explode())
        if "gene" in columns:
            return _clean(_read(path, separator, ["gene"])["gene"])
        if len(columns) >= 3 and columns[2] in TRRUST_MODES:
            pairs = _read(path, separator, [0, 1], header=None)
            return _clean(pd.concat([pairs[0], pairs[1]]))
        if len(columns) == 1:
            return _clean(pd.Series(path.read_text().splitlines()))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable gene table ({error}); restore it.") from error
    raise InputError(
        f"{path}: columns {columns[:5]} are of no known gene table; give TRRUST pairs, PanglaoDB or CellMarker "
        "markers, a table with a 'gene' column, or one symbol a line."
    )


def _read(path: Path, separator: str, columns: list, header: int | None = 0) -> pd.DataFrame:
    return pd.read_csv(path, sep=separator, usecols=columns, header=header, dtype=str, keep_default_na=False)


def _clean(genes: pd.Series) -> list[str]:
    return [gene for gene in dict.fromkeys(genes.str.strip()) if gene]


def _within(genes: Sequence[str] | pd.Series, known: set[str] | None) -> list[str]:
    return [gene for gene in genes if known is None or gene in known]

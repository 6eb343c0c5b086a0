"""What the workflow reads from a data file: genes, counts, totals; the matrix is never held whole."""

import json
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.h5ad import open_h5ad, open_store, read_frame
from opbench.io.provenance import sha256_of
from opbench.panels.gene_ids import GeneNames, gene_names
from opbench.panels.matrix import Counts, head_values, is_count, no_count, open_counts
from opbench.panels.scan import gather, totals

__all__ = [
    "check_first_values",
    "check_sha256",
    "open_counts",
    "open_h5ad",
    "read_counts",
    "read_gene_names",
    "read_genes",
    "read_shape",
    "read_totals",
    "read_vocabulary",
    "require_column",
]


def read_gene_names(path: str | Path, dataset: Dataset) -> GeneNames:
    """Return the gene of each column of the counts matrix; InputError when they cannot be named, see `gene_names`."""
    where = "raw/var" if dataset.counts == "raw/X" else "var"
    with open_store(path) as root:
        if where not in root:
            raise InputError(f"{path}: '{where}' is not in the file; check 'counts: {dataset.counts}'.")
        var = read_frame(root, where, path)
    source = f"{path}: {where}"
    if dataset.columns.gene != "index":
        require_column(var, dataset.columns.gene, source, "columns.gene")
    return gene_names(var, dataset, source)


def read_genes(path: str | Path, dataset: Dataset) -> list[str]:
    """Return the gene symbols in column order of the counts matrix; one that names several columns is repeated."""
    return read_gene_names(path, dataset).symbols


def read_shape(path: str | Path, dataset: Dataset) -> tuple[int, int]:
    """Return (cells, genes) of the counts matrix after its structure was checked; reads no values."""
    with open_counts(path, dataset) as counts:
        return counts.shape


def read_counts(path: str | Path, dataset: Dataset, rows: np.ndarray, genes: list[str]) -> csr_matrix:
    """Return int32 CSR (len(rows), len(genes)) counts of the ascending `rows`.

    Genes that the file lacks are zero columns; a gene of several columns is their sum.
    """
    names = read_genes(path, dataset)
    with open_counts(path, dataset) as counts:
        _check_width(counts, len(names))
        if len(rows) and rows[-1] >= counts.shape[0]:
            raise InputError(
                f"{counts.source}: has {counts.shape[0]} cells but cell {rows[-1]} is asked for; the file changed, so "
                "delete the tables of its cells and run again."
            )
        return gather(counts, rows, pd.Index(genes).get_indexer(names), len(genes))


def read_totals(path: str | Path, dataset: Dataset, names: GeneNames) -> tuple[np.ndarray, np.ndarray]:
    """Return (cells,) library sizes and detected genes of all cells, checking every stored value on the way.

    `library_size` sums all columns; `n_genes` counts the columns above zero, those of one symbol once.
    """
    with open_counts(path, dataset) as counts:
        _check_width(counts, len(names.symbols))
        return totals(counts, names.groups())


def check_first_values(path: str | Path, dataset: Dataset) -> None:
    """Raise InputError when the first stored values are no counts: a look before the whole matrix is read."""
    with open_counts(path, dataset) as counts:
        if not is_count(values := head_values(counts)).all():
            raise no_count(counts, values)


def _check_width(counts: Counts, names: int) -> None:
    if counts.shape[1] != names:
        raise InputError(
            f"{counts.source}: has {counts.shape[1]} columns but its var table names {names} genes; the file is "
            "inconsistent, so write it again with anndata."
        )


def require_column(frame: pd.DataFrame, column: str, source: str, field: str) -> None:
    """Raise InputError, naming the nearest column, when `frame` lacks `column`."""
    if column not in frame.columns:
        near = get_close_matches(column, list(map(str, frame.columns)), 1)
        hint = f"did you mean '{near[0]}'" if near else f"it has {list(map(str, frame.columns))}"
        raise InputError(f"{source} has no column '{column}' that '{field}' names; {hint}.")


def read_vocabulary(path: str | Path) -> list[str]:
    """Return the genes of a `vocab.json` ({symbol: id}) in id order, without `<special>` tokens."""
    try:
        ids: dict[str, int] = json.loads(Path(path).read_text())
        ordered = sorted(ids, key=lambda token: int(ids[token]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is not a vocabulary of the form {{symbol: id}} ({error}).") from error
    return [token for token in ordered if not (token.startswith("<") and token.endswith(">"))]


def check_sha256(path: str | Path, expected: str | None) -> None:
    """Raise InputError when the file's SHA-256 (streamed) is not `expected`; None checks nothing."""
    if expected is None:
        return
    if Path(path).is_dir():
        raise InputError(
            f"{path}: is a zarr folder, which has no single sha256; remove 'sha256' from the dataset, or give the data "
            "as one .h5ad file."
        )
    if (found := sha256_of(path)) != expected.lower():
        raise InputError(
            f"{path}: sha256 is {found}, not the {expected} of the configuration; download the file again."
        )

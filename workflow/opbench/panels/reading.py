"""Reads h5ad files by rows: counts are never held whole unless the file's layout forces it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, sparse_dataset
from scipy.sparse import csr_matrix

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of

#: Rows read at once: about 80 MB of counts at 5,000 detected genes a cell.
BLOCK = 2048


@contextmanager
def open_h5ad(path: str | Path) -> Iterator[h5py.File]:
    """Open an h5ad file for reading; a file that is none is an InputError."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is not a readable h5ad file ({error}); check the path.") from error
    with file:
        yield file


@dataclass(frozen=True)
class Counts:
    """An open counts matrix of shape (cells, genes); `source` says whence for error messages."""

    matrix: object
    shape: tuple[int, int]
    source: str

    def rows(self, start: int, stop: int) -> csr_matrix:
        """Return rows [start, stop) as CSR."""
        return csr_matrix(self.matrix[start:stop])  # type: ignore[index]


@contextmanager
def open_counts(path: str | Path, dataset: Dataset) -> Iterator[Counts]:
    """Open the matrix that `dataset.counts` names (`X`, `raw/X` or `layers/NAME`).

    CSR and dense matrices stay on disk; CSC is read whole, as it cannot be read by rows.
    """
    key = dataset.counts
    if key not in ("X", "raw/X") and not key.startswith("layers/"):
        raise InputError(f"{path}: counts '{key}' is no matrix name; use X, raw/X or layers/NAME.")
    with open_h5ad(path) as file:
        if key not in file:
            held = [name for name in ("X", "raw/X") if name in file] + [
                f"layers/{name}" for name in file.get("layers", {})
            ]
            raise InputError(f"{path}: counts '{key}' is not in the file; it holds {held}.")
        matrix = file[key]
        if isinstance(matrix, h5py.Group):
            matrix = sparse_dataset(matrix)
            if matrix.format == "csc":
                matrix = matrix.to_memory().tocsr()
        yield Counts(matrix, tuple(matrix.shape), f"{path}: {key}")


def iter_row_blocks(
    counts: Counts, rows: np.ndarray | None = None, block: int = BLOCK
) -> Iterator[tuple[np.ndarray, csr_matrix]]:
    """Yield (row numbers, CSR block) over all rows or the ascending `rows`, `block` rows at a time."""
    for start in range(0, counts.shape[0], block):
        stop = min(start + block, counts.shape[0])
        if rows is None:
            yield np.arange(start, stop), counts.rows(start, stop)
            continue
        wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        if len(wanted):
            first = int(wanted[0])
            held = counts.rows(first, int(wanted[-1]) + 1)
            yield wanted, held if held.shape[0] == len(wanted) else held[wanted - first]


def check_counts(block: csr_matrix, source: str) -> None:
    """Raise InputError unless every stored value is a non-negative integer that fits 32 bits."""
    values = block.data
    with np.errstate(invalid="ignore"):
        bad = ~((values >= 0) & (values <= np.iinfo(np.int32).max) & (np.rint(values) == values))
    if bad.any():
        raise InputError(
            f"{source}: holds {values[bad.argmax()]:.6g}, which is no count; "
            "name the matrix of raw integer counts in 'counts' (X, raw/X or layers/NAME)."
        )


def take_genes(block: csr_matrix, position: np.ndarray, n_genes: int) -> csr_matrix:
    """Return int32 CSR (rows, n_genes) in which file column j goes to `position[j]`, or nowhere if -1."""
    target = position[block.indices]
    kept = (target >= 0) & (block.data != 0)
    ends = np.concatenate([[0], np.cumsum(kept)])[block.indptr]
    parts = (block.data[kept].astype(np.int32), target[kept], ends)
    taken = csr_matrix(parts, shape=(block.shape[0], n_genes))
    taken.sort_indices()
    return taken


def gene_position(file_genes: list[str], genes: list[str]) -> np.ndarray:
    """Return for each file gene its position in `genes`, -1 when it is not listed."""
    return pd.Index(genes).get_indexer(file_genes)


def read_counts(path: str | Path, dataset: Dataset, rows: np.ndarray, genes: list[str]) -> csr_matrix:
    """Return int32 CSR (len(rows), len(genes)) counts; genes that the file lacks are zero columns."""
    from scipy.sparse import vstack

    position = gene_position(read_genes(path, dataset), genes)
    with open_counts(path, dataset) as counts:
        blocks = [take_genes(block, position, len(genes)) for _, block in iter_row_blocks(counts, rows)]
    return csr_matrix(vstack(blocks, format="csr")) if blocks else csr_matrix((0, len(genes)), dtype=np.int32)


def read_genes(path: str | Path, dataset: Dataset) -> list[str]:
    """Return the gene symbols in column order of the counts matrix; repeated symbols are an InputError."""
    where = "raw/var" if dataset.counts == "raw/X" else "var"
    with open_h5ad(path) as file:
        if where not in file:
            raise InputError(f"{path}: '{where}' is not in the file; check 'counts: {dataset.counts}'.")
        var = read_elem(file[where])
    column = dataset.columns.gene
    if column != "index":
        require_column(var, column, f"{path}: {where}", "columns.gene")
    symbols = pd.Series(var.index if column == "index" else var[column].to_numpy()).astype(str)
    if symbols.duplicated().any():
        raise InputError(
            f"{path}: gene '{symbols[symbols.duplicated()].iloc[0]}' occurs twice in {where} '{column}'; "
            "sum or drop the repeated genes."
        )
    return symbols.tolist()


def require_column(frame: pd.DataFrame, column: str, source: str, field: str) -> None:
    """Raise InputError, naming the nearest column, when `frame` lacks `column`."""
    if column not in frame.columns:
        near = get_close_matches(column, list(map(str, frame.columns)), 1, cutoff=0.0)
        hint = f"the nearest is '{near[0]}'" if near else "there are no columns"
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
    if (found := sha256_of(path)) != expected.lower():
        raise InputError(
            f"{path}: sha256 is {found}, not the {expected} of the configuration; download the file again."
        )

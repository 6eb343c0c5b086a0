"""How a file holds its counts: format, layout, compression and size, and the first rows; the rest is not read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.panels.matrix import Counts, head_values, is_count, no_count, open_counts

NAMES = {"csr": "CSR", "csc": "CSC", "dense": "dense"}
#: Rows, and stored elements, that are read at most to see how many genes a cell detects.
ROWS, ELEMENTS = 2048, 20_000_000


@dataclass(frozen=True)
class Layout:
    """A counts matrix on disk; `stored` is the number of values that it holds, zeros included when it is dense."""

    format: str
    layout: str
    cells: int
    genes: int
    stored: int
    dtype: str
    compression: str
    file_mb: float


def read_layout(path: str | Path, dataset: Dataset) -> tuple[Layout, csr_matrix | None]:
    """Describe the matrix that `dataset.counts` names and return its first rows, which a CSC matrix cannot give.

    Raises InputError when there is no such matrix, it is damaged, or its first values are no counts.
    """
    path = Path(path)
    with open_counts(path, dataset) as counts:
        values = head_values(counts)
        if not is_count(values).all():
            raise no_count(counts, values)
        dense = counts.layout == "dense"
        layout = Layout(
            format="zarr" if path.is_dir() else "h5ad",
            layout=NAMES[counts.layout],
            cells=counts.shape[0],
            genes=counts.shape[1],
            stored=counts.shape[0] * counts.shape[1] if dense else int(counts.indptr[-1]),
            dtype=str(counts.values.dtype),
            compression=_compression(counts.values),
            file_mb=_bytes(path) / 1e6,
        )
        return layout, _first_rows(counts)


def _first_rows(counts: Counts) -> csr_matrix | None:
    if counts.layout == "csc":
        return None
    if counts.layout == "dense":
        return csr_matrix(np.asarray(counts.values[: max(1, min(ROWS, ELEMENTS // counts.shape[1]))]))
    rows = min(ROWS, max(1, int(np.searchsorted(counts.indptr, ELEMENTS, "right")) - 1), counts.shape[0])
    stop = int(counts.indptr[rows])
    parts = (np.asarray(counts.values[:stop]), np.asarray(counts.indices[:stop]), counts.indptr[: rows + 1])
    first = csr_matrix(parts, shape=(rows, counts.shape[1]))
    try:
        first.check_format(full_check=True)  # indices of a damaged file would be read out of bounds later
    except ValueError as error:
        raise InputError(f"{counts.source}: is damaged in its first rows ({error}); get the file again.") from None
    return first


def _compression(values: Any) -> str:
    if hasattr(values, "compression"):
        return str(values.compression or "none")
    codecs = getattr(values, "compressors", None)
    return ", ".join(type(codec).__name__.removesuffix("Codec").lower() for codec in codecs or ()) or "none"


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

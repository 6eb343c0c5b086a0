"""The counts matrix of a foreign file: found, checked in its structure, and named in what goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.h5ad import open_store

#: Largest count that a panel holds (int32).
LARGEST = np.iinfo(np.int32).max
#: Stored values that are looked at to tell what a matrix holds.
SAMPLE = 1 << 16
#: No log1p of a count per 10,000 or per million is larger (log(1e6 + 1) = 13.8).
LOG_LIMIT = 14.0


@dataclass(frozen=True)
class Counts:
    """An open matrix of `shape` (cells, genes); nothing but `indptr` is in memory.

    `values` is the stored array: (elements,) of CSR and CSC, (cells, genes) when dense, which has no `indices`
    and an empty `indptr`. `key` is its name (`X`, `raw/X`, `layers/NAME`), `source` names the file as well,
    `root` is the open file.
    """

    layout: Literal["csr", "csc", "dense"]
    shape: tuple[int, int]
    values: Any
    indices: Any
    indptr: np.ndarray
    key: str
    source: str
    root: Any


@contextmanager
def open_counts(path: str | Path, dataset: Dataset) -> Iterator[Counts]:
    """Open the matrix that `dataset.counts` names in an h5ad file or a zarr folder, and check its structure.

    Raises InputError for a name that is none or is not in the file, no cells or genes, a type that holds no
    numbers, row pointers that are broken, pieces that are missing.
    """
    key = dataset.counts
    if key not in ("X", "raw/X") and not key.startswith("layers/"):
        raise InputError(f"{path}: counts '{key}' is no matrix name; use X, raw/X or layers/NAME.")
    with open_store(path) as root:
        if key not in root:
            raise InputError(f"{path}: counts '{key}' is not in the file; it holds {matrix_names(root)}.")
        yield find_matrix(root, key, f"{path}: {key}")


def matrix_names(root: Any) -> list[str]:
    """Return the names of the matrices of an open file."""
    layers = [f"layers/{name}" for name in root["layers"]] if "layers" in root else []
    return [name for name in ("X", "raw/X") if name in root] + layers


def find_matrix(root: Any, key: str, source: str) -> Counts:
    """Describe the matrix `key` of an open file; raises InputError as `open_counts`."""
    node = root[key]
    if hasattr(node, "keys"):
        counts = _sparse(root, node, key, source)
    elif len(node.shape) == 2:
        counts = Counts("dense", tuple(map(int, node.shape)), node, None, np.zeros(0, np.int64), key, source, root)
    else:
        raise InputError(f"{source}: has {len(node.shape)} dimension(s) instead of 2; name another matrix in 'counts'.")
    if counts.values.dtype.kind not in "iuf" or counts.values.dtype.itemsize > 8:
        raise InputError(
            f"{source}: holds values of type {counts.values.dtype}, which are no counts; name another matrix in "
            "'counts' (X, raw/X or layers/NAME)."
        )
    for size, what in zip(counts.shape, ("cells", "genes"), strict=True):
        if size == 0:
            raise InputError(f"{source}: has no {what}; give a file that holds some.")
    return counts


def _sparse(root: Any, node: Any, key: str, source: str) -> Counts:
    from anndata.io import sparse_dataset

    try:
        described = sparse_dataset(node)
        layout, shape = described.format, tuple(int(size) for size in described.shape)
        values, indices, indptr = (node[name] for name in ("data", "indices", "indptr"))
        indptr = np.asarray(indptr[:]).astype(np.int64, casting="same_kind")
        if indices.dtype.kind not in "iu" or len({values.ndim, indices.ndim, indptr.ndim, 1}) > 1:
            raise ValueError("data, indices and indptr are not one-dimensional, the last two of integers")
    except Exception as error:  # what anndata and the stores raise for a group that is no matrix
        raise InputError(
            f"{source}: is neither a CSR, a CSC nor a dense matrix ({error}); write the file with anndata."
        ) from error
    _check_pointers(indptr, shape[layout == "csc"], min(values.shape[0], indices.shape[0]), source)
    for array, name in ((values, "data"), (indices, "indices")):
        _check_pieces(array, f"{source}/{name}")
    return Counts(layout, shape, values, indices, indptr, key, source, root)


def _check_pointers(indptr: np.ndarray, size: int, stored: int, source: str) -> None:
    wrong = ""
    if len(indptr) != size + 1:
        wrong = f"has {len(indptr)} entries instead of {size + 1}"
    elif indptr[0] != 0 or (np.diff(indptr) < 0).any():
        wrong = "does not rise from 0"
    elif indptr[-1] > stored:
        wrong = f"ends at {indptr[-1]} although {stored} values are stored"
    if wrong:
        raise InputError(f"{source}/indptr: {wrong}, so the matrix is damaged; get the file again.")


def _check_pieces(array: Any, source: str) -> None:
    """Refuse a zarr array that lacks files: they would read as zeros without a word."""
    if (held := getattr(array, "nchunks_initialized", None)) is not None and held < array.nchunks:
        raise InputError(
            f"{source}: lacks {array.nchunks - held} of its {array.nchunks} pieces; copy the folder again."
        )


def is_count(values: np.ndarray) -> np.ndarray:
    """Return for each value whether it is a non-negative integer that fits 32 bits."""
    with np.errstate(invalid="ignore"):
        return (values >= 0) & (values <= LARGEST) & (np.rint(values) == values)


def no_count(counts: Counts, values: np.ndarray) -> InputError:
    """Return the error for `values` of which at least one is no count; it names the matrices that hold counts."""
    bad = values[~is_count(values)]
    others = [name for name in matrix_names(counts.root) if name != counts.key and _holds_counts(counts, name)]
    kind = "these look like log-normalised values, " if looks_normalised(values) else ""
    remedy = (
        f"set 'counts' to {' or '.join(repr(name) for name in others)}, where integer counts are"
        if others
        else "name the matrix of raw integer counts in 'counts' (X, raw/X or layers/NAME)"
    )
    return InputError(f"{counts.source}: holds {bad.flat[0]:.6g}, which is no count; {kind}{remedy}.")


def looks_normalised(values: np.ndarray) -> bool:
    """Return whether most non-zero values are fractions and all lie in the range of log1p values."""
    values = values[values != 0]
    with np.errstate(invalid="ignore"):
        inside = bool(((values > 0) & (values < LOG_LIMIT)).all())
    return inside and bool((np.rint(values) != values).mean() > 0.5)


def head_values(counts: Counts) -> np.ndarray:
    """Return the first stored values, at most about SAMPLE of them."""
    rows = max(1, SAMPLE // counts.shape[1]) if counts.layout == "dense" else min(SAMPLE, int(counts.indptr[-1]))
    try:
        return np.asarray(counts.values[:rows]).ravel()
    except Exception as error:  # HDF5, zarr and their codecs raise many kinds for a damaged piece
        raise InputError(f"{counts.source}: cannot be read ({error}); the file is damaged, get it again.") from error


def _holds_counts(counts: Counts, name: str) -> bool:
    try:
        values = head_values(find_matrix(counts.root, name, name))
    except (InputError, OSError, ValueError):
        return False
    return bool(is_count(values).all() and values.any())

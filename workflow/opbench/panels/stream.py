"""A matrix block by block: only the pieces of the file that are wanted, none of them read twice.

Two threads share the rows or columns: one reads while the other works on the block that it has just read, which is
still in its processor's cache.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Event
from typing import Any, TypeVar

import numpy as np

from opbench.io.errors import InputError
from opbench.panels.matrix import Counts

#: Stored elements read at once: 4 MB of float32 values and int32 indices.
BLOCK = 1 << 19
#: Least and largest number of elements that a piece of the file may have to be read as a whole.
PIECE = (1 << 14, 1 << 24)
#: Threads; reading is one at a time in HDF5, so that more than two seldom help.
WORKERS = 2
#: Most elements (int32) of the rows of a panel that are put together at once from a dense matrix.
BAND = 1 << 26
#: What HDF5, zarr and their codecs raise for a damaged piece.
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, EOFError, zlib.error)

Selection = tuple[slice, ...]
T = TypeVar("T")


def in_parts(counts: Counts, majors: np.ndarray, work: Callable[[np.ndarray, Event], T], workers: int = 0) -> list[T]:
    """Return `work` of contiguous parts of the rows or columns `majors` that hold about equally many elements.

    `work` is told when to stop early because another part failed; as many parts as WORKERS unless said otherwise.
    """
    workers = workers or WORKERS
    sizes = np.ones(len(majors)) if counts.layout == "dense" else np.diff(counts.indptr)[majors]
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, ends[-1:] * np.arange(1, workers) / workers) if len(ends) else []
    stop = Event()

    def run(part: np.ndarray) -> T:
        try:
            return work(part, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        try:
            return [future.result() for future in [pool.submit(run, part) for part in np.split(majors, cuts)]]
        except BaseException:  # an interrupt must not wait for the end of the file
            stop.set()
            raise


def element_ranges(counts: Counts, wanted: np.ndarray) -> list[Selection]:
    """Return the ranges of stored elements that hold the ascending rows (CSR) or columns (CSC) `wanted`.

    Ranges are made of whole pieces of the file and hold about BLOCK elements.
    """
    stored = int(counts.indptr[-1])
    chunk = max((array.chunks or PIECE[:1])[0] for array in (counts.values, counts.indices))
    unit = min(chunk * max(1, PIECE[0] // chunk), PIECE[1])
    starts, stops = counts.indptr[wanted], counts.indptr[wanted + 1]
    filled = stops > starts
    size = -(-stored // unit) + 1
    edges = np.bincount(starts[filled] // unit, minlength=size)
    edges -= np.bincount((stops[filled] - 1) // unit + 1, minlength=size)
    used = np.concatenate([[0], np.cumsum(edges) > 0]).astype(np.int8)
    if counts.values.chunks is None or not getattr(counts.values, "compression", "any"):
        # Without compression, reading a piece costs less than leaving out a single one.
        used[1:-1] |= used[:-2] & used[2:]
    firsts, lasts = np.flatnonzero(np.diff(used) == 1), np.flatnonzero(np.diff(used) == -1)
    step = max(1, BLOCK // unit)
    return [
        (slice(piece * unit, min(min(piece + step, last) * unit, stored)),)
        for first, last in zip(firsts, lasts, strict=True)
        for piece in range(first, last, step)
    ]


def tiles(counts: Counts, rows: np.ndarray, target: np.ndarray | None = None, n_genes: int = 0) -> list[Selection]:
    """Return the tiles of a dense matrix that hold the ascending `rows` and the columns with a target (or all).

    Band by band of rows, from the first to the last of `rows`; a tile is made of whole pieces of the file.
    """
    width = counts.shape[1]
    piece = counts.values.chunks or (1, width)
    wide = min(width, piece[1] * max(1, BLOCK // (piece[0] * piece[1])))
    high = piece[0] * max(1, BLOCK // (piece[0] * wide))
    high = max(1, min(high, PIECE[1] // wide, BAND // max(n_genes, 1)))
    columns = [slice(first, min(first + wide, width)) for first in range(0, width, wide)]
    if target is not None:
        columns = [part for part in columns if (target[part] >= 0).any()]
    bands = [
        slice(max(first, int(rows[0])), min(first + high, int(rows[-1]) + 1))
        for first in (np.unique(rows // high) * high).tolist()
    ]
    return [(band, part) for band in bands for part in columns]


def blocks(
    counts: Counts, selections: Sequence[Selection], stop: Event
) -> Iterator[tuple[Selection, list[np.ndarray]]]:
    """Yield each selection and the stored arrays there: values, and indices unless dense; none any more after `stop`.

    The arrays are used again: they are valid until the next ones are asked for.
    """
    arrays = [array for array in (counts.values, counts.indices) if array is not None]
    readers = [reader(array) for array in arrays]
    buffers = [buffer_for(array, selections) for array in arrays]
    for selection in selections:
        if stop.is_set():
            return
        try:
            parts = [read(buffer, selection) for read, buffer in zip(readers, buffers, strict=True)]
        except DAMAGE as error:
            raise InputError(
                f"{counts.source}: cannot be read at {selection[0].start} ({error}); the file is damaged, get it again."
            ) from error
        yield selection, parts


def buffer_for(array: Any, selections: Sequence[Selection]) -> np.ndarray:
    """Return memory for any of the parts of a stored array, in the native type that it is read as."""
    size = max((np.prod([part.stop - part.start for part in selection]) for selection in selections), default=0)
    return np.empty(int(size), native(array.dtype))


def reader(array: Any) -> Callable[[np.ndarray, Selection], np.ndarray]:
    """Return the fastest way to read parts of a stored array, given memory that may be used for the result."""
    if not hasattr(array, "read_direct"):
        return lambda buffer, selection: np.ascontiguousarray(array[selection], dtype=buffer.dtype)
    if (offsets := _offsets(array)) is None:
        return partial(_read_hdf5, array)
    length = array.chunks[0] if array.chunks else array.size
    return partial(_read_pieces, array.file.id.get_vfd_handle(), array.shape, length, offsets)


def _read_hdf5(array: Any, buffer: np.ndarray, selection: Selection) -> np.ndarray:
    shape = [part.stop - part.start for part in selection]
    out = buffer[: int(np.prod(shape))].reshape(shape)
    array.read_direct(out, selection)  # into memory that is there: new memory costs more than the copy
    return out


def _offsets(array: Any) -> np.ndarray | None:
    """Return where in the file (bytes) the pieces of an HDF5 array are, if each is a plain run of elements."""
    plain = array.id.get_create_plist().get_nfilters() == 0 and array.dtype == native(array.dtype)
    if not plain or array.file.driver != "sec2" or array.file.userblock_size:
        return None
    if not array.chunks:
        offset = array.id.get_offset()
        return np.array([offset]) if offset else None
    if array.ndim != 1:
        return None
    offsets = np.zeros(-(-array.shape[0] // array.chunks[0]), dtype=np.int64)

    def note(piece: Any) -> None:
        offsets[piece.chunk_offset[0] // array.chunks[0]] = piece.byte_offset

    array.id.chunk_iter(note)
    return offsets if offsets.all() else None


def _read_pieces(
    descriptor: int, shape: tuple[int, ...], length: int, offsets: np.ndarray, buffer: np.ndarray, selection: Selection
) -> np.ndarray:
    """Read without HDF5, which lets one thread read at a time; pieces that follow each other in the file at once.

    A selection of a two-dimensional array has whole rows.
    """
    row = int(np.prod(shape[1:]))
    start, stop, width = selection[0].start * row, selection[0].stop * row, buffer.itemsize
    out = buffer[: stop - start]
    edges = np.unique(np.clip(np.arange(start // length, stop // length + 2) * length, start, stop))
    places = offsets[edges[:-1] // length] + edges[:-1] % length * width
    joints = np.flatnonzero(places[:-1] + np.diff(edges)[:-1] * width != places[1:]) + 1
    for first, last in pairwise([0, *joints.tolist(), len(places)]):
        part = out[edges[first] - start : edges[last] - start]
        if os.preadv(descriptor, [part], int(places[first])) != part.nbytes:
            raise OSError("the file ends early")
    return out.reshape(-1, *shape[1:])


def native(dtype: np.dtype) -> np.dtype:
    """Return the type of this machine for a stored one, half floats widened."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")

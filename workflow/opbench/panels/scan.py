"""One pass through a counts matrix: totals of all cells, or the cells and genes of a panel."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from threading import Event

import numpy as np
from scipy.sparse import csr_matrix

from opbench.io.errors import InputError
from opbench.panels.matrix import LARGEST, Counts, is_count, no_count
from opbench.panels.stream import WORKERS, blocks, element_ranges, in_parts, native, tiles

#: Most pairs of index and count by which a growing result is made larger (32 MB).
PAIRS = 1 << 22

#: Genes (or cells), counts, and the ends of the rows (or columns) in both.
Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]


def totals(counts: Counts, group: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return (cells,) library sizes (float64) and detected genes (int64), checking every value and index.

    A library sums all columns. Detected genes are the columns with a value above zero, where the columns of one
    `group` (columns,) count once; -1 is no group. Raises InputError for a value that is no count or a broken index.
    """
    work = partial(_dense_totals if counts.layout == "dense" else _sparse_totals, counts, group)
    # Columns of one group may lie anywhere, so that by columns the work cannot be divided.
    workers = int(counts.layout == "csc" and group is not None)
    found = in_parts(counts, np.arange(counts.shape[counts.layout == "csc"]), work, workers)
    library, detected = np.sum(found, axis=0)
    return library.astype(np.float64), detected


def gather(counts: Counts, rows: np.ndarray, target: np.ndarray, n_genes: int) -> csr_matrix:
    """Return int32 CSR (rows, genes) counts: column j of the file goes to `target[j]`, or nowhere if that is -1.

    `rows` ascend. Columns of one target are added up; stored zeros are dropped. Raises InputError for a wanted
    value that is no count, a sum beyond 32 bits, a broken index.
    """
    target, rows = target.astype(np.int32), rows.astype(np.int64)
    if counts.layout == "csc":
        columns = np.flatnonzero(target >= 0)
        held = _joined(in_parts(counts, columns, partial(_gather_columns, counts, rows)))
        genes, values, indptr = _by_rows(counts, held, target[columns], len(rows))
    else:
        work = partial(_gather_rows if counts.layout == "csr" else _gather_dense, counts, target, n_genes)
        genes, values, indptr = _joined(in_parts(counts, rows, work))
    return csr_matrix((values, genes, indptr), shape=(len(rows), n_genes))


def _sparse_totals(counts: Counts, group: np.ndarray | None, majors: np.ndarray, stop: Event) -> np.ndarray:
    from opbench.panels import kernels

    found = np.zeros((2, counts.shape[0]), dtype=np.int64)
    by_row, indptr, limit = counts.layout == "csr", counts.indptr, _limit(counts)
    groups = 0 if group is None else int(group.max()) + 1
    memory = np.full(groups, -1) if by_row else np.zeros((groups, counts.shape[0] // 8 + 1), dtype=np.uint8)
    for (part,), (values, indices) in blocks(counts, element_ranges(counts, majors), stop):
        first = max(int(np.searchsorted(indptr, part.start, "right")) - 1, int(majors[0]))
        last = min(int(np.searchsorted(indptr, part.stop, "left")), int(majors[-1]) + 1)
        where = (part.start, indptr, first, last)
        if by_row:
            status = kernels.row_totals(values, indices, *where, limit, counts.shape[1], *found)
        else:
            own = slice(max(indptr[first] - part.start, 0), max(indptr[last] - part.start, 0))
            status = kernels.column_totals(values[own], indices[own], limit, counts.shape[0], *found)
        _check(counts, status, values, indices)
        if groups:
            repeats = kernels.row_repeats if by_row else kernels.column_repeats
            repeats(values, indices, *where, group, memory, found[1])
    return found


def _dense_totals(counts: Counts, group: np.ndarray | None, majors: np.ndarray, stop: Event) -> np.ndarray:
    from opbench.panels import kernels

    found, limit = np.zeros((2, counts.shape[0]), dtype=np.int64), _limit(counts)
    groups = 0 if group is None else int(group.max()) + 1
    seen = np.zeros((0, groups), dtype=bool)
    for (rows, columns), (tile,) in blocks(counts, tiles(counts, majors), stop):
        _check(counts, kernels.dense_totals(tile, limit, *found[:, rows]), tile)
        if groups:
            seen = np.zeros((len(tile), groups), dtype=bool) if columns.start == 0 else seen
            kernels.dense_repeats(tile, columns.start, group, seen, found[1, rows])
    return found


class _Pairs:
    """Growing (index, count) pairs in memory that is taken page by page as it is written to.

    NumPy would clear it first, and ask for large pages; making those takes longer than reading when the file that is
    read fills the memory as cache. Growing moves pages, not bytes, and needs that no view of the memory is alive.
    """

    def __init__(self) -> None:
        self.filled = 0
        self.maps = [mmap(-1, PAIRS // 64, flags=MAP_PRIVATE | MAP_ANONYMOUS) for _ in range(2)]

    def room(self, more: int) -> None:
        """Make room for `more` pairs."""
        held = len(self.maps[0]) // 4
        if self.filled + more > held:
            self.resize(max(self.filled + more, min(2 * held, held + PAIRS)))

    def resize(self, size: int) -> None:
        """Make room for `size` pairs in all."""
        for number, memory in enumerate(self.maps):
            try:
                memory.resize(4 * max(size, 1))
            except SystemError:  # a system that cannot move pages
                self.maps[number] = mmap(-1, 4 * max(size, 1), flags=MAP_PRIVATE | MAP_ANONYMOUS)
                self.maps[number][: len(memory)] = memory[:]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return views of all indices and counts."""
        return np.frombuffer(self.maps[0], dtype=np.int32), np.frombuffer(self.maps[1], dtype=np.int32)


#: Gathered pairs of some of the rows (or columns), and the ends of these.
Part = tuple[_Pairs, np.ndarray]


def _gather_rows(counts: Counts, target: np.ndarray, n_genes: int, rows: np.ndarray, stop: Event) -> Part:
    from opbench.panels import kernels

    pairs, ptr, at = _Pairs(), np.zeros(len(rows) + 1, dtype=np.int64), 0
    wanted, limit = (target >= 0).astype(np.uint8), _limit(counts)
    sums, bits = np.zeros(n_genes, dtype=np.int64), np.zeros(n_genes // 64 + 1, dtype=np.uint64)
    for (part,), (values, indices) in blocks(counts, element_ranges(counts, rows), stop):
        pairs.room(len(values) + n_genes)
        where = (part.start, counts.indptr, rows, at, target, wanted, limit, sums, bits)
        at, pairs.filled, status = kernels.gather_rows(values, indices, *where, *pairs.arrays(), ptr, pairs.filled)
        _check(counts, status, values, indices)
    ptr[at + 1 :] = pairs.filled  # rows without any element
    return pairs, ptr


def _gather_columns(counts: Counts, rows: np.ndarray, columns: np.ndarray, stop: Event) -> Part:
    from opbench.panels import kernels

    place = np.full(counts.shape[0], -1, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    pairs, ptr, at, limit = _Pairs(), np.zeros(len(columns) + 1, dtype=np.int64), 0, _limit(counts)
    for (part,), (values, indices) in blocks(counts, element_ranges(counts, columns), stop):
        pairs.room(len(values))
        where = (part.start, counts.indptr, columns, at, place, limit)
        at, pairs.filled, status = kernels.gather_columns(values, indices, *where, *pairs.arrays(), ptr, pairs.filled)
        _check(counts, status, values, indices)
    ptr[at + 1 :] = pairs.filled
    return pairs, ptr


def _gather_dense(counts: Counts, target: np.ndarray, n_genes: int, rows: np.ndarray, stop: Event) -> Part:
    from opbench.panels import kernels

    pairs, ptr, limit = _Pairs(), np.zeros(len(rows) + 1, dtype=np.int64), _limit(counts)
    at, band, current = 0, np.zeros((0, n_genes), dtype=np.int32), -1

    def flush() -> None:
        pairs.room(int(np.count_nonzero(band)))
        pairs.filled = kernels.flush_dense(band, at, *pairs.arrays(), ptr, pairs.filled)

    for (lines, columns), (tile,) in blocks(counts, tiles(counts, rows, target, n_genes), stop):
        if lines.start != current:
            flush()
            at, current = at + len(band), lines.start
            inside = rows[at : np.searchsorted(rows, lines.stop)] - lines.start
            band = np.zeros((len(inside), n_genes), dtype=np.int32)
        places = target[columns]
        held = np.flatnonzero(places >= 0)
        _check(counts, kernels.gather_dense(tile, inside, held, places[held], limit, band), tile)
    flush()
    return pairs, ptr


def _joined(parts: list[Part]) -> Pieces:
    """Return the parts one after the other, in the memory of the first of them."""
    ends = np.concatenate([[0], *(np.diff(ptr) for _, ptr in parts)]).cumsum()
    whole = parts[0][0]
    whole.resize(int(ends[-1]))
    joined = [array[: ends[-1]] for array in whole.arrays()]
    start = whole.filled
    for pairs, _ in parts[1:]:
        for target, source in zip(joined, pairs.arrays(), strict=True):
            target[start : start + pairs.filled] = source[: pairs.filled]
        start += pairs.filled
    return joined[0], joined[1], ends


def _by_rows(counts: Counts, held: Pieces, target: np.ndarray, n_rows: int) -> Pieces:
    """Return gathered columns as rows, the gene of each column being its `target`; threads share the rows."""
    from opbench.panels import kernels

    order = np.argsort(target, kind="stable")
    edges = np.linspace(0, n_rows, WORKERS + 1).astype(np.int64)
    sizes = np.zeros(n_rows, dtype=np.int64)

    def turn(*out: np.ndarray) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            turned = [
                pool.submit(kernels.columns_to_rows, *held, order, target[order], first, last, sizes, *out)
                for first, last in pairwise(edges)
            ]
            for status in turned:
                _check(counts, status.result(), np.empty(0))

    nothing = np.empty(0, dtype=np.int32)
    turn(nothing, nothing, np.empty(0, dtype=np.int64))
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    genes, values = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=np.int32)
    turn(genes, values, indptr[:-1].copy())
    return genes, values, indptr


def _limit(counts: Counts) -> np.generic:
    kind = native(counts.values.dtype)
    if kind.kind == "f":
        return kind.type(np.nextafter(kind.type(LARGEST + 1), kind.type(0)))
    return kind.type(min(LARGEST, np.iinfo(kind).max))


def _check(counts: Counts, status: int, values: np.ndarray, indices: np.ndarray | None = None) -> None:
    from opbench.panels import kernels

    if status == kernels.BAD_INDEX and indices is not None:
        size = counts.shape[counts.layout == "csr"]
        bad = indices[(indices < 0) | (indices >= size)][0]
        raise InputError(
            f"{counts.source}/indices: holds {bad}, outside 0 to {size - 1}, so the matrix is damaged; get the file "
            "again."
        )
    if status == kernels.BAD_VALUE and not is_count(values).all():
        raise no_count(counts, values)
    if status != kernels.OK:
        raise InputError(
            f"{counts.source}: the sum of a repeated gene's counts is beyond {LARGEST} in a cell; correct the file, or "
            "set 'duplicates: error'."
        )

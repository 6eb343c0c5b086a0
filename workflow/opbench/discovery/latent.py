"""Counts of a file to latent coordinates in one pass: nothing but a block of cells is in memory.

A cell's z is W(xA - b) with x its log1p of counts per 10,000 of the full library, all genes of the file; A and W are
folded to one (G, d) map before, so that a cell costs its expressed genes alone.
"""

from dataclasses import dataclass
from functools import partial
from threading import Event

import numpy as np
from scipy.sparse import csr_matrix

from opbench.panels.build import log1p_cp10k
from opbench.panels.matrix import Counts
from opbench.panels.scan import _check, _limit, gather, totals
from opbench.panels.stream import blocks, element_ranges, in_parts, tiles

#: Stored elements of the wanted columns of a CSC file that are turned to rows at once (64 MB and as much to turn them).
ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Folded:
    """z = x @ weight + offset: weight (G, d) and offset (d,), float64."""

    weight: np.ndarray
    offset: np.ndarray

    def latent(self, log1p: csr_matrix) -> np.ndarray:
        """Latent (n, d) float32 of cells (n, G)."""
        return (log1p @ self.weight + self.offset).astype(np.float32)


@dataclass(frozen=True)
class Latent:
    """Latent (n, d) float32, and library size and number of expressed genes of the map (n,) of every cell of a file.

    A cell without counts has no log1p(CP10k): its latent is NaN.
    """

    z: np.ndarray
    library: np.ndarray
    expressed: np.ndarray


def latent(counts: Counts, target: np.ndarray, folded: Folded) -> Latent:
    """Read a matrix once (CSC twice) and map its cells; column j of it is gene `target[j]` of the map, or none (-1).

    Columns of one gene are added up. Raises InputError for a value that is no count and for a damaged file.
    """
    n = counts.shape[0]
    found = Latent(
        np.full((n, len(folded.offset)), np.nan, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
    )  # fmt: skip
    target = target.astype(np.int32)
    if counts.layout == "csc":
        return _by_genes(counts, target, folded, found)
    work = _sparse_rows if counts.layout == "csr" else _dense_rows
    in_parts(counts, np.arange(n), partial(work, counts, target, folded, found))
    return found


def _map(found: Latent, folded: Folded, first: int, part: csr_matrix) -> None:
    """Write the latent of the counts of cells [first, first + n)."""
    rows = slice(first, first + part.shape[0])
    library = found.library[rows]
    # A cell without counts has no elements either, so that what its scale is does not matter.
    z = folded.latent(log1p_cp10k(part, np.maximum(library, 1)))
    z[library == 0] = np.nan
    found.z[rows], found.expressed[rows] = z, np.diff(part.indptr)


def _sparse_rows(
    counts: Counts, target: np.ndarray, folded: Folded, found: Latent, rows: np.ndarray, stop: Event
) -> None:
    from opbench.panels import kernels

    n_genes, limit, at, indptr = len(folded.weight), _limit(counts), 0, counts.indptr
    wanted, detected = (target >= 0).astype(np.uint8), np.zeros(counts.shape[0], np.int64)
    sums, bits = np.zeros(n_genes, np.int64), np.zeros(n_genes // 64 + 1, np.uint64)
    ranges = element_ranges(counts, rows)
    room = max((part.stop - part.start for (part,) in ranges), default=0) + n_genes
    gene, count, ptr = np.empty(room, np.int32), np.empty(room, np.int32), np.zeros(len(rows) + 1, np.int64)
    for (part,), (values, indices) in blocks(counts, ranges, stop):
        first = max(int(np.searchsorted(indptr, part.start, "right")) - 1, int(rows[0]))
        last = min(int(np.searchsorted(indptr, part.stop, "left")), int(rows[-1]) + 1)
        where = (part.start, indptr, first, last, limit, counts.shape[1])
        _check(counts, kernels.row_totals(values, indices, *where, found.library, detected), values, indices)
        ptr[at] = 0  # the cells before are mapped, and their memory is used again
        start = at
        state = (part.start, indptr, rows, at, target, wanted, limit, sums, bits, gene, count, ptr, 0)
        at, filled, status = kernels.gather_rows(values, indices, *state)
        _check(counts, status, values, indices)
        held = (count[:filled], gene[:filled], ptr[start : at + 1])
        _map(found, folded, int(rows[start]), csr_matrix(held, shape=(at - start, n_genes)))


def _dense_rows(
    counts: Counts, target: np.ndarray, folded: Folded, found: Latent, rows: np.ndarray, stop: Event
) -> None:
    from opbench.panels import kernels

    n_genes, limit, detected = len(folded.weight), _limit(counts), np.zeros(counts.shape[0], np.int64)
    for (lines, columns), (tile,) in blocks(counts, tiles(counts, rows, None, n_genes), stop):
        if columns.start == 0:
            band = np.zeros((lines.stop - lines.start, n_genes), np.int32)
        _check(counts, kernels.dense_totals(tile, limit, found.library[lines], detected[lines]), tile)
        places = target[columns]
        held = np.flatnonzero(places >= 0)
        status = kernels.gather_dense(tile, np.arange(len(tile)), held, places[held], limit, band)
        _check(counts, status, tile)
        if columns.stop == counts.shape[1]:
            _map(found, folded, lines.start, csr_matrix(band))


def _by_genes(counts: Counts, target: np.ndarray, folded: Folded, found: Latent) -> Latent:
    """CSC: libraries in a first pass; then some genes at a time, each with all its columns, are added to z."""
    found.library[:] = totals(counts)[0]
    rows, n_genes = np.arange(counts.shape[0]), len(folded.weight)
    z = np.zeros(found.z.shape) + folded.offset
    for genes in _gene_batches(target, np.diff(counts.indptr), n_genes):
        place = np.full(n_genes + 1, -1, np.int32)  # the last is that of columns without a gene
        place[genes] = np.arange(len(genes))
        part = gather(counts, rows, place[target], len(genes))
        z += log1p_cp10k(part, np.maximum(found.library, 1)) @ folded.weight[genes]
        found.expressed[:] += np.diff(part.indptr)
    found.z[:] = np.where(found.library[:, None] > 0, z, np.nan)
    return found


def _gene_batches(target: np.ndarray, sizes: np.ndarray, n_genes: int) -> list[np.ndarray]:
    """Genes in the order of their first column, cut where a batch has ELEMENTS stored values."""
    columns = np.flatnonzero(target >= 0)
    held, first = np.unique(target[columns], return_index=True)
    genes = held[np.argsort(first)]
    stored = np.bincount(target[columns], sizes[columns], n_genes)[genes]
    return [part for part in np.split(genes, np.flatnonzero(np.diff(np.cumsum(stored) // ELEMENTS)) + 1) if len(part)]

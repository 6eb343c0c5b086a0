"""From expression rows to token sequences: two conventions by name, value bins, batches.

`operator`: non-zero genes by descending value (ties by gene index), no `<cls>`, capped, log1p(CP10k) values.
`operator_binned`: the same positions with 51-bin values.
`embedding`: as the released code: `<cls>` first with the pad value, bins, a random sample above the cap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from opbench.io.seeds import keyed_rng

Convention = Literal["operator", "operator_binned", "embedding"]
#: Value at `<cls>` and at padded positions (`pad_value` of the released args.json).
PAD_VALUE = -2.0
#: Column of the `<cls>` token in a token table.
CLS_COLUMN = -1


@dataclass(frozen=True)
class TokenTable:
    """Ragged tokens: those of cell r are at [indptr[r], indptr[r + 1]).

    `columns` are gene columns, -1 for `<cls>`; `values` are log1p values or bins.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per cell."""
        return np.diff(self.indptr)


@dataclass(frozen=True)
class Packed:
    """The tokens of the cells `rows` (B,) one after another, (N,) each, without padding; `lengths` (B,) are theirs."""

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    columns: NDArray[np.int32]
    gene_ids: NDArray[np.int64]
    values: NDArray[np.float32]

    @property
    def spans(self) -> list[slice]:
        """Where each cell's tokens lie."""
        ends = np.cumsum(self.lengths).tolist()
        return [slice(end - length, end) for end, length in zip(ends, self.lengths.tolist(), strict=True)]


@dataclass(frozen=True)
class Batch:
    """Padded tokens of the cells `rows` (B,), each (B, T); `columns` is -1 where there is no gene."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int32]
    gene_ids: NDArray[np.int64]
    values: NDArray[np.float32]
    padding: NDArray[np.bool_]


def bin_ranges(values: NDArray, n_bins: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest bin that each non-zero value of one cell may get.

    Bin edges are the cell's quantiles at linspace(0, 1, n_bins - 1); equal values that span several edges
    may fall into any bin between them. Bins run from 1 to n_bins - 1.
    """
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    values = np.asarray(values, dtype=np.float64)
    edges = np.quantile(values, np.linspace(0, 1, n_bins - 1))
    high = np.searchsorted(edges, values, side="right")
    return np.minimum(np.searchsorted(edges, values, side="left") + 1, high), high


def draw_bins(low: NDArray, high: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """One uniform bin in [low, high] for each value: how ties are spread."""
    return high - (rng.random(len(high)) * (high - low + 1)).astype(np.int64)


def bin_values(values_nonzero: NDArray, n_bins: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Bins (1 to n_bins - 1) of one cell's non-zero values, ties spread at random; zeros are never tokens."""
    return draw_bins(*bin_ranges(values_nonzero, n_bins), rng)


def tokenise(
    columns: NDArray,
    values: NDArray,
    cell_id: str,
    convention: Convention,
    max_length: int,
    seed: int,
    n_bins: int = 51,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Token columns and values of one cell from its non-zero entries (any order).

    Randomness is keyed by (seed, cell_id), so a cell gives the same bits in every batch and order.
    """
    order = np.argsort(columns)
    columns, values = np.asarray(columns)[order].astype(np.int32), np.asarray(values)[order]
    rng = keyed_rng(seed, "tokens", cell_id)
    if convention == "embedding":
        bins = bin_values(values, n_bins, rng)
        if len(columns) > max_length - 1:
            kept = np.sort(rng.choice(len(columns), max_length - 1, replace=False))
            columns, bins = columns[kept], bins[kept]
        head = np.array([CLS_COLUMN], np.int32), np.array([PAD_VALUE], np.float32)
        return np.concatenate([head[0], columns]), np.concatenate([head[1], bins.astype(np.float32)])
    # Stable sort of ascending columns: equal values stay in gene order.
    kept = np.argsort(-values, kind="stable")[:max_length]
    if convention == "operator_binned":
        values = bin_values(values, n_bins, rng)
    return columns[kept], values[kept].astype(np.float32)


def tokenise_cells(
    log1p: csr_matrix,
    cell_ids: Sequence[str],
    convention: Convention,
    max_length: int,
    seed: int,
    n_bins: int = 51,
) -> TokenTable:
    """Tokenise every row of `log1p` (n, G); explicit zeros are dropped."""
    columns, values = [], []
    for row, cell_id in enumerate(cell_ids):
        span = slice(log1p.indptr[row], log1p.indptr[row + 1])
        nonzero = log1p.data[span] != 0
        cell = log1p.indices[span][nonzero], log1p.data[span][nonzero]
        token_columns, token_values = tokenise(*cell, cell_id, convention, max_length, seed, n_bins)
        columns.append(token_columns)
        values.append(token_values)
    indptr = np.concatenate([[0], np.cumsum([len(c) for c in columns])]).astype(np.int64)
    if not columns:
        return TokenTable(indptr, np.empty(0, np.int32), np.empty(0, np.float32))
    return TokenTable(indptr, np.concatenate(columns), np.concatenate(values))


def plan_batches(lengths: NDArray, order: NDArray, batch_tokens: int) -> list[NDArray[np.int64]]:
    """Cut `order` (rows by about ascending length) into batches of at most `batch_tokens` padded tokens.

    A single cell longer than that is a batch of its own; cells without tokens are in no batch.
    """
    plan: list[NDArray[np.int64]] = []
    order = order[lengths[order] > 0]
    start = 0
    for stop in range(1, len(order) + 1):
        full = stop == len(order) or (stop + 1 - start) * lengths[order[start : stop + 1]].max() > batch_tokens
        if full:
            plan.append(order[start:stop])
            start = stop
    return plan


def pad_batch(table: TokenTable, rows: NDArray, ids: NDArray, cls_id: int, pad_id: int) -> Batch:
    """Pad the tokens of `rows`; `ids` (G,) maps gene columns to vocabulary ids."""
    lengths = table.lengths[rows]
    position = np.arange(lengths.max())
    padding = position >= lengths[:, None]
    source = np.where(padding, 0, table.indptr[rows][:, None] + position)
    columns = np.where(padding, CLS_COLUMN, table.columns[source])
    # Column -1 reads the last entry, which is <cls>.
    gene_ids = np.where(padding, pad_id, np.append(ids, cls_id)[columns])
    values = np.where(padding, np.float32(PAD_VALUE), table.values[source])
    return Batch(rows, columns, gene_ids, values, padding)


def in_gene_order(table: TokenTable) -> TokenTable:
    """The same tokens with each cell's in ascending gene column, `<cls>` first.

    The encoder knows no positions, so the order of a cell's tokens says nothing: sorting by value in the
    `operator` conventions decides which are kept.
    """
    rows = np.repeat(np.arange(len(table.lengths)), table.lengths)
    order = np.lexsort((table.columns, rows))
    return TokenTable(table.indptr, table.columns[order], table.values[order])


def packed(table: TokenTable, ids: NDArray, cls_id: int, batch_tokens: int) -> Iterator[Packed]:
    """The cells in their order, cut into batches of at most `batch_tokens` tokens or one cell; empty cells in none."""
    lengths = table.lengths
    rows = np.flatnonzero(lengths)
    names = np.append(ids, cls_id)  # column -1 reads the last entry
    start = 0
    while start < len(rows):
        fitting = np.searchsorted(np.cumsum(lengths[rows[start:]]), batch_tokens, side="right")
        stop = start + max(1, int(fitting))
        span = slice(table.indptr[rows[start]], table.indptr[rows[stop - 1] + 1])
        columns = table.columns[span]
        chosen = rows[start:stop]
        yield Packed(chosen, lengths[chosen], columns, names[columns], table.values[span])
        start = stop

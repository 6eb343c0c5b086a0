"""Masked-value prediction: what is hidden, how well it is predicted, and what needs no model to predict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from opbench.io.seeds import keyed_rng
from opbench.models.checkpoint import CLS, PAD
from opbench.models.corpus import Corpus
from opbench.models.tokens import PAD_VALUE, TokenTable, bin_ranges, draw_bins, pad_batch, plan_batches
from opbench.models.transformer import ScGPT

#: Value at masked positions (`mask_value` of the released args.json).
MASK_VALUE = -1.0


@dataclass(frozen=True)
class BinRanges:
    """Bins that each non-zero entry of a corpus may get: `low`, `high` (nnz,) beside CSR `indptr`, `columns`."""

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    low: NDArray[np.int16]
    high: NDArray[np.int16]

    @property
    def expected(self) -> NDArray[np.float64]:
        """Mean bin over the random ties."""
        return (self.low.astype(np.float64) + self.high) / 2

    @property
    def tie_variance(self) -> NDArray[np.float64]:
        """Variance of a uniform draw among the tied bins: no predictor's squared error is lower on average."""
        return ((self.high - self.low + 1.0) ** 2 - 1) / 12


@dataclass(frozen=True)
class MaskedCells:
    """Tokens of the `embedding` convention; `mask` and `tie_variance` are (tokens,), those of `table`."""

    table: TokenTable
    mask: NDArray[np.bool_]
    tie_variance: NDArray[np.float64]


def corpus_bins(corpus: Corpus, n_bins: int) -> BinRanges:
    """Bin ranges of every cell of a corpus; quantiles are over all its non-zero genes there."""
    matrix = corpus.log1p
    low, high = np.empty((2, matrix.nnz), dtype=np.int16)
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        low[start:stop], high[start:stop] = bin_ranges(matrix.data[start:stop], n_bins)
    return BinRanges(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), low, high)


def take_cells(bins: BinRanges, rows: NDArray) -> BinRanges:
    """The bin ranges of the cells `rows`, in that order."""
    lengths = np.diff(bins.indptr)[rows]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    source = np.arange(indptr[-1]) + np.repeat(bins.indptr[rows] - indptr[:-1], lengths)
    return BinRanges(indptr, bins.columns[source], bins.low[source], bins.high[source])


def masked_cells(bins: BinRanges, max_length: int, ratio: float, rng: np.random.Generator) -> MaskedCells:
    """Draw tie bins, a sample of at most `max_length` tokens a cell, and a mask over a share of the genes.

    One stream serves all cells, which is what makes an epoch cheap; it is keyed by its epoch.
    """
    lengths = np.diff(bins.indptr)
    starts = bins.indptr[:-1]
    values = draw_bins(bins.low.astype(np.int64), bins.high.astype(np.int64), rng)
    kept = np.ones(len(values), dtype=bool)
    for row in np.flatnonzero(lengths > max_length - 1):
        dropped = rng.choice(lengths[row], lengths[row] - (max_length - 1), replace=False)
        kept[starts[row] + dropped] = False
    mask = kept & (rng.random(len(values)) < ratio)
    # A slot for <cls> goes before the first gene of every cell.
    lengths = np.add.reduceat(np.append(kept, False).astype(np.int64), starts) * (lengths > 0)
    indptr = np.concatenate([[0], np.cumsum(lengths + 1)]).astype(np.int64)
    genes = np.ones(indptr[-1], dtype=bool)
    genes[indptr[:-1]] = False

    def spread(source: NDArray, fill: float, dtype: type) -> NDArray:
        out = np.full(indptr[-1], fill, dtype=dtype)
        out[genes] = source[kept]
        return out

    table = TokenTable(indptr, spread(bins.columns, -1, np.int32), spread(values, PAD_VALUE, np.float32))
    return MaskedCells(table, spread(mask, False, bool), spread(bins.tie_variance, 0.0, np.float64))


@dataclass(frozen=True)
class MaskedBatch:
    """Tensors of one padded batch: true `values`, `shown` ones (masked positions -1) and `mask`, each (B, T)."""

    gene_ids: Tensor
    values: Tensor
    shown: Tensor
    padding: Tensor
    mask: Tensor
    columns: NDArray[np.int32]


def masked_batches(
    cells: MaskedCells, ids: NDArray, vocab: Mapping[str, int], plan: list[NDArray], device: torch.device
) -> Iterator[MaskedBatch]:
    """Pad the cells of each entry of `plan`; batches without a masked token are skipped."""
    # The mask is padded as if it were the values; padding is then switched off.
    masks = TokenTable(cells.table.indptr, cells.table.columns, cells.mask.astype(np.float32))
    for rows in plan:
        batch = pad_batch(cells.table, rows, ids, vocab[CLS], vocab[PAD])
        mask = (pad_batch(masks, rows, ids, vocab[CLS], vocab[PAD]).values > 0) & ~batch.padding
        if not mask.any():
            continue
        arrays = (
            batch.gene_ids,
            batch.values,
            np.where(mask, np.float32(MASK_VALUE), batch.values),
            batch.padding,
            mask,
        )
        yield MaskedBatch(*(torch.as_tensor(a, device=device) for a in arrays), columns=batch.columns)


def predict_masked(model: ScGPT, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
    """Decoder and MVC predictions at the masked positions, each (masked,)."""
    hidden = model.encode(batch.gene_ids, batch.shown, batch.padding)
    mvc = model.mvc(model.cell_embedding(hidden), batch.gene_ids)
    return model.decode(hidden[batch.mask]), mvc[batch.mask]


@torch.no_grad()
def masked_errors(
    model: ScGPT,
    cells: MaskedCells,
    ids: NDArray,
    vocab: Mapping[str, int],
    gene_means: NDArray[np.float64],
    batch_tokens: int,
) -> dict[str, float]:
    """Mean squared errors, in squared bins, over all masked tokens of `cells`.

    `decoder` and `mvc` are the model's, `gene_mean` that of predicting `gene_means` (G,), and `tie_noise` the
    expected variance of the random tie bins: the floor of all of them.
    """
    lengths = cells.table.lengths
    plan = plan_batches(lengths, np.argsort(lengths, kind="stable"), batch_tokens)
    total = dict.fromkeys(("decoder", "mvc", "gene_mean"), 0.0)
    count = 0
    for batch in masked_batches(cells, ids, vocab, plan, model.device):
        truth = batch.values[batch.mask].double()
        decoded, mvc = predict_masked(model, batch)
        mean = torch.as_tensor(gene_means[batch.columns[batch.mask.cpu().numpy()]], device=model.device)
        for name, guess in (("decoder", decoded), ("mvc", mvc), ("gene_mean", mean)):
            total[name] += float(((guess - truth) ** 2).sum())
        count += len(truth)
    floor = float(cells.tie_variance[cells.mask].mean())
    return {name: value / count for name, value in total.items()} | {"tie_noise": floor}


def gene_mean_bins(bins: BinRanges, n_genes: int) -> NDArray[np.float64]:
    """Mean bin of each gene over the cells in which it is non-zero (G,); the overall mean where there is none."""
    total = np.bincount(bins.columns, bins.expected, n_genes)
    count = np.bincount(bins.columns, minlength=n_genes)
    return np.where(count > 0, total / np.maximum(count, 1), bins.expected.mean())


def validation_rng(seed: int) -> np.random.Generator:
    """The stream of the validation cells' ties, samples and masks."""
    return keyed_rng(seed, "validation-masks")

"""Summed post-softmax attention over corpus cells: what the published operator is (extraction.md B.2).

Rows are query genes, columns key genes. Sums are never divided by co-tokenisation counts, so under the
`operator` conventions each row sums to the number of cells in which its gene was a token.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import GENES, read_table
from opbench.models.checkpoint import CLS, PAD, read_checkpoint
from opbench.models.corpus import read_corpus
from opbench.models.tokens import Batch, Convention, TokenTable, batches, tokenise_cells
from opbench.models.transformer import ScGPT, load_model

log = logging.getLogger("opbench.models")

#: Attention entries (cells x heads x tokens x tokens) that one batch may hold: 64 MB in float32.
ATTENTION_ENTRIES = 16_000_000
TENSORS = ("sums", "cotokenised", "tokenised")


@dataclass(frozen=True)
class AttentionSums:
    """Summed attention over G genes and how it was made.

    `sums` (L, H, G, G) float32; `cotokenised` (G, G) int32, cells in which both genes were tokens;
    `tokenised` (G,) int64, its diagonal; `cells` and `genes` in order; `metadata` JSON-able.
    """

    sums: NDArray[np.float32]
    cotokenised: NDArray[np.int32]
    tokenised: NDArray[np.int64]
    cells: list[str]
    genes: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)


@torch.no_grad()
def accumulate_attention(
    model: ScGPT,
    vocab: Mapping[str, int],
    log1p: csr_matrix,
    genes: Sequence[str],
    cell_ids: Sequence[str],
    convention: Convention = "operator",
    max_length: int = 1200,
    seed: int = 0,
    n_bins: int = 51,
) -> AttentionSums:
    """Sum attention over the cells of `log1p` (n, G), streamed: only one batch's attention is ever held.

    Genes that the model does not know are no tokens. `<cls>` positions (`embedding` convention) are dropped,
    so rows then sum to a little less than `tokenised`.
    """
    known = np.array([gene in vocab for gene in genes])
    if not known.any():
        raise InputError(f"gene list: the model knows none of the {len(genes)} genes; check that they are symbols.")
    if not known.all():
        log.info("%d of %d genes are unknown to the model and are no tokens", (~known).sum(), len(genes))
        log1p = log1p.multiply(known).tocsr()
    ids = np.array([vocab.get(gene, vocab[PAD]) for gene in genes], dtype=np.int64)
    table = tokenise_cells(log1p, cell_ids, convention, max_length, seed, n_bins)
    counts = _cotokenised(table, len(genes))
    sums = torch.zeros(model.layers, model.heads, len(genes) ** 2, device=model.device)
    longest = int(table.lengths.max(initial=1))
    budget = max(1, ATTENTION_ENTRIES // (model.heads * longest**2)) * longest
    for batch in batches(table, ids, vocab[CLS], vocab[PAD], batch_tokens=budget):
        _add_batch(model, batch, sums, len(genes))
    shape = (model.layers, model.heads, len(genes), len(genes))
    metadata = {"seed": seed, "convention": convention, "max_length": max_length, "n_bins": n_bins}
    return AttentionSums(
        sums=sums.view(shape).cpu().numpy(),
        cotokenised=counts,
        tokenised=np.diagonal(counts).astype(np.int64),
        cells=list(map(str, cell_ids)),
        genes=list(genes),
        metadata=metadata,
    )


def _add_batch(model: ScGPT, batch: Batch, sums: Tensor, n_genes: int) -> None:
    columns = torch.as_tensor(batch.columns, dtype=torch.int64, device=model.device)
    # Only gene positions take part: `<cls>` and padding have column -1.
    kept = [torch.nonzero(row >= 0).squeeze(1) for row in columns]
    targets = [(row[k, None] * n_genes + row[None, k]).flatten() for row, k in zip(columns, kept, strict=True)]

    def add(layer: int, attention: Tensor) -> None:
        for cell, (k, target) in enumerate(zip(kept, targets, strict=True)):
            block = attention[cell][:, k[:, None], k[None, :]].flatten(1)
            for head in range(len(block)):
                sums[layer, head].index_add_(0, target, block[head])

    model.encode(
        torch.as_tensor(batch.gene_ids, device=model.device),
        torch.as_tensor(batch.values, device=model.device),
        torch.as_tensor(batch.padding, device=model.device),
        on_attention=add,
    )


def _cotokenised(table: TokenTable, n_genes: int) -> NDArray[np.int32]:
    rows = np.repeat(np.arange(len(table.lengths)), table.lengths)
    genes = table.columns >= 0
    ones = np.ones(int(genes.sum()), dtype=np.int32)
    tokens = csr_matrix((ones, (rows[genes], table.columns[genes])), shape=(len(table.lengths), n_genes))
    return (tokens.T @ tokens).toarray()


def save_attention(attention: AttentionSums, path: str | Path) -> None:
    """Write as safetensors; genes, cells and metadata go into its JSON header."""
    from safetensors.numpy import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"genes": attention.genes, "cells": attention.cells, "metadata": attention.metadata}
    tensors = {name: np.ascontiguousarray(getattr(attention, name)) for name in TENSORS}
    save_file(tensors, path, metadata={"opbench": json.dumps(header, sort_keys=True)})


def load_attention(path: str | Path) -> AttentionSums:
    """Read what `save_attention` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["opbench"])
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no attention file ({error}); delete it and run again.") from error
    return AttentionSums(**tensors, **header)


def accumulate_panel_attention(
    checkpoint_dir: str | Path,
    corpus_h5ad: str | Path,
    genes_parquet: str | Path,
    settings: Operators,
    output: str | Path,
) -> None:
    """Stage: sum attention over `settings.cells` corpus cells, drawn by seed, on a panel's genes."""
    checkpoint = read_checkpoint(checkpoint_dir)
    genes = read_table(genes_parquet, GENES).sort_values("rank")["gene"].tolist()
    corpus = read_corpus(corpus_h5ad, genes)
    total = len(corpus.cell_ids)
    if total < settings.cells:
        raise InputError(
            f"{corpus_h5ad}: has {total} corpus cells but operators.cells is {settings.cells}; lower it or "
            "widen the dataset's corpus filter."
        )
    drawn = keyed_rng(settings.seed, "operator-cells").choice(total, settings.cells, replace=False)
    corpus = corpus.take(np.sort(drawn))
    attention = accumulate_attention(
        load_model(checkpoint),
        checkpoint.vocab,
        corpus.log1p,
        genes,
        corpus.cell_ids.tolist(),
        convention=settings.convention,
        max_length=settings.max_length,
        seed=settings.seed,
        n_bins=checkpoint.args.get("n_bins", 51),
    )
    attention.metadata.update(model_digest=checkpoint.digest, corpus_digest=corpus.digest)
    save_attention(attention, output)
    log.info(
        "attention over %d cells: %d of %d genes never tokenised, %.1f %% of pairs co-tokenised",
        settings.cells,
        (attention.tokenised == 0).sum(),
        len(genes),
        100 * (attention.cotokenised > 0).mean(),
    )

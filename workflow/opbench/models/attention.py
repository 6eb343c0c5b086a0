"""Summed post-softmax attention over corpus cells: what the published operator is (extraction.md B.2).

Rows are query genes, columns key genes. Sums are never divided by co-tokenisation counts, so under the
`operator` conventions each row sums to the number of cells in which its gene was a token.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import GENES, read_table
from opbench.models.accumulate import AttentionAccumulator
from opbench.models.attention_file import AttentionSums, load_attention, save_attention
from opbench.models.checkpoint import CLS, read_checkpoint
from opbench.models.corpus import read_corpus
from opbench.models.coverage import gene_ids
from opbench.models.device import choose_device
from opbench.models.tokens import Convention, TokenTable, in_gene_order, packed, tokenise_cells
from opbench.models.transformer import ScGPT, load_model

__all__ = ["AttentionSums", "accumulate_attention", "accumulate_panel_attention", "load_attention", "save_attention"]

log = logging.getLogger("opbench.models")

#: Tokens run through the encoder at once: enough for full matrix products, few enough to stay near the processor.
BATCH_TOKENS = 2400
#: The drift is taken between three equal blocks of layers (decision 4 of the design).
BLOCKS = 3


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
    """Sum attention over the cells of `log1p` (n, G), streamed: one head's attention of a cell or so is held.

    Genes that the model does not know are no tokens; too few known ones are an InputError. `<cls>` positions
    (`embedding` convention) are dropped, so rows then sum to a little less than `tokenised`. Cells are added in
    their order: another order differs by rounding, other batches (of a dozen tokens or more) on a processor not at all.
    """
    ids, known = gene_ids(genes, vocab)
    if not known.all():
        log.info("%d of %d genes are unknown to the model and are no tokens", (~known).sum(), len(genes))
        log1p = log1p.multiply(known).tocsr().astype(np.float32)
        log1p.eliminate_zeros()
    table = in_gene_order(tokenise_cells(log1p, cell_ids, convention, max_length, seed, n_bins))
    accumulator = AttentionAccumulator(model, len(genes), int(table.lengths.max(initial=1)))
    for batch in packed(table, ids, vocab[CLS], BATCH_TOKENS):
        accumulator.add(batch)
    counts = _cotokenised(table, len(genes))
    shape = (model.layers, model.heads, len(genes), len(genes))
    metadata = {"seed": seed, "convention": convention, "max_length": max_length, "n_bins": n_bins}
    return AttentionSums(
        sums=accumulator.sums.view(shape).cpu().numpy(),
        cotokenised=counts,
        tokenised=np.diagonal(counts).astype(np.int64),
        log1p=log1p,
        cells=list(map(str, cell_ids)),
        genes=list(genes),
        metadata=metadata,
    )


def _cotokenised(table: TokenTable, n_genes: int) -> NDArray[np.int32]:
    rows = np.repeat(np.arange(len(table.lengths)), table.lengths)
    genes = table.columns >= 0
    ones = np.ones(int(genes.sum()), dtype=np.int32)
    tokens = csr_matrix((ones, (rows[genes], table.columns[genes])), shape=(len(table.lengths), n_genes))
    return (tokens.T @ tokens).toarray()


def accumulate_panel_attention(
    checkpoint_dir: str | Path,
    corpus_h5ad: str | Path,
    genes_parquet: str | Path,
    settings: Operators,
    output: str | Path,
    device: str = "cpu",
) -> None:
    """Stage: sum attention over `settings.cells` corpus cells, drawn by seed, on a panel's genes."""
    chosen = choose_device(device)
    checkpoint = read_checkpoint(checkpoint_dir)
    if (layers := checkpoint.args["nlayers"]) % BLOCKS:
        raise InputError(
            f"{checkpoint_dir}/args.json: 'nlayers' is {layers}, which is no multiple of {BLOCKS}, so that the drift "
            "between three equal blocks is not defined; use another model."
        )
    genes = read_table(genes_parquet, GENES).sort_values("rank")["gene"].tolist()
    gene_ids(genes, checkpoint.vocab, str(genes_parquet))
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
        load_model(checkpoint, chosen),
        checkpoint.vocab,
        corpus.log1p,
        genes,
        corpus.cell_ids.tolist(),
        convention=settings.convention,
        max_length=settings.max_length,
        seed=settings.seed,
        n_bins=checkpoint.args.get("n_bins", 51),
    )
    attention.metadata.update(model_digest=checkpoint.digest, corpus_digest=corpus.digest, device=device)
    save_attention(attention, output)
    log.info(
        "attention over %d cells: %d of %d genes never tokenised, %.1f %% of pairs co-tokenised",
        settings.cells,
        (attention.tokenised == 0).sum(),
        len(genes),
        100 * (attention.cotokenised > 0).mean(),
    )

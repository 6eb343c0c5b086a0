"""Cell embeddings in the `embedding` convention (Cui et al. 2024, Nat Methods 21:1470; released code)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from opbench.models.checkpoint import CLS
from opbench.models.coverage import gene_ids
from opbench.models.tokens import Packed, packed, tokenise_cells
from opbench.models.transformer import ScGPT, cellwise_mixer

#: Tokens run through the encoder at once.
BATCH_TOKENS = 2400


@torch.no_grad()
def embed_cells(
    model: ScGPT,
    vocab: Mapping[str, int],
    expression: csr_matrix,
    genes: Sequence[str],
    cell_ids: Sequence[str],
    pool: Literal["cls", "mean"] = "cls",
    max_length: int = 1200,
    seed: int = 0,
    n_bins: int = 51,
    normalise: bool = True,
) -> NDArray[np.float32]:
    """Embed the cells of `expression` (n, G), counts or log1p values, into (n, d) float32.

    `cls` is the last layer at `<cls>`, `mean` its mean over a cell's gene tokens (0 without any); both are
    L2-normalised unless told otherwise, as the released code does. Values are binned among the genes that the model
    knows; too few known ones are an InputError. On one processor a cell's bits depend on its id, its values and
    `seed` alone, not on its batch: cells are packed without padding and attend to themselves. (A batch that holds
    fewer than a dozen tokens in all takes another matrix kernel and may differ by rounding, 1e-6.)
    """
    ids, known = gene_ids(genes, vocab)
    if not known.all():
        expression = expression.multiply(known).tocsr()
    table = tokenise_cells(expression, cell_ids, "embedding", max_length, seed, n_bins)
    out = np.zeros((len(cell_ids), model.encoder.embedding.embedding_dim), dtype=np.float32)
    for batch in packed(table, ids, vocab[CLS], BATCH_TOKENS):
        out[batch.rows] = _embed(model, batch, pool).cpu().numpy()
    if normalise:
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return out


def _embed(model: ScGPT, batch: Packed, pool: str) -> Tensor:
    gene_ids, values = (torch.as_tensor(a, device=model.device)[None] for a in (batch.gene_ids, batch.values))
    hidden = model.encode(gene_ids, values, mixer=cellwise_mixer(batch.lengths.tolist()))[0]
    if pool == "cls":
        return hidden[[span.start for span in batch.spans]]
    genes = (hidden[span.start + 1 : span.stop] for span in batch.spans)
    return torch.stack([tokens.sum(0) / max(len(tokens), 1) for tokens in genes])

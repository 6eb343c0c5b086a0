"""Cell embeddings in the `embedding` convention (Cui et al. 2024, Nat Methods 21:1470; released code)."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from opbench.config.model import Operators
from opbench.io.atomic import atomic
from opbench.models.checkpoint import CLS, read_checkpoint
from opbench.models.coverage import gene_ids
from opbench.models.device import choose_device
from opbench.models.tokens import Packed, packed, tokenise_cells
from opbench.models.transformer import ScGPT, cellwise_mixer, load_model
from opbench.panels.panel import read_panel

log = logging.getLogger("opbench.models")

Pool = Literal["cls", "mean"]
POOLS: tuple[Pool, ...] = ("cls", "mean")
#: Tokens run through the encoder at once.
BATCH_TOKENS = 2400
#: Cells of a panel that are embedded between two writes.
BLOCK_CELLS = 4096


def embed_cells(
    model: ScGPT,
    vocab: Mapping[str, int],
    expression: csr_matrix,
    genes: Sequence[str],
    cell_ids: Sequence[str],
    pool: Pool = "cls",
    max_length: int = 1200,
    seed: int = 0,
    n_bins: int = 51,
    normalise: bool = True,
) -> NDArray[np.float32]:
    """Embed the cells of `expression` (n, G), counts or log1p values, into (n, d) float32; see `embed_pools`."""
    args = (model, vocab, expression, genes, cell_ids, (pool,), max_length, seed, n_bins, normalise)
    return embed_pools(*args)[pool]


@torch.no_grad()
def embed_pools(
    model: ScGPT,
    vocab: Mapping[str, int],
    expression: csr_matrix,
    genes: Sequence[str],
    cell_ids: Sequence[str],
    pools: Sequence[Pool] = POOLS,
    max_length: int = 1200,
    seed: int = 0,
    n_bins: int = 51,
    normalise: bool = True,
) -> dict[Pool, NDArray[np.float32]]:
    """Embed the cells of `expression` (n, G), counts or log1p values, with one forward pass for all `pools`.

    Each pool is (n, d) float32. `cls` is the last layer at `<cls>`, `mean` its mean over a cell's gene tokens
    (0 without any); both are L2-normalised unless told otherwise, as the released code does. Values are binned among
    the genes that the model knows; too few known ones are an InputError. On one processor a cell's bits depend on its
    id, its values and `seed` alone, not on its batch: cells are packed without padding and attend to themselves. (A
    batch that holds fewer than a dozen tokens in all takes another matrix kernel and may differ by rounding, 1e-6.)
    """
    ids, known = gene_ids(genes, vocab)
    if not known.all():
        expression = expression.multiply(known).tocsr()
    table = tokenise_cells(expression, cell_ids, "embedding", max_length, seed, n_bins)
    shape = (len(cell_ids), model.encoder.embedding.embedding_dim)
    out = {pool: np.zeros(shape, dtype=np.float32) for pool in pools}
    for batch in packed(table, ids, vocab[CLS], BATCH_TOKENS):
        hidden = _encode(model, batch)
        for pool, values in out.items():
            values[batch.rows] = _pooled(hidden, batch, pool).cpu().numpy()
    for values in out.values() if normalise else ():
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return out


def _encode(model: ScGPT, batch: Packed) -> Tensor:
    """Last hidden states (N, d) of a batch of N tokens."""
    ids, values = (torch.as_tensor(a, device=model.device)[None] for a in (batch.gene_ids, batch.values))
    return model.encode(ids, values, mixer=cellwise_mixer(batch.lengths.tolist()))[0]


def _pooled(hidden: Tensor, batch: Packed, pool: Pool) -> Tensor:
    if pool == "cls":
        return hidden[[span.start for span in batch.spans]]
    genes = (hidden[span.start + 1 : span.stop] for span in batch.spans)
    return torch.stack([tokens.sum(0) / max(len(tokens), 1) for tokens in genes])


def embed_panel(
    folder: str | Path, panel: str, settings: Operators, outputs: Mapping[Pool, str | Path], device: str = "cpu"
) -> None:
    """Stage: write the cell embeddings of a panel by the checkpoint in `folder`, one `.npy` (n_cells, d) per pool.

    Tokens are the panel's genes by their log1p values, in the `embedding` convention (decision 1 of the design).
    Neither labels nor splits enter: the map is the same for every split, so it is computed once.
    """
    began = time.perf_counter()
    chosen = choose_device(device)
    checkpoint = read_checkpoint(folder)
    model = load_model(checkpoint, chosen)
    cells = read_panel(panel)
    expression, ids, genes = cells.layers["log1p"], cells.obs_names.to_list(), cells.var_names.to_list()
    n, n_bins = cells.n_obs, checkpoint.args.get("n_bins", 51)
    shape = (n, model.encoder.embedding.embedding_dim)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    # Written in order: a memory map on a full disk would end the process without a word.
    with ExitStack() as stack:
        files = {
            pool: stack.enter_context(open(stack.enter_context(atomic(path)), "wb")) for pool, path in outputs.items()
        }
        for file in files.values():
            np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, BLOCK_CELLS):
            part = slice(start, start + BLOCK_CELLS)
            blocks = embed_pools(
                model, checkpoint.vocab, expression[part], genes, ids[part], tuple(files),
                settings.max_length, settings.seed, n_bins,
            )  # fmt: skip
            for pool, block in blocks.items():
                files[pool].write(np.ascontiguousarray(block, dtype="<f4"))
            log.info("%d of %d cells embedded, %.0f s", min(part.stop, n), n, time.perf_counter() - began)

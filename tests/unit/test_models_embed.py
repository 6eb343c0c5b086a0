"""Cell embeddings: the released code's, and the same bits in any batch and order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix

from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.models import embed as module
from opbench.models.checkpoint import CLS, read_checkpoint
from opbench.models.embed import embed_cells
from opbench.models.tokens import TokenTable, tokenise_cells
from opbench.models.transformer import load_model

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
GENES = [f"GENE{i:04d}" for i in range(60)]
CELLS = [f"cell{i}" for i in range(30)]


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(FIXTURE)


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(checkpoint)


@pytest.fixture(scope="module")
def counts():
    rng = keyed_rng("embed-test")
    return csr_matrix(rng.poisson(rng.gamma(0.5, 3.0, (30, 60))).astype(np.float32))


def test_cls_is_what_the_public_code_computes(checkpoint, model, monkeypatch):
    """The fixture's cells through `embed_cells`, with its tokens in place of freshly drawn bins."""
    with np.load(FIXTURE / "forward.npz") as arrays:
        ids, values, padding, expected = (
            arrays[name] for name in ("gene_ids", "values", "padding", "cell_embedding_cls")
        )
    keep = ~padding
    genes = [token for token, _ in sorted(checkpoint.vocab.items(), key=lambda pair: pair[1])]
    columns = np.where(ids == checkpoint.vocab[CLS], -1, ids)[keep].astype(np.int32)
    table = TokenTable(np.concatenate([[0], np.cumsum(keep.sum(1))]), columns, values[keep])
    monkeypatch.setattr(module, "tokenise_cells", lambda *_: table)
    shape = csr_matrix((len(ids), len(genes)), dtype=np.float32)
    ours = embed_cells(model, checkpoint.vocab, shape, genes, CELLS[:6], normalise=False)
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    unit = embed_cells(model, checkpoint.vocab, shape, genes, CELLS[:6])
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_mean_is_over_gene_tokens_alone(checkpoint, model, counts):
    table = tokenise_cells(counts, CELLS, "embedding", 1200, 0)
    ours = embed_cells(model, checkpoint.vocab, counts, GENES, CELLS, "mean", normalise=False)
    for row in (0, 11):
        span = slice(table.indptr[row], table.indptr[row + 1])
        ids = [checkpoint.vocab[CLS], *(checkpoint.vocab[GENES[c]] for c in table.columns[span][1:])]
        hidden = model.encode(torch.tensor([ids]), torch.as_tensor(table.values[span])[None])[0]
        np.testing.assert_allclose(ours[row], hidden[1:].mean(0), atol=1e-5)
    empty = embed_cells(model, checkpoint.vocab, counts * 0, GENES, CELLS, "mean")
    assert not empty.any()


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_cell_has_the_same_bits_in_any_batch_and_order(checkpoint, model, counts, pool, monkeypatch):
    whole = embed_cells(model, checkpoint.vocab, counts, GENES, CELLS, pool)
    assert np.linalg.norm(whole[0] - whole[1]) > 0.01
    order = keyed_rng("embed-order").permutation(30)
    monkeypatch.setattr(module, "BATCH_TOKENS", 100)
    moved = embed_cells(model, checkpoint.vocab, counts[order], GENES, [CELLS[i] for i in order], pool)
    assert np.array_equal(moved, whole[order])
    monkeypatch.setattr(module, "BATCH_TOKENS", 1)  # one cell at a time
    np.testing.assert_allclose(
        embed_cells(model, checkpoint.vocab, counts, GENES, CELLS, pool), whole, rtol=0, atol=1e-6
    )


def test_unknown_genes_change_nothing_and_too_many_are_refused(checkpoint, model, counts):
    whole = embed_cells(model, checkpoint.vocab, counts, GENES, CELLS)
    strange = csr_matrix(np.hstack([counts.toarray(), np.full((30, 5), 9, np.float32)]))
    assert np.array_equal(embed_cells(model, checkpoint.vocab, strange, [*GENES, *"VWXYZ"], CELLS), whole)
    with pytest.raises(InputError, match=r"knows 20 of the 60 genes \(33%, at least 60% are needed\)"):
        embed_cells(model, checkpoint.vocab, counts, [*GENES[:20], *map(str, range(40))], CELLS)


def test_a_panel_is_embedded_in_blocks_into_one_file_per_pool(checkpoint, model, counts, tmp_path, monkeypatch):
    panel = AnnData(counts, pd.DataFrame(index=CELLS), pd.DataFrame(index=GENES), layers={"log1p": counts})
    monkeypatch.setattr(module, "read_panel", {"panel.h5ad": panel}.get)
    monkeypatch.setattr(module, "BLOCK_CELLS", 7)
    outputs = {pool: tmp_path / f"{pool}.npy" for pool in module.POOLS}
    settings = Operators(max_length=20, seed=3)
    module.embed_panel(FIXTURE, "panel.h5ad", settings, outputs)
    for pool, path in outputs.items():
        whole = embed_cells(
            model, checkpoint.vocab, counts, GENES, CELLS, pool, 20, 3, checkpoint.args.get("n_bins", 51)
        )
        found = np.load(path)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)
    assert np.abs(np.load(outputs["cls"]) - np.load(outputs["mean"])).max() > 0.01

"""Summed attention: row sums, support, and independence of batches and order."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import GENES, write_table
from opbench.models import accumulate
from opbench.models import attention as module
from opbench.models.attention import (
    accumulate_attention,
    accumulate_panel_attention,
    load_attention,
    save_attention,
)
from opbench.models.checkpoint import CLS, read_checkpoint
from opbench.models.tokens import tokenise
from opbench.models.transformer import load_model
from opbench.operators.export import build_operator

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
GENE_NAMES = [f"GENE{i:04d}" for i in range(30, 80)]


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(FIXTURE)


@pytest.fixture(scope="module")
def counts():
    rng = keyed_rng("attention-test")
    rate = np.where(np.arange(50) < 45, rng.gamma(0.5, 1.0, 50), 0)  # five genes are never seen
    return rng.poisson(rate, (24, 50)).astype(np.int32)


def total(checkpoint, counts, convention="operator", order=slice(None)):
    cells = np.array([f"cell{i}" for i in range(len(counts))])[order].tolist()
    log1p = csr_matrix(np.log1p(counts[order]).astype(np.float32))
    return accumulate_attention(load_model(checkpoint), checkpoint.vocab, log1p, GENE_NAMES, cells, convention, 12)


@pytest.mark.parametrize("convention", ["operator", "operator_binned"])
def test_row_sums_are_the_tokenised_counts_and_support_is_cotokenised(checkpoint, counts, convention):
    result = total(checkpoint, counts, convention)
    # Twelve genes at most: the highest values, ties by gene index.
    top = np.argsort(-counts, axis=1, kind="stable")[:, :12]
    tokens = np.zeros_like(counts)
    np.put_along_axis(tokens, top, 1, axis=1)
    tokens *= counts > 0
    assert (tokens.sum(0) < (counts > 0).sum(0)).any()
    assert np.array_equal(result.tokenised, tokens.sum(0))
    assert np.array_equal(result.cotokenised, tokens.T @ tokens)
    assert result.sums.shape == (3, 4, 50, 50)
    np.testing.assert_allclose(result.sums.sum(-1), np.broadcast_to(result.tokenised, (3, 4, 50)), rtol=1e-3)
    # A weight may underflow to 0 in one head, not in all of them.
    assert np.array_equal(result.sums.max((0, 1)) > 0, result.cotokenised > 0)
    assert (result.tokenised == 0).any()


def test_sums_are_those_of_single_cells_query_by_key(checkpoint, counts):
    model, maps = load_model(checkpoint), {}
    expected = np.zeros((3, 4, 50, 50))
    for cell in counts:
        genes = np.argsort(-cell, kind="stable")[: min(12, (cell > 0).sum())]
        ids = torch.tensor([[checkpoint.vocab[GENE_NAMES[g]] for g in genes]])
        values = torch.tensor(np.log1p(cell[genes])[None], dtype=torch.float32)
        model.encode(ids, values, torch.zeros_like(ids, dtype=torch.bool), on_attention=maps.__setitem__)
        for layer, weights in maps.items():
            expected[layer][:, genes[:, None], genes[None]] += weights[0].numpy()
    np.testing.assert_allclose(total(checkpoint, counts).sums, expected, atol=1e-4)


def test_cls_is_dropped_from_rows_and_columns(checkpoint, counts):
    result = total(checkpoint, counts, "embedding")
    seen = result.tokenised > 0
    rows = result.sums.sum(-1)[..., seen] / result.tokenised[seen]
    assert rows.max() < 1.0
    assert rows.mean() > 0.5
    assert result.tokenised.max() <= 24


def test_order_and_batching_do_not_matter(checkpoint, counts, monkeypatch):
    whole = total(checkpoint, counts, "operator_binned")
    monkeypatch.setattr(module, "BATCH_TOKENS", 50)
    assert np.array_equal(total(checkpoint, counts, "operator_binned").sums, whole.sums)
    again = total(checkpoint, counts, "operator_binned", keyed_rng("shuffle").permutation(24))
    assert np.array_equal(whole.cotokenised, again.cotokenised)
    np.testing.assert_allclose(whole.sums, again.sums, atol=1e-4)


@pytest.mark.parametrize("convention", ["operator", "embedding"])
@pytest.mark.parametrize("held", [1, 10**6], ids=["head-by-head", "all-heads"])
def test_cells_with_every_gene_add_the_explicit_attention(checkpoint, counts, convention, held, monkeypatch):
    monkeypatch.setattr(accumulate, "CPU_WEIGHTS", held)
    counts = counts + (np.arange(24) < 6)[:, None]  # six cells with every gene, the others with some
    cells = [f"cell{i}" for i in range(24)]
    log1p = csr_matrix(np.log1p(counts).astype(np.float32))
    model, maps, expected = load_model(checkpoint), {}, np.zeros((3, 4, 51, 51))
    result = accumulate_attention(model, checkpoint.vocab, log1p, GENE_NAMES, cells, convention, 60)
    names = np.array([checkpoint.vocab[name] for name in [*GENE_NAMES, CLS]])
    for row, cell in enumerate(cells):
        columns, values = tokenise(log1p[row].indices, log1p[row].data, cell, convention, 60, 0)
        ids = torch.as_tensor(names[columns])[None]
        model.encode(ids, torch.as_tensor(values)[None], on_attention=maps.__setitem__)
        for layer, weights in maps.items():
            expected[layer][:, columns[:, None], columns[None]] += weights[0].numpy()
    assert (result.tokenised >= 6).all()
    np.testing.assert_allclose(result.sums, expected[..., :50, :50], atol=1e-5)


def test_a_file_gives_the_parts_that_are_asked_for(checkpoint, counts, tmp_path):
    whole = total(checkpoint, counts)
    save_attention(whole, tmp_path / "a.safetensors")
    stored = load_attention(tmp_path / "a.safetensors", stored=True)
    assert not isinstance(stored.sums, np.ndarray)
    assert (len(stored.sums), stored.sums.shape) == (3, whole.sums.shape)
    assert np.array_equal(stored.sums[1:3], whole.sums[1:3])
    for name in ("drift", "head-L2H3", "gaussian-1"):
        ours, theirs = (build_operator(a, name, Operators(gaussian_draws=2)) for a in (stored, whole))
        assert np.array_equal(ours.matrix, theirs.matrix)


def test_stage_draws_cells_by_seed_and_normalises_by_the_full_library(checkpoint, counts, tmp_path):
    library = counts.sum(1) + 100.0
    obs = pd.DataFrame({"donor": "d", "library_size": library}, index=[f"c{i}" for i in range(24)])
    shown = [GENE_NAMES[-1], *GENE_NAMES[:20]]  # another order, a subset, and one gene that the corpus lacks
    anndata.AnnData(csr_matrix(counts[:, :49]), obs, pd.DataFrame(index=GENE_NAMES[:49])).write_h5ad(
        tmp_path / "c.h5ad"
    )
    genes = pd.DataFrame({"gene": shown, "rank": range(21), "score": 0.0, "source": "test"})
    write_table(genes, tmp_path / "genes.parquet", GENES)
    paths = FIXTURE, tmp_path / "c.h5ad", tmp_path / "genes.parquet"
    accumulate_panel_attention(*paths, Operators(cells=10, seed=4), tmp_path / "a.safetensors")
    result = load_attention(tmp_path / "a.safetensors")
    drawn = [int(cell[1:]) for cell in result.cells]
    assert len(set(drawn)) == 10
    assert result.genes == shown
    assert result.metadata["model_digest"] == checkpoint.digest
    values = np.column_stack([np.zeros(24), counts[:, :20]]) * 1e4 / library[:, None]
    expected = accumulate_attention(
        load_model(checkpoint), checkpoint.vocab, csr_matrix(np.log1p(values[drawn]).astype(np.float32)),
        shown, result.cells,
    )  # fmt: skip
    np.testing.assert_allclose(result.sums, expected.sums, atol=1e-5)
    accumulate_panel_attention(*paths, Operators(cells=10, seed=5), tmp_path / "b.safetensors")
    assert load_attention(tmp_path / "b.safetensors").cells != result.cells
    unknown = pd.DataFrame({"gene": [f"X{i}" for i in range(12)] + shown[:8], "rank": range(20), "score": 0.0})
    write_table(unknown.assign(source="test"), tmp_path / "unknown.parquet", GENES)
    with pytest.raises(InputError, match=r"unknown\.parquet: the model knows 8 of the 20 genes \(40%"):
        accumulate_panel_attention(*paths[:2], tmp_path / "unknown.parquet", Operators(cells=10), tmp_path / "c")
    with pytest.raises(InputError, match=r"24 corpus cells but operators\.cells is 25"):
        accumulate_panel_attention(*paths, Operators(cells=25), tmp_path / "c.safetensors")

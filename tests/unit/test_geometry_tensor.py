"""Gene representations: what a layer makes of a gene, counts, zero rows, attention, and the file."""

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from opbench.geometry.extract import extract_coexpression, extract_tensor, gene_representations
from opbench.geometry.tensor import coexpression, coexpression_svd, read_tensor, take_genes, write_tensor
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.models.attention import accumulate_attention
from opbench.models.checkpoint import read_checkpoint
from opbench.models.transformer import load_model

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
GENES = [f"GENE{i:04d}" for i in range(30, 80)]
TOP = 12


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(FIXTURE)


@pytest.fixture(scope="module")
def counts():
    rng = keyed_rng("geometry-tensor")
    rate = np.where(np.arange(50) < 45, rng.gamma(0.5, 1.0, 50), 0)  # five genes are never seen
    return rng.poisson(rate, (24, 50)).astype(np.int32)


@pytest.fixture(scope="module")
def log1p(counts):
    return csr_matrix(np.log1p(counts).astype(np.float32))


def made(checkpoint, log1p, convention="operator", named=(), order=slice(None)):
    cells = np.array([f"cell{i}" for i in range(log1p.shape[0])])[order].tolist()
    return gene_representations(load_model(checkpoint), checkpoint.vocab, log1p[order], GENES, cells, convention, TOP,
                                attention_genes=named)  # fmt: skip


def test_a_row_is_the_mean_of_the_gene_s_token_vectors(checkpoint, counts, log1p):
    tensor = made(checkpoint, log1p)
    model = load_model(checkpoint)
    sums = np.zeros((model.layers + 1, 50, 64))
    seen = np.zeros(50, dtype=int)
    for cell in range(24):
        values = log1p[cell].toarray().ravel()
        top = np.argsort(-values, kind="stable")[:TOP]
        top = top[values[top] > 0]
        ids = torch.tensor([[checkpoint.vocab[GENES[g]] for g in top]])
        states = model.encode(ids, torch.tensor(values[top])[None], hidden=True)[:, 0].numpy()
        sums[:, top] += states
        seen[top] += 1
    assert (seen < (counts > 0).sum(axis=0)).any()  # truncation bites
    assert np.array_equal(tensor.count, seen)
    assert tensor.layers == [-1, 0, 1, 2]
    assert np.allclose(tensor.tensor, sums / np.maximum(seen, 1)[:, None], atol=1e-5)
    assert np.allclose(tensor.detection, (counts > 0).mean(axis=0))
    assert np.allclose(tensor.mean, np.log1p(counts).mean(axis=0), atol=1e-6)
    assert np.allclose(tensor.variance, np.log1p(counts).var(axis=0), atol=1e-5)


def test_a_gene_that_is_never_tokenised_has_a_zero_row(checkpoint, log1p):
    tensor = made(checkpoint, log1p)
    assert (tensor.count[45:] == 0).all()
    assert (tensor.tensor[:, tensor.count == 0] == 0).all()
    assert (np.abs(tensor.tensor[:, tensor.count > 0]).max(axis=2) > 0).all()


def test_the_order_of_cells_and_genes_says_nothing(checkpoint, log1p):
    tensor, turned = made(checkpoint, log1p), made(checkpoint, log1p, order=np.arange(24)[::-1])
    assert np.allclose(tensor.tensor, turned.tensor, atol=1e-6)
    shuffled = take_genes(tensor, GENES[::-1])
    assert np.array_equal(shuffled.tensor[:, shuffled.place["GENE0031"]], tensor.tensor[:, tensor.place["GENE0031"]])
    with pytest.raises(InputError, match="NOPE"):
        take_genes(tensor, ["NOPE"])


def test_attention_among_named_genes_is_that_of_the_attention_sums(checkpoint, log1p):
    named = ["GENE0040", "NOPE", "GENE0033", "GENE0050"]
    tensor = made(checkpoint, log1p, named=named)
    assert tensor.attention_genes == ["GENE0040", "GENE0033", "GENE0050"]
    cells = [f"cell{i}" for i in range(24)]
    sums = accumulate_attention(load_model(checkpoint), checkpoint.vocab, log1p, GENES, cells, "operator", TOP)
    chosen = [GENES.index(g) for g in tensor.attention_genes]
    expected = sums.sums.mean(axis=1)[:, chosen][:, :, chosen]
    assert np.allclose(tensor.attention, expected, atol=1e-5)
    assert np.array_equal(tensor.cotokenised, sums.cotokenised[np.ix_(chosen, chosen)])
    assert np.allclose(tensor.tensor, made(checkpoint, log1p).tensor, atol=1e-5)


def test_binned_values_are_another_input_and_cls_is_refused(checkpoint, log1p):
    assert not np.allclose(made(checkpoint, log1p).tensor, made(checkpoint, log1p, "operator_binned").tensor, atol=1e-3)
    with pytest.raises(InputError, match="<cls>"):
        made(checkpoint, log1p, "embedding")


def test_a_file_comes_back_and_rows_read_by_position_are_refused(checkpoint, log1p, tmp_path):
    tensor = made(checkpoint, log1p, named=GENES[:4])
    write_tensor(tensor, tmp_path / "t.safetensors")
    again = read_tensor(tmp_path / "t.safetensors")
    assert np.array_equal(again.tensor, tensor.tensor)
    assert (again.genes, again.layers, again.metadata) == (tensor.genes, tensor.layers, tensor.metadata)
    assert np.array_equal(again.attention, tensor.attention)
    # Names that slipped by one row, as a list read without its blank lines gives them.
    slipped = replace(tensor, tensor=np.roll(tensor.tensor, 1, axis=1))
    with pytest.raises(InputError, match="by position"):
        write_tensor(slipped, tmp_path / "slipped.safetensors")
    with pytest.raises(InputError, match="twice"):
        write_tensor(replace(tensor, genes=["A", "A", *tensor.genes[2:]]), tmp_path / "twice.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="no gene-representation file"):
        read_tensor(tmp_path / "bad.safetensors")


def test_coexpression_space_has_correlations_for_inner_products(log1p, counts):
    count = (counts > 0).sum(axis=0)
    tensor = coexpression_svd(log1p, GENES, count, 50)
    x = tensor.tensor[0].astype(float)
    seen = tensor.count > 0
    assert np.allclose((x @ x.T)[np.ix_(seen, seen)], np.corrcoef(log1p.toarray().T[seen]), atol=1e-4)
    assert np.allclose(coexpression(log1p[:, seen]), np.corrcoef(log1p.toarray().T[seen]), atol=1e-5)
    assert (x[~seen] == 0).all()


def test_stages_draw_the_same_cells_for_model_random_model_and_coexpression(tmp_path, counts):
    obs = pd.DataFrame({"library_size": np.full(24, 1e4)}, index=[f"cell{i}" for i in range(24)])
    corpus = anndata.AnnData(csr_matrix(counts), obs, pd.DataFrame(index=GENES))
    corpus.write_h5ad(tmp_path / "corpus.h5ad")
    paths = [tmp_path / f"{name}.safetensors" for name in ("real", "random", "coexpression")]
    common = {"cells": 16, "max_genes": TOP, "seed": 3}
    extract_tensor(FIXTURE, tmp_path / "corpus.h5ad", paths[0], **common)
    extract_tensor(FIXTURE, tmp_path / "corpus.h5ad", paths[1], random_draw=0, **common)
    real, random = map(read_tensor, paths[:2])
    extract_coexpression(real, tmp_path / "corpus.h5ad", paths[2])
    reference = read_tensor(paths[2])
    assert real.tensor.shape == random.tensor.shape
    assert np.array_equal(real.count, random.count)
    assert not np.allclose(real.tensor, random.tensor, atol=0.1)
    assert np.array_equal(real.mean, reference.mean)
    assert reference.genes == real.genes
    with pytest.raises(InputError, match="has 24 cells"):
        extract_tensor(FIXTURE, tmp_path / "corpus.h5ad", paths[0], cells=25)

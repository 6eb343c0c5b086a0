"""Devices: a GPU that is not there is named, one that is there gives the processor's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.models.attention import accumulate_attention
from opbench.models.checkpoint import read_checkpoint
from opbench.models.device import GPU_TOLERANCE, choose_device
from opbench.models.embed import embed_cells
from opbench.models.transformer import load_model

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
GENES = [f"GENE{i:04d}" for i in range(50)]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"model\.device: 'cuda' asks for a GPU .* set model\.device to 'cpu'"):
        choose_device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.fixture(scope="module")
def both():
    """The fixture's model on CPU and GPU, and cells of which some have every gene."""
    checkpoint = read_checkpoint(FIXTURE)
    counts = keyed_rng("device-test").poisson(1.5, (20, 50))
    counts[:3] += 1
    return checkpoint.vocab, [load_model(checkpoint, choose_device(d)) for d in ("cpu", "cuda")], csr_matrix(
        np.log1p(counts).astype(np.float32)
    )  # fmt: skip


@needs_gpu
def test_forward_is_the_same_on_a_gpu(both):
    _, models, _ = both
    with np.load(FIXTURE / "forward.npz") as arrays:
        ids, values, padding = (torch.as_tensor(arrays[name]) for name in ("gene_ids", "values", "padding"))
    for options in ({}, {"on_attention": lambda *_: None}):
        here, there = (m.encode(*(a.to(m.device) for a in (ids, values, padding)), **options).cpu() for m in models)
        torch.testing.assert_close(here[~padding], there[~padding], atol=GPU_TOLERANCE, rtol=0)


@needs_gpu
@pytest.mark.parametrize("convention", ["operator", "embedding"])
@pytest.mark.parametrize("fits", [True, False], ids=["sums-on-gpu", "sums-on-cpu"])
def test_attention_sums_are_the_same_on_a_gpu(both, convention, fits, monkeypatch):
    monkeypatch.setattr("opbench.models.accumulate._fits", lambda *_: fits)
    vocab, models, log1p = both
    cells = [f"c{i}" for i in range(20)]
    here, there = (accumulate_attention(m, vocab, log1p, GENES, cells, convention) for m in models)
    assert np.array_equal(here.cotokenised, there.cotokenised)
    np.testing.assert_allclose(here.sums, there.sums, atol=20 * GPU_TOLERANCE, rtol=0)


@needs_gpu
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_embeddings_are_the_same_on_a_gpu(both, pool):
    vocab, models, log1p = both
    here, there = (embed_cells(m, vocab, log1p, GENES, [f"c{i}" for i in range(20)], pool) for m in models)
    np.testing.assert_allclose(here, there, atol=GPU_TOLERANCE, rtol=0)

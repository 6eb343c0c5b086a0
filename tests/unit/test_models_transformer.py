"""The forward pass against what the public scGPT code computed, and strict loading."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from opbench.io.errors import InputError
from opbench.models.checkpoint import read_checkpoint, write_checkpoint
from opbench.models.transformer import ScGPT, load_model

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(FIXTURE)


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_model(checkpoint)


@pytest.fixture(scope="module")
def forward():
    with np.load(FIXTURE / "forward.npz") as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays}


def largest_gap(ours, theirs, keep):
    return (ours - theirs).abs()[..., keep.nonzero()[:, 0], keep.nonzero()[:, 1], :].max().item()


@pytest.mark.parametrize("explicit", [False, True], ids=["fused", "explicit"])
def test_forward_matches_the_public_code(model, forward, explicit):
    ids, values, padding = forward["gene_ids"], forward["values"], forward["padding"]
    assert padding.any()
    maps = {}
    sink = maps.__setitem__ if explicit else None
    hidden = model.encode(ids, values, padding, hidden=True, on_attention=sink)
    keep = ~padding
    assert hidden.shape == forward["hidden"].shape
    assert largest_gap(hidden, forward["hidden"], keep) < 1e-4
    assert torch.equal(
        hidden[-1], model.encode(ids, values, padding, on_attention=(lambda *_: None) if explicit else None)
    )
    cell = model.cell_embedding(hidden[-1])
    torch.testing.assert_close(cell, forward["cell_embedding_cls"], atol=1e-4, rtol=0)
    for ours, theirs in ((model.decode(hidden[-1]), "decoder"), (model.mvc(cell, ids), "mvc")):
        torch.testing.assert_close(ours[keep], forward[theirs][keep], atol=1e-4, rtol=0)
    if explicit:
        attention = torch.stack([maps[layer] for layer in range(model.layers)])
        assert attention.shape == forward["attention"].shape
        for cell_index, kept in enumerate(keep):
            ours, theirs = attention[:, cell_index, :, kept], forward["attention"][:, cell_index, :, kept]
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_mean_embedding_ignores_padding(model, forward):
    hidden, padding = forward["hidden"][-1], forward["padding"]
    mean = model.cell_embedding(hidden, "mean", padding)
    for row in range(len(hidden)):
        torch.testing.assert_close(mean[row], hidden[row][~padding[row]].mean(0), atol=1e-5, rtol=0)


def test_written_checkpoint_keeps_released_names_and_bits(checkpoint, tmp_path):
    write_checkpoint(tmp_path, checkpoint.args, checkpoint.vocab, checkpoint.state)
    released = torch.load(FIXTURE / "best_model.pt", weights_only=True)
    written = torch.load(tmp_path / "best_model.pt", weights_only=True)
    assert set(written) == set(released)
    assert all(torch.equal(written[name], released[name]) for name in released)
    assert not checkpoint.published


def folder_with(tmp_path, change, wrap=lambda state: state):
    for name in ("args.json", "vocab.json"):
        shutil.copy(FIXTURE / name, tmp_path / name)
    state = torch.load(FIXTURE / "best_model.pt", weights_only=True)
    change(state)
    torch.save(wrap(state), tmp_path / "best_model.pt")
    return tmp_path


def test_wrapped_and_data_parallel_states_are_read(checkpoint, tmp_path):
    wrap = lambda state: {"model_state_dict": {f"module.{k}": v for k, v in state.items()}}  # noqa: E731
    again = read_checkpoint(folder_with(tmp_path, lambda s: s.pop("flag_encoder.weight"), wrap))
    name = "transformer_encoder.layers.1.self_attn.in_proj_weight"
    assert torch.equal(again.state[name], checkpoint.state[name])
    load_model(again)


QKV = "transformer_encoder.layers.1.self_attn.Wqkv.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop(QKV), r"layers\.1\.self_attn\.in_proj_weight' is missing"),
        (lambda s: s.update({QKV: s[QKV][:-1]}), r"in_proj_weight' has shape \(191, 64\).*\(192, 64\)"),
        (lambda s: s.update(extra=torch.zeros(1)), "'extra' is unexpected"),
        (
            lambda s: s.update({"encoder.embedding.weight": torch.zeros(402, 64)}),
            "id is 402 .* 402 rows",
        ),
    ],
)
def test_any_tensor_that_does_not_fit_is_named(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        read_checkpoint(folder_with(tmp_path, change))


def test_args_decide_the_shape(tmp_path):
    folder = folder_with(tmp_path, lambda s: None)
    args = json.loads((folder / "args.json").read_text())
    (folder / "args.json").write_text(json.dumps(args | {"nlayers": 4}))
    with pytest.raises(InputError, match=r"layers\.3\..* is missing"):
        read_checkpoint(folder)
    (folder / "args.json").write_text(json.dumps(args | {"nheads": 5}))
    with pytest.raises(InputError, match="no multiple of nheads 5"):
        read_checkpoint(folder)


def test_a_fresh_model_sees_how_large_a_value_is_and_keeps_apart_genes(checkpoint):
    model = ScGPT(checkpoint.args, 403).initialise(7)
    again = ScGPT(checkpoint.args, 403).initialise(7)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    low, high = model.value_encoder(torch.tensor([5.0, 45.0]))
    # LayerNorm would make both the same if the first layer had no kink between them.
    assert torch.nn.functional.cosine_similarity(low, high, dim=0) < 0.9
    ids = torch.arange(50)[None]
    hidden = model.encode(ids, torch.full((1, 50), 10.0), torch.zeros(1, 50, dtype=torch.bool))[0]
    spread = (hidden - hidden.mean(0)).norm() / hidden.norm()
    assert spread > 0.3

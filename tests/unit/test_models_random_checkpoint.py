"""Random checkpoints in the released format."""

import json
import os
from math import prod
from pathlib import Path

import pytest
import torch

from opbench.cli import main
from opbench.models.checkpoint import read_checkpoint, tensor_shapes
from opbench.models.transformer import load_model

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
SPEC = Path(os.environ.get("OPBENCH_DATA", "")) / "scgpt_human" / "state_dict_spec.json"
RELEASED = {"nlayers": 12, "nheads": 8, "embsize": 512, "d_hid": 512}


def released_name(name: str) -> str:
    return name.replace("in_proj_", "Wqkv.")


def test_the_released_shape_has_its_tensors_and_parameters():
    shapes = tensor_shapes(RELEASED, 60_697)
    assert len(shapes) == 163
    assert sum(map(prod, shapes.values())) == 51_330_049


@pytest.mark.skipif(not SPEC.is_file(), reason="OPBENCH_DATA names no folder with scgpt_human/state_dict_spec.json")
def test_names_order_and_shapes_are_the_released_ones():
    expected = [(name, tuple(shape)) for name, shape, _ in json.loads(SPEC.read_text())]
    assert [(released_name(n), s) for n, s in tensor_shapes(RELEASED, 60_697).items()] == expected


def test_a_smaller_one_keeps_the_vocabulary_and_says_its_size(tmp_path, capsys):
    like = ["--like", str(FIXTURE)]
    assert main(["random-checkpoint", str(tmp_path / "a"), *like, "--layers", "6", "--width", "32", "--seed", "3"]) == 0
    made = read_checkpoint(tmp_path / "a")
    released = json.loads((FIXTURE / "args.json").read_text())
    assert made.args == {**released, "nlayers": 6, "embsize": 32}
    assert (tmp_path / "a" / "vocab.json").read_bytes() == (FIXTURE / "vocab.json").read_bytes()
    stored = torch.load(tmp_path / "a" / "best_model.pt", weights_only=True)
    assert list(stored) == [released_name(n) for n in tensor_shapes(made.args, 403)]
    assert {t.dtype for t in stored.values()} == {torch.float32}
    assert f"{sum(t.numel() for t in stored.values()):,} random parameters" in capsys.readouterr().out
    assert main(["random-checkpoint", str(tmp_path / "b"), *like, "--layers", "6", "--width", "32", "--seed", "3"]) == 0
    assert main(["random-checkpoint", str(tmp_path / "c"), *like, "--layers", "6", "--width", "32", "--seed", "4"]) == 0
    a, b, c = ((tmp_path / name / "best_model.pt").read_bytes() for name in "abc")
    assert a == b != c


def test_its_attention_is_neither_uniform_nor_on_one_gene(tmp_path):
    sizes = ["--layers", "3", "--heads", "4", "--width", "64", "--feedforward", "64", "--genes", "300"]
    assert main(["random-checkpoint", str(tmp_path / "a"), *sizes]) == 0
    checkpoint, maps = read_checkpoint(tmp_path / "a"), {}
    assert len(checkpoint.vocab) == 303
    values = torch.linspace(0.5, 6, 300)[None]
    load_model(checkpoint).encode(torch.arange(300)[None], values, on_attention=maps.__setitem__)
    for attention in maps.values():
        highest = 300 * attention.amax(-1)
        assert highest.min() > 1.1
        assert highest.mean() < 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--like", str(FIXTURE), "--heads", "5"], "width 64 is no multiple of heads 5"),
        (["--layers", "0"], "nlayers 0 is no size"),
        (["--like", "nowhere"], "nowhere/vocab.json: is not a readable JSON file"),
    ],
)
def test_sizes_that_make_no_model_are_refused(tmp_path, capsys, options, words):
    assert main(["random-checkpoint", str(tmp_path / "a"), *options]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_checkpoint_that_is_there_is_never_replaced(tmp_path, capsys):
    (tmp_path / "best_model.pt").write_text("the real one")
    assert main(["random-checkpoint", str(tmp_path), "--like", str(FIXTURE)]) == 1
    assert "already holds best_model.pt" in capsys.readouterr().err
    assert (tmp_path / "best_model.pt").read_text() == "the real one"

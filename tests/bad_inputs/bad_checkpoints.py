"""Checkpoints that must be refused: each is the reference fixture with one thing wrong."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from case import Case

from opbench.models.checkpoint import read_checkpoint

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference"
State = dict[str, torch.Tensor]


def folder_with(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read a copy of the fixture after a change of its files."""

    def meet(folder: Path) -> object:
        copy = folder / "my model"
        copy.mkdir()
        for name in ("args.json", "vocab.json", "best_model.pt"):
            shutil.copy(FIXTURE / name, copy)
        change(copy)
        return read_checkpoint(copy)

    return meet


def weights(change: Callable[[State], object]) -> Callable[[Path], object]:
    """A change of the state dict; what it returns, if anything, is saved instead."""

    def edit(folder: Path) -> None:
        state = torch.load(folder / "best_model.pt", weights_only=True)
        state = change(state) or state
        torch.save(state, folder / "best_model.pt")

    return folder_with(edit)


def json_file(name: str, **values: object) -> Callable[[Path], object]:
    """Set keys of args.json or vocab.json; None removes."""

    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return folder_with(edit)


def content(name: str, data: bytes) -> Callable[[Path], object]:
    """Replace a file's bytes."""
    return folder_with(lambda folder: (folder / name).write_bytes(data))


def half(folder: Path) -> None:
    """Truncate the weights."""
    path = folder / "best_model.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Marker:
    """Unpickling it would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def duplicate_key(folder: Path) -> None:
    """Name a gene twice in vocab.json."""
    path = folder / "vocab.json"
    text = path.read_text().rstrip()
    first = next(iter(json.loads(text)))
    path.write_text(text[:-1] + f', "{first}": 9999}}')


def fill(name: str, value: float) -> Callable[[State], None]:
    """Set one number of a tensor."""
    return lambda state: state[name].view(-1).__setitem__(0, value)


OUT = "transformer_encoder.layers.0.self_attn.out_proj.weight"
CHECKPOINTS = [
    Case("a missing tensor", weights(lambda s: s.pop(OUT) is None or None), ("best_model.pt", OUT, "missing")),
    Case("an extra tensor", weights(lambda s: s.update(more=torch.zeros(2))), ("best_model.pt", "'more'", "unexpected")),
    Case("a mis-shaped tensor", weights(lambda s: s.update({OUT: torch.zeros(3, 3)})), ("best_model.pt", OUT, "(3, 3)")),
    Case("a weight that is NaN", weights(fill(OUT, float("nan"))), ("best_model.pt", OUT, "finite")),
    Case("integer weights", weights(lambda s: s.update({OUT: s[OUT].int()})), ("best_model.pt", OUT, "int")),
    Case("a pickle that is no state dict", weights(lambda s: {"epoch": 3, "loss": 0.5}), ("best_model.pt", "state dict")),
    Case("a list of tensors", weights(lambda s: list(s.values())), ("best_model.pt", "state dict")),
    Case("a pickle that runs code", content("best_model.pt", pickle.dumps(Marker())), ("best_model.pt",)),
    Case("a truncated weight file", folder_with(half), ("best_model.pt", "readable")),
    Case("a text file as weights", content("best_model.pt", b"version https://git-lfs.github.com/spec/v1\n"), ("best_model.pt",)),
    Case("no weight file", folder_with(lambda f: (f / "best_model.pt").unlink()), ("my model", "best_model.pt")),
    Case("no args.json", folder_with(lambda f: (f / "args.json").unlink()), ("args.json",)),
    Case("args.json that is no JSON", content("args.json", b"{nlayers: 3}"), ("args.json", "JSON")),
    Case("args.json without a size", json_file("args.json", nlayers=None), ("args.json", "'nlayers'")),
    Case("a width that the heads do not divide", json_file("args.json", nheads=7), ("args.json", "nheads 7")),
    Case("args.json of another model", json_file("args.json", embsize=128), ("best_model.pt", "args.json")),
    Case("a vocabulary without <pad>", json_file("vocab.json", **{"<pad>": None}), ("vocab.json", "'<pad>'")),
    Case("a vocabulary with a repeated id", json_file("vocab.json", ODD=5), ("vocab.json", "distinct")),
    Case("a vocabulary with a negative id", json_file("vocab.json", ODD=-5), ("vocab.json", "'ODD'", "-5")),
    Case("a vocabulary with text ids", json_file("vocab.json", ODD="five"), ("vocab.json", "'five'", "integer")),
    Case("a vocabulary beyond the embedding", json_file("vocab.json", ODD=10**6), ("vocab.json", "rows")),
    Case("a vocabulary that names a gene twice", folder_with(duplicate_key), ("vocab.json", "twice")),
]  # fmt: skip

"""scGPT-format checkpoints on disk: `args.json`, `vocab.json` and one weight file, read strictly.

The released loader keeps whichever tensors happen to match, which leaves attention random without a word
(the released name is `Wqkv`, PyTorch's is `in_proj_`). Here every tensor must be there with its shape.
"""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

#: sha256 of `best_model.pt` of the released whole-human scGPT (205,385,258 bytes).
PUBLISHED_SHA256 = "6cb5d451ab5c4b33eb673adbe4fddc61d2389df1b89b7651a9fe2e557572b922"
WEIGHT_FILES = ("best_model.pt", "model.safetensors")
PAD, CLS, EOC = "<pad>", "<cls>", "<eoc>"
SHAPE_ARGS = ("nlayers", "nheads", "embsize", "d_hid")
#: Released but never used in the forward pass; it may be absent.
UNUSED = "flag_encoder.weight"


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint; `state` has PyTorch's `in_proj_` names, `digest` is the weight file's sha256."""

    folder: Path
    args: dict[str, Any]
    vocab: dict[str, int]
    state: "dict[str, Tensor]"
    digest: str


def tensor_shapes(args: Mapping[str, Any], rows: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of an scGPT with `rows` embedding rows, in `in_proj_` names."""
    d, hidden = args["embsize"], args["d_hid"]
    shapes: dict[str, tuple[int, ...]] = {"encoder.embedding.weight": (rows, d)}

    def linear(name: str, n_in: int, n_out: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (n_out, n_in)
        if bias:
            shapes[f"{name}.bias"] = (n_out,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (d,)

    norm("encoder.enc_norm")
    linear("value_encoder.linear1", 1, d)
    linear("value_encoder.linear2", d, d)
    norm("value_encoder.norm")
    for index in range(args["nlayers"]):
        layer = f"transformer_encoder.layers.{index}"
        shapes[f"{layer}.self_attn.in_proj_weight"] = (3 * d, d)
        shapes[f"{layer}.self_attn.in_proj_bias"] = (3 * d,)
        linear(f"{layer}.self_attn.out_proj", d, d)
        linear(f"{layer}.linear1", d, hidden)
        linear(f"{layer}.linear2", hidden, d)
        norm(f"{layer}.norm1")
        norm(f"{layer}.norm2")
    for index, n_out in ((0, d), (2, d), (4, 1)):
        linear(f"decoder.fc.{index}", d, n_out)
    linear("mvc_decoder.gene2query", d, d)
    linear("mvc_decoder.W", d, d, bias=False)
    shapes[UNUSED] = (2, d)
    return shapes


def read_vocab(path: str | Path) -> dict[str, int]:
    """Read `vocab.json` (symbol to id); distinct integers from 0, with `<pad>` and `<cls>`."""
    vocab = _read_json(Path(path))
    ids = list(vocab.values())
    if not all(type(i) is int and i >= 0 for i in ids) or len(set(ids)) != len(ids):
        raise InputError(f"{path}: ids must be distinct integers from 0 upwards; write the file again.")
    for token in (PAD, CLS):
        if token not in vocab:
            raise InputError(f"{path}: the special token '{token}' is missing; add it with its id.")
    return vocab


def read_checkpoint(folder: str | Path) -> Checkpoint:
    """Read and check a checkpoint folder.

    Accepts a bare state dict or one under `model_state_dict`, with or without DataParallel's `module.`
    prefix, in released (`Wqkv`) or PyTorch (`in_proj_`) names. Raises `InputError` for a tensor that is
    missing, unexpected or of another shape than `args.json` implies, or a vocabulary beyond the embedding.
    """
    folder = Path(folder)
    args = _read_json(folder / "args.json")
    for key in SHAPE_ARGS:
        if type(args.get(key)) is not int or args[key] < 1:
            raise InputError(f"{folder}/args.json: '{key}' is {args.get(key)!r}; give a positive integer.")
    if args["embsize"] % args["nheads"]:
        raise InputError(
            f"{folder}/args.json: embsize {args['embsize']} is no multiple of nheads {args['nheads']}; "
            "correct the one that is wrong."
        )
    vocab = read_vocab(folder / "vocab.json")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"{folder}: holds no weight file; put {' or '.join(WEIGHT_FILES)} there.")
    state = _standard_names(_read_weights(weights))
    _check_tensors(weights, args, state)
    rows = state["encoder.embedding.weight"].shape[0]
    if max(vocab.values()) >= rows:
        raise InputError(
            f"{folder}/vocab.json: the largest id is {max(vocab.values())} but encoder.embedding.weight has "
            f"{rows} rows; use the vocabulary that belongs to the weights."
        )
    return Checkpoint(folder, args, vocab, state, sha256_of(weights))


def write_checkpoint(
    folder: str | Path, args: Mapping[str, Any], vocab: Mapping[str, int], state: "Mapping[str, Tensor]"
) -> None:
    """Write `args.json`, `vocab.json` and `best_model.pt` in the released names and layout."""
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "args.json").write_text(json.dumps(dict(args), indent=2) + "\n")
    (folder / "vocab.json").write_text(json.dumps(dict(vocab), indent=0) + "\n")
    names = {name: name.replace("in_proj_", "Wqkv.") for name in state}
    # A clone has its own storage, so that no more than the tensor is written.
    released = {names[name]: tensor.detach().cpu().clone() for name, tensor in state.items()}
    released.setdefault(UNUSED, torch.zeros(2, args["embsize"]))
    torch.save(released, folder / "best_model.pt")


def is_published(checkpoint: Checkpoint) -> bool:
    """Whether the weights are byte for byte the released whole-human checkpoint."""
    return checkpoint.digest == PUBLISHED_SHA256


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable JSON file ({error}); restore it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a JSON object; restore it.")
    return content


def _read_weights(path: Path) -> "dict[str, Tensor]":
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is not a readable weight file ({reason}); fetch it again.") from error
    if isinstance(state, dict) and "model_state_dict" in state:
        state = state["model_state_dict"]
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise InputError(f"{path}: is no state dict (tensors by name); save model.state_dict().")
    return state


def _standard_names(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    return {
        name.removeprefix("module.").replace("self_attn.Wqkv.", "self_attn.in_proj_"): tensor.float()
        for name, tensor in state.items()
    }


def _check_tensors(path: Path, args: Mapping[str, Any], state: "Mapping[str, Tensor]") -> None:
    embedding = state.get("encoder.embedding.weight")
    shapes = tensor_shapes(args, rows=len(embedding) if embedding is not None and embedding.ndim else 0)
    for name, shape in shapes.items():
        if name not in state:
            if name == UNUSED:
                continue
            raise InputError(f"{path}: tensor '{name}' is missing; use weights that match args.json.")
        if tuple(state[name].shape) != shape:
            raise InputError(
                f"{path}: tensor '{name}' has shape {tuple(state[name].shape)}, args.json implies {shape}; "
                "use weights that match args.json."
            )
    for name in state:
        if name not in shapes:
            raise InputError(f"{path}: tensor '{name}' is unexpected; use weights that match args.json.")

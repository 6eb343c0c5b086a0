"""scGPT-format checkpoints on disk: `args.json`, `vocab.json` and one weight file, read strictly.

The released loader keeps whichever tensors happen to match, which leaves attention random without a word
(the released name is `Wqkv`, PyTorch's is `in_proj_`). Here every tensor must be there with its shape.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opbench.io.atomic import atomic, write_text
from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of
from opbench.models.weights import read_weights

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("opbench.models")

#: `best_model.pt` of the released whole-human scGPT.
PUBLISHED_SHA256 = "6cb5d451ab5c4b33eb673adbe4fddc61d2389df1b89b7651a9fe2e557572b922"
PUBLISHED_BYTES = 205_385_258
WEIGHT_FILES = ("best_model.pt", "model.safetensors")
PAD, CLS, EOC = "<pad>", "<cls>", "<eoc>"
SHAPE_ARGS = ("nlayers", "nheads", "embsize", "d_hid")
#: Read when they are there: argument, least value that makes sense.
OPTIONAL_ARGS = {"n_bins": 3, "max_seq_len": 2}
#: Released but never used in the forward pass; it may be absent.
UNUSED = "flag_encoder.weight"


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint: `state` has PyTorch's `in_proj_` names, `weights` is the file that it was read from."""

    folder: Path
    args: dict[str, Any]
    vocab: dict[str, int]
    state: "dict[str, Tensor]"
    weights: Path

    @cached_property
    def digest(self) -> str:
        """The weight file's sha256, computed once."""
        return sha256_of(self.weights)

    @cached_property
    def published(self) -> bool:
        """Whether the weights are byte for byte the released whole-human scGPT."""
        return is_published_file(self.weights, lambda _: self.digest)


def is_published_file(path: str | Path, digest_of: Callable[[str | Path], str] = sha256_of) -> bool:
    """Whether a file is byte for byte the released weights; a file of another size is not hashed."""
    return Path(path).stat().st_size == PUBLISHED_BYTES and digest_of(path) == PUBLISHED_SHA256


def tensor_shapes(args: Mapping[str, Any], rows: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of an scGPT with `rows` embedding rows: released order, `in_proj_` names."""
    d, hidden = args["embsize"], args["d_hid"]
    shapes: dict[str, tuple[int, ...]] = {"encoder.embedding.weight": (rows, d)}

    def linear(name: str, n_in: int, n_out: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (n_out, n_in)
        if bias:
            shapes[f"{name}.bias"] = (n_out,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (d,)

    norm("encoder.enc_norm")
    shapes[UNUSED] = (2, d)
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
    return shapes


def read_args(path: str | Path) -> dict[str, Any]:
    """Read `args.json`; the model's shape must be in it (positive integers, heads dividing the width)."""
    args = _read_json(Path(path))
    for key in SHAPE_ARGS:
        if type(args.get(key)) is not int or args[key] < 1:
            raise InputError(f"{path}: '{key}' is {args.get(key)!r}; give a positive integer.")
    for key, least in OPTIONAL_ARGS.items():
        if key in args and (type(args[key]) is not int or args[key] < least):
            raise InputError(f"{path}: '{key}' is {args[key]!r}; give an integer of at least {least}.")
    if args["embsize"] % args["nheads"]:
        raise InputError(
            f"{path}: embsize {args['embsize']} is no multiple of nheads {args['nheads']}; "
            "correct the one that is wrong."
        )
    return args


def read_vocab(path: str | Path) -> dict[str, int]:
    """Read `vocab.json` (symbol to id); distinct integers from 0, with `<pad>` and `<cls>`."""
    vocab = _read_json(Path(path))
    holder: dict[int, str] = {}
    for token, number in vocab.items():
        if type(number) is not int or number < 0:
            raise InputError(f"{path}: the id of '{token}' is {number!r}; give every token an integer from 0 upwards.")
        if number in holder:
            raise InputError(
                f"{path}: '{holder[number]}' and '{token}' share the id {number}; ids must be distinct integers from 0 "
                "upwards."
            )
        holder[number] = token
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
    args, vocab = read_args(folder / "args.json"), read_vocab(folder / "vocab.json")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"{folder}: holds no weight file; put {' or '.join(WEIGHT_FILES)} there.")
    state = read_weights(weights)
    _check_tensors(weights, args, state)
    rows = state["encoder.embedding.weight"].shape[0]
    if max(vocab.values()) >= rows:
        raise InputError(
            f"{folder}/vocab.json: the largest id is {max(vocab.values())} but encoder.embedding.weight has "
            f"{rows} rows; use the vocabulary that belongs to the weights."
        )
    checkpoint = Checkpoint(folder, args, vocab, state, weights)
    log.info("%s %s the released whole-human scGPT", weights, "is" if checkpoint.published else "is not")
    return checkpoint


def write_checkpoint(
    folder: str | Path, args: Mapping[str, Any], vocab: Mapping[str, int], state: "Mapping[str, Tensor]"
) -> None:
    """Write `args.json`, `vocab.json` and `best_model.pt` in the released names and layout."""
    import torch

    folder = Path(folder)
    names = {name: name.replace("in_proj_", "Wqkv.") for name in state}
    released = {names[name]: _own_storage(tensor.detach().cpu()) for name, tensor in state.items()}
    released.setdefault(UNUSED, torch.zeros(2, args["embsize"]))
    with atomic(folder / "best_model.pt") as partial, open(partial, "wb") as file:
        # By handle: given a path, the archive would name its folder after the partial file.
        torch.save(released, file)
    write_text(json.dumps(dict(args), indent=2) + "\n", folder / "args.json")
    write_text(json.dumps(dict(vocab), indent=0) + "\n", folder / "vocab.json")


def _own_storage(tensor: "Tensor") -> "Tensor":
    """The tensor, or a copy where it is a part of a larger one, all of which would be written."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_distinct)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a readable JSON file ({error}); restore it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, not a JSON object; restore it.")
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's pairs as a dict; JSON lets a key repeat, and its readers silently take the last."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key '{key}' is there twice")
        content[key] = value
    return content


def _check_tensors(path: Path, args: Mapping[str, Any], state: "Mapping[str, Tensor]") -> None:
    if args["nlayers"] > len(state):
        raise InputError(
            f"{path}: holds {len(state)} tensors, too few for the {args['nlayers']} layers of args.json; use weights "
            "that match it."
        )
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

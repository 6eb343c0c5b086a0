"""`opbench random-checkpoint FOLDER`: random weights in the released format, to try a workflow at its real size."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.models.checkpoint import (
    CLS,
    EOC,
    PAD,
    WEIGHT_FILES,
    read_args,
    read_vocab,
    tensor_shapes,
    write_checkpoint,
)

#: Option -> argument and value of the released whole-human model.
SIZES = {"layers": ("nlayers", 12), "heads": ("nheads", 8), "width": ("embsize", 512), "feedforward": ("d_hid", 512)}
RELEASED_GENES = 60_694
#: What else the readers look for, as released.
OTHER_ARGS = {"n_bins": 51, "max_seq_len": 1200, "mask_value": -1, "pad_value": -2, "pad_token": PAD, "MVC": True}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="folder to write args.json, vocab.json and best_model.pt to")
    parser.add_argument("--like", type=Path, help="folder whose args.json and vocab.json are used")
    for option, (key, size) in SIZES.items():
        parser.add_argument(f"--{option}", type=int, help=f"{key} (default: that of --like, else {size})")
    parser.add_argument(
        "--genes", type=int, default=RELEASED_GENES, help="genes of an invented vocabulary, without --like"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights")


def run(options: argparse.Namespace) -> int:
    """Write the checkpoint; files of one that is there already are never replaced."""
    sizes = {key: size for option, (key, _) in SIZES.items() if (size := getattr(options, option)) is not None}
    count = random_checkpoint(options.folder, options.like, sizes, options.genes, options.seed)
    print(f"{options.folder}: {count:,} random parameters in the released format")
    return 0


def random_checkpoint(
    folder: str | Path, like: str | Path | None, sizes: dict[str, int], genes: int = RELEASED_GENES, seed: int = 0
) -> int:
    """Write a checkpoint of random weights and return its number of parameters.

    `args.json` and `vocab.json` are those of the folder `like` (byte for byte where `sizes`, in the released keys,
    change nothing), or made from the released sizes and `genes` invented names.
    """
    from opbench.models.transformer import ScGPT

    folder = Path(folder)
    for name in ("args.json", "vocab.json", *WEIGHT_FILES):
        if (folder / name).exists():
            raise InputError(f"{folder}: already holds {name}, which is not replaced; name another folder.")
    if wrong := [f"{key} {size}" for key, size in {**sizes, "genes": genes}.items() if size < 1]:
        raise InputError(f"random-checkpoint: {wrong[0]} is no size; give a positive integer.")
    if like is None:
        vocab = {token: index for index, token in enumerate([*(f"GENE{i:05d}" for i in range(genes)), PAD, CLS, EOC])}
        args: dict[str, Any] = {**OTHER_ARGS, **dict(SIZES.values()), **sizes}
    else:
        vocab, held = read_vocab(Path(like) / "vocab.json"), read_args(Path(like) / "args.json")
        args = {**held, **sizes}
    if args["embsize"] % args["nheads"]:
        raise InputError(
            f"random-checkpoint: width {args['embsize']} is no multiple of heads {args['nheads']}; change one of them."
        )
    rows = max(vocab.values()) + 1
    state = ScGPT(args, rows).initialise(seed).state_dict()
    write_checkpoint(folder, args, vocab, {name: state[name] for name in tensor_shapes(args, rows)})
    if like is not None:
        for name in ("vocab.json", *(["args.json"] if args == held else [])):
            with atomic(folder / name) as partial:
                shutil.copyfile(Path(like) / name, partial)
    return sum(tensor.numel() for tensor in state.values())

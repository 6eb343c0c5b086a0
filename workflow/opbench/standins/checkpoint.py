"""Writes a stand-in of the checkpoint: the released format, fresh random weights, a few layers."""

from pathlib import Path

from opbench.config import Config
from opbench.models.checkpoint import read_vocab, write_checkpoint
from opbench.models.transformer import ScGPT

#: Width of one attention head.
HEAD_WIDTH = 4


def write_standin_checkpoint(config: Config, vocabulary: Path, seed: int, folder: Path) -> str:
    """Write `folder` in the released format and return its shape in words; it has every head the config exports."""
    heads = [tuple(map(int, name[1:].split("H"))) for name in config.operators.single_heads]
    layers = max([layer for layer, _ in heads], default=0) + 1
    n_heads = max([head for _, head in heads], default=1) + 1
    vocab = read_vocab(vocabulary)
    args = {
        "nlayers": -(-layers // 3) * 3,  # three equal drift blocks
        "nheads": n_heads,
        "embsize": n_heads * HEAD_WIDTH,
        "d_hid": n_heads * HEAD_WIDTH,
        "n_bins": 51,
        "max_seq_len": 1200,
        "pad_token": "<pad>",
        "pad_value": -2,
        "mask_value": -1,
    }
    model = ScGPT(args, max(vocab.values()) + 1).initialise(seed)
    write_checkpoint(folder, args, vocab, model.state_dict())
    return f"{args['nlayers']} layers x {n_heads} heads, width {args['embsize']}, {len(vocab)} tokens"

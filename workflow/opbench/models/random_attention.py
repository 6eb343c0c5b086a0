"""Attention of a randomly initialised model of the same shape: what the architecture gives before any training."""

from pathlib import Path

from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed
from opbench.models.attention import accumulate_attention, load_attention, save_attention
from opbench.models.checkpoint import read_args, read_vocab
from opbench.models.device import choose_device
from opbench.models.transformer import ScGPT


def accumulate_random_attention(
    attention: str | Path,
    args: str | Path,
    vocabulary: str | Path,
    draw: int,
    output: str | Path,
    device: str = "cpu",
) -> None:
    """Stage: sum a random model's attention over the cells, genes and tokens of an attention file.

    `args` and `vocabulary` are the real checkpoint's `args.json` and `vocab.json`. Weights are drawn as for a model
    that is about to be trained, by the file's own seed and the draw.
    """
    chosen = choose_device(device)
    real = load_attention(attention, stored=True)
    shape, vocab = read_args(args), read_vocab(vocabulary)
    if (shape["nlayers"], shape["nheads"]) != real.sums.shape[:2]:
        raise InputError(
            f"{attention}: has {real.sums.shape[0]} layers x {real.sums.shape[1]} heads but {args} has "
            f"{shape['nlayers']} x {shape['nheads']}; delete the attention file and run again."
        )
    made = real.metadata
    seed = derive_seed(made["seed"], "random_model", draw)
    model = ScGPT(shape, max(vocab.values()) + 1).initialise(seed).eval().requires_grad_(False).to(chosen)
    tokens = (made["convention"], made["max_length"], made["seed"], made["n_bins"])
    random = accumulate_attention(model, vocab, real.log1p, real.genes, real.cells, *tokens)
    random.metadata.update(random_draw=draw, device=device)
    save_attention(random, output)

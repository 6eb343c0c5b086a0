"""Pre-training of a small scGPT-format model by masked-value prediction (Cui et al. 2024, Methods).

Input is the `embedding` convention; the loss is the mean squared error of the masked bins predicted from each
position (decoder) plus that predicted from `<cls>` alone (MVC), with equal weight.
"""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from opbench.config.model import Pretraining
from opbench.io.atomic import write_text
from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of
from opbench.io.seeds import keyed_rng
from opbench.models.checkpoint import CLS, EOC, PAD, read_vocab, write_checkpoint
from opbench.models.corpus import Corpus, is_validation, known_corpus
from opbench.models.device import choose_device
from opbench.models.masked import (
    MASK_VALUE,
    BinRanges,
    corpus_bins,
    gene_mean_bins,
    masked_batches,
    masked_cells,
    masked_errors,
    predict_masked,
    take_cells,
    validation_rng,
)
from opbench.models.tokens import PAD_VALUE, plan_batches
from opbench.models.transformer import ScGPT

log = logging.getLogger("opbench.models")

#: Share of all steps over which the learning rate rises.
WARM_UP = 0.05
#: Cells of nearly equal length share a batch: lengths are jittered by this share so that batches differ.
LENGTH_JITTER = 0.2
MAX_VALIDATION_CELLS = 1000


def pretrain(
    corpus_h5ad: str | Path, vocab_json: str | Path, recipe: Pretraining, output_dir: str | Path, device: str = "cpu"
) -> None:
    """Train on the corpus cells that do not validate and write a checkpoint folder with `recipe.json`.

    The same corpus, vocabulary, recipe and machine give the same bytes of `best_model.pt`; not so on a GPU, whose
    gradients of repeated genes are summed in no fixed order.
    """
    started = time.monotonic()
    chosen = choose_device(device)
    if recipe.width % recipe.heads:
        raise InputError(
            f"model.pretrain: width {recipe.width} is no multiple of heads {recipe.heads}; change one of them."
        )
    torch.set_num_threads(1)  # the order of summation must not depend on the machine
    vocab = read_vocab(vocab_json)
    corpus, ids = known_corpus(corpus_h5ad, vocab)
    training, validation, means = split_bins(corpus, recipe.n_bins)
    model = ScGPT(model_args(recipe), max(vocab.values()) + 1).initialise(recipe.seed)
    with torch.no_grad():
        # Starting at the mean and spread of the bins spares the first steps.
        model.decoder.fc[4].bias.fill_(float(training.expected.mean()))
        model.decoder.fc[4].weight.mul_(float(training.expected.std()))
    model.to(chosen)
    history = _train(model, training, validation, means, ids, vocab, recipe)
    output = Path(output_dir)
    write_checkpoint(output, model_args(recipe), vocab, model.state_dict())
    record = {
        "recipe": recipe.model_dump(),
        "corpus_digest": corpus.digest,
        "training_cells": len(training.indptr) - 1,
        "validation_cells": len(validation.indptr) - 1,
        "corpus_genes": len(corpus.genes),
        "vocabulary": sum(token not in (PAD, CLS, EOC) for token in vocab),
        "epochs": history,
        "model_digest": sha256_of(output / "best_model.pt"),
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_text(json.dumps(record, indent=1) + "\n", output / "recipe.json")


def model_args(recipe: Pretraining) -> dict[str, Any]:
    """`args.json` of a model of the recipe's shape, in the released keys."""
    return {
        "nlayers": recipe.layers,
        "nheads": recipe.heads,
        "embsize": recipe.width,
        "d_hid": recipe.feedforward,
        "dropout": 0.0,
        "n_bins": recipe.n_bins,
        "max_seq_len": recipe.max_length,
        "mask_ratio": recipe.mask_ratio,
        "mask_value": int(MASK_VALUE),
        "pad_value": int(PAD_VALUE),
        "pad_token": PAD,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "MVC": True,
    }


def split_bins(corpus: Corpus, n_bins: int) -> tuple[BinRanges, BinRanges, NDArray[np.float64]]:
    """Bins of the training cells, of at most 1,000 validation cells, and the training cells' gene means."""
    held_out = is_validation(corpus.cell_ids)
    if not held_out.any() or held_out.all():
        raise InputError(
            f"{corpus.path}: {len(held_out)} cells are too few to hold out a tenth; widen the corpus filter."
        )
    bins = corpus_bins(corpus, n_bins)
    training = take_cells(bins, np.flatnonzero(~held_out))
    shuffled = keyed_rng("validation-cells").permutation(np.flatnonzero(held_out))
    chosen = np.sort(shuffled[:MAX_VALIDATION_CELLS])
    return training, take_cells(bins, chosen), gene_mean_bins(training, len(corpus.genes))


def _train(
    model: ScGPT,
    training: BinRanges,
    validation: BinRanges,
    means: NDArray[np.float64],
    ids: NDArray[np.int64],
    vocab: dict[str, int],
    recipe: Pretraining,
) -> list[dict[str, float]]:
    held_out = masked_cells(validation, recipe.max_length, recipe.mask_ratio, validation_rng(recipe.seed))
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    history = []
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        rng = keyed_rng(recipe.seed, "pretrain", epoch)
        cells = masked_cells(training, recipe.max_length, recipe.mask_ratio, rng)
        plan = _shuffled_plan(cells.table.lengths, recipe.batch_tokens, rng)
        model.train()
        for step, batch in enumerate(masked_batches(cells, ids, vocab, plan, model.device)):
            share = (epoch + step / len(plan)) / recipe.epochs
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(share)
            truth = batch.values[batch.mask]
            decoded, mvc = predict_masked(model, batch)
            loss = F.mse_loss(decoded, truth) + F.mse_loss(mvc, truth)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        model.eval()
        errors = masked_errors(model, held_out, ids, vocab, means, recipe.batch_tokens)
        history.append({"epoch": epoch + 1} | {name: round(value, 3) for name, value in errors.items()})
        log.info(
            "epoch %d of %d: validation MSE %.1f (from <cls> %.1f; gene mean %.1f; ties %.1f), %.0f s",
            epoch + 1,
            recipe.epochs,
            *(errors[name] for name in ("decoder", "mvc", "gene_mean", "tie_noise")),
            time.monotonic() - started,
        )
    return history


def _schedule(share: float) -> float:
    """Factor of the learning rate after `share` of all steps: linear warm-up, then cosine to 0."""
    if share < WARM_UP:
        return (share + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def _shuffled_plan(lengths: NDArray, batch_tokens: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    order = np.argsort(lengths * (1 + LENGTH_JITTER * rng.random(len(lengths))), kind="stable")
    plan = plan_batches(lengths, order, batch_tokens)
    return [plan[index] for index in rng.permutation(len(plan))]

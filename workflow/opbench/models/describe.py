"""What a checkpoint is, and whether it predicts masked values better than each gene's mean does."""

import json
import logging
from pathlib import Path

from opbench.io.atomic import write_text
from opbench.models.checkpoint import CLS, EOC, PAD, read_checkpoint
from opbench.models.corpus import known_corpus
from opbench.models.device import choose_device
from opbench.models.masked import masked_cells, masked_errors, validation_rng
from opbench.models.pretrain import split_bins
from opbench.models.transformer import load_model

log = logging.getLogger("opbench.models")

#: Share of tokens masked when models are described: one for all, whatever they were trained with.
MASK_RATIO = 0.4
#: Least relative improvement over the gene mean of a model that counts as trained (decision 5).
LEARNT = 0.10
BATCH_TOKENS = 12_000


def describe_model(
    checkpoint_dir: str | Path,
    corpus_h5ad: str | Path,
    name: str,
    seed: int,
    output_json: str | Path,
    device: str = "cpu",
) -> None:
    """Write the model's description: shape, digest, and masked-value MSE on at most 1,000 validation cells.

    The gene means come from the other corpus cells. MSE is in squared bins of the `embedding` convention;
    `published` says whether the weights are byte for byte the released ones;
    `tie_noise_floor` is the variance of the random tie bins, which no predictor can undercut on average.
    """
    chosen = choose_device(device)
    checkpoint = read_checkpoint(checkpoint_dir)
    model = load_model(checkpoint, chosen)
    args, vocab = checkpoint.args, checkpoint.vocab
    corpus, ids = known_corpus(corpus_h5ad, vocab)
    _, validation, means = split_bins(corpus, args.get("n_bins", 51))
    cells = masked_cells(validation, args.get("max_seq_len", 1200), MASK_RATIO, validation_rng(seed))
    errors = masked_errors(model, cells, ids, vocab, means, BATCH_TOKENS)
    improvement = 1 - errors["decoder"] / errors["gene_mean"]
    record = {
        "name": name,
        "digest": checkpoint.digest,
        "published": checkpoint.published,
        "layers": model.layers,
        "heads": model.heads,
        "width": args["embsize"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary_size": sum(token not in (PAD, CLS, EOC) for token in vocab),
        "corpus_cells": len(corpus.cell_ids),
        "validation_cells": len(validation.indptr) - 1,
        "masked_mse": errors["decoder"],
        "masked_mse_from_cls": errors["mvc"],
        "gene_mean_mse": errors["gene_mean"],
        "tie_noise_floor": errors["tie_noise"],
        "relative_improvement": improvement,
        "learnt": improvement >= LEARNT,
        "verdict": _verdict(name, improvement, errors),
    }
    write_text(json.dumps(record, indent=1) + "\n", output_json)
    log.info("%s", record["verdict"])


def _verdict(name: str, improvement: float, errors: dict[str, float]) -> str:
    figures = (
        f"masked-value MSE {errors['decoder']:.1f} against {errors['gene_mean']:.1f} for the gene means, "
        f"tie-noise floor {errors['tie_noise']:.1f}"
    )
    if improvement >= LEARNT:
        return f"{name} predicts masked values {improvement:.1%} better than the gene means ({figures})."
    direction = f"{improvement:.1%} better" if improvement > 0 else f"{-improvement:.1%} worse"
    return (
        f"{name} is untrained on this corpus: it predicts masked values {direction} than the gene means "
        f"({figures}), short of the {LEARNT:.0%} asked for."
    )

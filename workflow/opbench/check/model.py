"""The checkpoint before a run: its files, its shape and whether every tensor is there; weights are only mapped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opbench.check.data import DOWNLOADS
from opbench.check.findings import Findings
from opbench.config import Config
from opbench.io.errors import InputError
from opbench.io.locate import locate
from opbench.models.checkpoint import (
    SHAPE_ARGS,
    UNUSED,
    WEIGHT_FILES,
    is_published_file,
    read_args,
    read_vocab,
    tensor_shapes,
)
from opbench.models.weights import read_weights
from opbench.operators.drift import layer_blocks, parse_head
from opbench.panels.reading import read_vocabulary

#: Tensors named in one problem: a wrong file has hundreds.
NAMED = 3


@dataclass(frozen=True)
class ModelFacts:
    """The model of a run: its shape, and the genes that restrict gene lists (None: no restriction)."""

    origin: str
    layers: int
    heads: int
    width: int
    feedforward: int
    max_length: int
    vocabulary: set[str] | None
    published: bool | None = None


def describe_model(config: Config, findings: Findings) -> ModelFacts | None:
    """Check the checkpoint's files or the recipe, the heads that are asked for, and the device."""
    facts = _given(config, findings) if config.model.checkpoint else _trained(config, findings)
    if facts is not None:
        findings.attempt(layer_blocks, facts.layers)
    for section, names in (("operators", config.operators.single_heads), ("sweeps", config.sweeps.single_heads)):
        for name in names:
            _check_head(name, f"{section}.single_heads", facts, findings)
    if config.model.device == "cuda":
        from opbench.models.device import choose_device

        findings.attempt(choose_device, "cuda")
    return facts


def _check_head(name: str, field: str, facts: ModelFacts | None, findings: Findings) -> None:
    try:
        layer, head = parse_head(name)
    except InputError:
        findings.problem(f"{field}: '{name}' is not a head; write it as L2H5 (zero-based).")
        return
    if facts and (layer >= facts.layers or head >= facts.heads):
        findings.problem(
            f"{field}: '{name}' is outside the model's {facts.layers} layers x {facts.heads} heads; both count from 0."
        )


def _trained(config: Config, findings: Findings) -> ModelFacts:
    recipe = config.model.pretrain
    if recipe.width % recipe.heads:
        findings.problem(
            f"model.pretrain.width: {recipe.width} is no multiple of heads, {recipe.heads}; change one of them."
        )
    for name in recipe.extra_genes:
        with findings.collect():
            _needed(name, "model.pretrain.extra_genes")
    universe = None
    if recipe.universe:
        with findings.collect():
            universe = set(read_vocabulary(_needed(recipe.universe, "model.pretrain.universe")))
    shape = (recipe.layers, recipe.heads, recipe.width, recipe.feedforward, recipe.max_length)
    return ModelFacts("trained in the run", *shape, universe)


def _needed(name: str, field: str) -> Path:
    if (path := locate(name)) is None:
        raise InputError(f"{field}: '{name}' is neither in $OPBENCH_DATA nor in the working folder; correct the path.")
    return path


def _folder(config: Config) -> Path | None:
    """The checkpoint's folder: the one that is named, or where its files are downloaded to; None: not here."""
    found = locate(str(config.model.checkpoint))
    if not config.model.files or (found and _complete(found)):
        return found
    downloaded = DOWNLOADS / Path(str(config.model.checkpoint)).name
    return downloaded if _complete(downloaded) else None


def _complete(folder: Path) -> bool:
    held = [(folder / name).is_file() for name in ("args.json", "vocab.json")]
    return all(held) and any((folder / name).is_file() for name in WEIGHT_FILES)


def _given(config: Config, findings: Findings) -> ModelFacts | None:
    folder = _folder(config)
    if folder is None and config.model.files:
        findings.warn(f"model.checkpoint: '{config.model.checkpoint}' will be downloaded and cannot be checked before.")
        return None
    if folder is None:
        findings.problem(
            f"model.checkpoint: '{config.model.checkpoint}' is neither in $OPBENCH_DATA nor in the working folder; "
            "name the folder that holds args.json, vocab.json and best_model.pt."
        )
        return None
    if not (folder / "recipe.json").is_file():
        findings.warn(
            f"model.checkpoint: {folder} does not say which cells it was trained on, so an overlap with the tested "
            "donors is unknown beyond this run's own corpus."
        )
    args = findings.attempt(read_args, folder / "args.json")
    vocab = findings.attempt(read_vocab, folder / "vocab.json")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        findings.problem(f"{folder}: holds no weight file; put {' or '.join(WEIGHT_FILES)} there.")
    if args is None or vocab is None:
        return None
    published = None
    if weights is not None:
        state = findings.attempt(read_weights, weights)
        if state is not None:
            shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
            _compare(weights, folder, args, max(vocab.values()), shapes, findings)
            published = is_published_file(weights)
    genes = set(read_vocabulary(folder / "vocab.json"))
    longest = args.get("max_seq_len", 1200)
    return ModelFacts(str(folder), *(args[key] for key in SHAPE_ARGS), longest, genes, published)


def _compare(
    path: Path, folder: Path, args: dict[str, Any], largest: int, shapes: dict[str, tuple[int, ...]], findings: Findings
) -> None:
    rows = (shapes.get("encoder.embedding.weight") or (0,))[0]
    expected = tensor_shapes(args, rows)
    missing = sorted(set(expected) - set(shapes) - {UNUSED})
    extra = sorted(set(shapes) - set(expected))
    wrong = [f"{n} {shapes[n]} for {expected[n]}" for n in expected if n in shapes and shapes[n] != expected[n]]
    for what, names in (("lacks", missing), ("has the unexpected", extra), ("has the wrong shape of", wrong)):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            findings.problem(
                f"{path}: {what} tensors {', '.join(names[:NAMED])}{more}; use weights that match args.json."
            )
    if rows and largest >= rows:
        findings.problem(
            f"{folder}/vocab.json: the largest id is {largest} but the embedding has {rows} rows; use the vocabulary "
            "that belongs to the weights."
        )

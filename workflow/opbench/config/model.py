"""The foundation model, its operator, and the adaptor."""

from typing import Literal

from pydantic import Field, model_validator

from opbench.config.base import Digest, Name, Section, Url, check_download_name
from opbench.config.evidence import FIXED_ARMS, ControlArm

#: Files of a checkpoint folder that can be downloaded.
CHECKPOINT_FILES = ("args.json", "vocab.json", "best_model.pt")


class Pretraining(Section):
    """A small scGPT-format model trained by masked-value prediction."""

    layers: int = Field(6, ge=3, description="Transformer layers; a multiple of 3 (three drift blocks).")
    heads: int = Field(4, ge=1, description="Attention heads.")
    width: int = Field(32, ge=8, description="Hidden width; a multiple of `heads`.")
    feedforward: int = Field(64, ge=8, description="Width of the feed-forward layer.")
    epochs: int = Field(10, ge=1, description="Passes over the corpus.")
    batch_tokens: int = Field(12000, ge=500, description="Tokens per length-bucketed batch.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak Adam learning rate (warm-up, then cosine decay).")
    mask_ratio: float = Field(0.4, gt=0, lt=1, description="Share of a cell's tokens whose value is masked.")
    n_bins: int = Field(51, ge=3, description="Value bins, the zero bin included.")
    max_length: int = Field(1200, ge=16, description="Most tokens per cell, drawn at random above it.")
    max_genes: int = Field(5000, ge=10, description="Most genes in the vocabulary.")
    extra_genes: list[str] = Field(
        [],
        description="Files of further genes (TRRUST pairs, PanglaoDB markers, or a CSV with a `gene` column), "
        "looked for like datasets.",
    )
    universe: str | None = Field(None, description="vocab.json to which the vocabulary is restricted.")
    seed: int = Field(0, description="Seed of initialisation, masks and order.")


class RemoteFile(Section):
    """A file that is downloaded when it is found nowhere."""

    url: Url = Field(description="Where it is (http or https).")
    sha256: Digest = Field(description="Its digest, checked when it has come.")


class Model(Section):
    """The frozen scGPT-format checkpoint."""

    name: Name = Field(description="Name shown in tables and report.")
    checkpoint: str | None = Field(
        None, description="Checkpoint folder (args.json, vocab.json, best_model.pt); null trains one in the run."
    )
    files: dict[Literal["args.json", "vocab.json", "best_model.pt"], RemoteFile] = Field(
        {},
        description="Where to download the checkpoint's files, all three, when the folder `checkpoint` is found "
        "nowhere or lacks one of them.",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where the model runs; `cuda` asks for a GPU and stops when there is none."
    )
    corpus: Name = Field(description="Dataset whose corpus cells make operator, validation and pre-training.")
    pretrain: Pretraining = Field(Pretraining(), description="Recipe when `checkpoint` is null.")

    @model_validator(mode="after")
    def _complete(self) -> "Model":
        if self.files:
            if self.checkpoint is None:
                raise ValueError("'files' needs 'checkpoint', the name that their folder gets")
            if missing := [name for name in CHECKPOINT_FILES if name not in self.files]:
                raise ValueError(f"'files' lacks {missing}; name all of {list(CHECKPOINT_FILES)}")
            check_download_name(self.checkpoint, "checkpoint")
        return self


class Operators(Section):
    """Attention operators and their matched random controls."""

    cells: int = Field(600, ge=1, description="Corpus cells over which attention is summed.")
    convention: Literal["operator", "operator_binned", "embedding"] = Field(
        "operator",
        description="Token convention: `operator` (expressed genes by value, no <cls>, log1p values), "
        "`operator_binned` (the same with 51 bins), `embedding` (released code: <cls>, bins, random sample).",
    )
    max_length: int = Field(1200, ge=16, description="Most tokens per cell.")
    single_heads: list[str] = Field([], description="Single heads to export beside the drift, as `L2H5`.")
    gaussian_draws: int = Field(2, ge=0, description="Draws of the Gaussian control on the operator's support.")
    gaussian_arm: Literal["halves", "blocks"] = Field(
        "halves",
        description="`halves`: N(0, sd of the drift half on the support); `blocks`: early, mid and late drawn "
        "with matched mean and sd, then differenced.",
    )
    controls: dict[ControlArm, int] = Field(
        {}, description="Further control arms → draws (1 for arms that are not random); docs/evidence.md lists them."
    )
    seed: int = Field(0, description="Seed of the cell sample and of the draws.")

    @model_validator(mode="after")
    def _draws(self) -> "Operators":
        for arm, draws in self.controls.items():
            if draws < 1:
                raise ValueError(f"'controls' gives '{arm}' {draws} draws; give at least 1 or leave it out")
            if arm in FIXED_ARMS and draws != 1:
                raise ValueError(f"'controls' gives '{arm}' {draws} draws, but it is not random; give 1")
        return self

    def names_of(self, arm: str, draws: int) -> list[str]:
        """Operator names of one arm, at most `draws` of a random one: `drift`, `gaussian` or a control's."""
        if arm == "drift":
            return ["drift"]
        if arm in FIXED_ARMS:
            return [arm] if arm in self.controls else []
        available = self.gaussian_draws if arm == "gaussian" else self.controls.get(arm, 0)  # type: ignore[call-overload]
        return [f"{arm}-{draw}" for draw in range(min(available, draws))]

    def control_names(self) -> list[str]:
        """Operator names of the control arms: `uniform`, `shuffle-0`, `shuffle-1`, …."""
        names = []
        for arm, draws in self.controls.items():
            names += [arm] if arm in FIXED_ARMS else [f"{arm}-{draw}" for draw in range(draws)]
        return names


class Adaptor(Section):
    """The cell head (arXiv:2603.10261; weights as reported, undisclosed terms at stated defaults)."""

    width: int = Field(10, ge=2, description="Latent dimension.")
    epochs: int = Field(120, ge=1, description="The paper's fixed budget.")
    budgets: list[Literal["fixed", "plateau"]] = Field(
        ["fixed", "plateau"], description="Train for the fixed budget, to a plateau, or both."
    )
    batch: int = Field(896, ge=16, description="Cells per batch.")
    cells_per_stage: int = Field(100, ge=5, description="Training cells per label, drawn by the split's seed.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam learning rate.")
    weight_stage: float = Field(1.0, ge=0, description="Weight of the stage-distance loss.")
    weight_local: float = Field(0.1, ge=0, description="Weight of the local-neighbourhood loss.")
    weight_recon: float = Field(0.08, ge=0, description="Weight of the tied reconstruction loss.")
    weight_class: float = Field(0.4, ge=0, description="Weight of the branch and stage cross-entropy.")
    neighbours: int = Field(15, ge=2, description="Neighbours of the local loss.")
    patience: int = Field(50, ge=1, description="Plateau: epochs without a better validation loss.")
    max_epochs: int = Field(2000, ge=1, description="Plateau: cap; reaching it is written as a status.")
    validation_donors: int = Field(3, ge=1, description="Plateau: whole training donors held out to stop on.")
    seed: int = Field(0, description="Seed of initialisation and batches.")

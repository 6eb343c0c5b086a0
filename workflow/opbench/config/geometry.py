"""Spectral geometry of gene representations (arXiv:2602.22247): spaces, scopes, analyses and their nulls."""

from difflib import get_close_matches
from typing import Literal

from pydantic import Field, field_validator, model_validator

from opbench.config.base import Name, Section

#: Analyses: a job each for every space.
Analysis = Literal[
    "spectrum", "compartments", "ppi", "tf_target", "edges", "signs", "convergence", "markers", "attention"
]
#: Setting -> kinds of knowledge that it may name.
KINDS = {
    "edges": ("trrust", "dorothea"),
    "interactions": ("string",),
    "localisation": ("hpa", "gmt"),
    "markers": ("panglao", "cellmarker"),
    "factors": ("gmt", "dorothea", "trrust"),
}
#: STRING's channels by the names used here -> their keys in its JSON.
CHANNELS = {
    "neighbourhood": "nscore",
    "fusion": "fscore",
    "phylogeny": "pscore",
    "coexpression": "ascore",
    "experiments": "escore",
    "databases": "dscore",
    "textmining": "tscore",
}


class GeometryKnowledge(Section):
    """Knowledge tables of the analyses; without one its analyses are `not_testable`."""

    edges: Name | None = Field(None, description="Regulatory edges with signs (kind trrust or dorothea).")
    interactions: Name | None = Field(None, description="Protein interactions with channels (kind string).")
    factors: Name | None = Field(
        None,
        description="A list of transcription factors that is not made of `edges` (all symbols of a gmt, sources of a "
        "dorothea or trrust table): classes of genes are then tested by it too.",
    )
    localisation: Name | None = Field(None, description="Compartments (kind hpa or gmt).")
    markers: Name | None = Field(None, description="Cell-type markers (kind panglao or cellmarker).")


class Geometry(Section):
    """The sister paper's analyses with the nulls that they lacked (docs/geometry.md)."""

    spaces: list[Literal["model", "random", "coexpression"]] = Field(
        [],
        description="Representations: the checkpoint's, those of a freshly drawn model of its shape, and the SVD of "
        "the same cells' co-expression; []: none.",
    )
    knowledge: GeometryKnowledge = Field(GeometryKnowledge(), description="Knowledge tables by use.")
    analyses: list[Analysis] = Field(
        ["spectrum", "compartments", "ppi", "tf_target", "edges", "signs", "convergence", "markers", "attention"],
        min_length=1,
        description="Analyses that run.",
    )
    cells: int = Field(256, ge=10, description="Corpus cells that are shown to the model, drawn by `seed`.")
    max_genes: int = Field(512, ge=16, description="Most tokens a cell, the highest values.")
    genes: int | None = Field(
        None,
        ge=100,
        description="Genes: the most variable ones of those cells, and all that knowledge names; null: all that the "
        "model knows.",
    )
    convention: Literal["operator", "operator_binned"] = Field(
        "operator", description="Values: log1p, or the same with bins."
    )
    seed: int = Field(42, description="Seed of the cells and of all permutations.")
    random_draw: int = Field(0, ge=0, description="Draw of the random model.")
    scopes: list[Literal["all_rows", "nonzero", "named_nonzero"]] = Field(
        ["all_rows", "nonzero", "named_nonzero"],
        min_length=1,
        description="Genes: all, those that were a token in `least_cells` cells (primary), and those of them that "
        "knowledge names.",
    )
    least_cells: int = Field(1, ge=1, description="Cells in which a gene must have been a token to be non-zero.")
    axes: int = Field(7, ge=7, description="Singular axes that are tested one by one.")
    pole: float = Field(0.25, gt=0, lt=0.5, description="Share of the genes at each pole of an axis.")
    bins: int = Field(
        5, ge=2, description="Quantile bins each of token count, detection and expression that strata cross."
    )
    permutations: int = Field(5000, ge=99, description="Permutations of each null.")
    slow_permutations: int = Field(
        1000, ge=99, description="The same where each trains classifiers, or draws subspaces."
    )
    bootstraps: int = Field(1000, ge=100, description="Bootstrap draws of genes or regulators.")
    term_size: int = Field(10, ge=2, description="Fewest genes of a compartment.")
    high_score: float = Field(0.7, gt=0, lt=1, description="STRING score of the co-pole pairs.")
    low_score: float = Field(0.4, gt=0, lt=1, description="STRING score of the graded pairs.")
    channels: dict[Name, list[str]] = Field(
        {"experiments": ["experiments"], "not_transcripts": ["experiments", "databases", "neighbourhood", "fusion"]},
        description="Scores made of some STRING channels alone, tested beside the combined one; co-expression and text "
        "mining are what a model of expression may have seen.",
    )
    sequence: list[str] = Field(
        ["Mitochondria", "Endoplasmic reticulum", "Plasma membrane"],
        description="Compartments whose order over layers is tested.",
    )
    secreted: list[str] = Field(
        ["Secreted", "Extracellular space", "Extracellular region", "GOCC_EXTRACELLULAR_SPACE",
         "GOCC_EXTRACELLULAR_REGION"],
        description="Terms of the localisation table that stand for secreted proteins; with none of them in the table, "
        "what is said of them is not testable.",
    )  # fmt: skip
    anchors: list[str] = Field(["PAX5"], min_length=1, description="Genes toward which others are said to converge.")
    converging: list[str] = Field(
        ["BATF", "BACH2", "PRDM1", "IRF4", "BCL6"], min_length=1, description="Genes that are said to do so."
    )
    marker_types: list[str] = Field(
        ["T cells", "B cells", "NK cells", "Monocytes", "Erythroid-like and erythroid precursor cells"],
        description="Cell types of the marker panel; []: all of the table.",
    )

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, channels: dict[str, list[str]]) -> dict[str, list[str]]:
        if "combined" in channels:
            raise ValueError("'combined' is STRING's own score, which is tested anyway; give yours another name")
        for score, names in channels.items():
            if unknown := next((name for name in names if name not in CHANNELS), None):
                near = get_close_matches(unknown, CHANNELS, n=1)
                meant = f"did you mean '{near[0]}'?" if near else f"choose among {', '.join(CHANNELS)}"
                raise ValueError(f"'{score}' names '{unknown}', which is no STRING channel; {meant}")
            if not names or len(set(names)) < len(names):
                raise ValueError(f"'{score}' names no channel, or one twice; name each that it is made of once")
        return channels

    @model_validator(mode="after")
    def _sensible(self) -> "Geometry":
        if "coexpression" in self.spaces and "model" not in self.spaces:
            raise ValueError("'spaces' names coexpression without model, whose cells and genes it takes; add model")
        if self.low_score >= self.high_score:
            raise ValueError(f"'low_score' is {self.low_score}, not below 'high_score' {self.high_score}")
        return self

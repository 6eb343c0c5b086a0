"""The paper's whole chain on anchors: parts, gates, head scan, compaction, factors, second manifold, artifact."""

from typing import Literal

from pydantic import Field, model_validator

from opbench.config.base import Digest, Name, Section
from opbench.config.benchmark import Campaign
from opbench.config.evidence import MustBeat
from opbench.config.model import Operators

#: Arms whose features are made of cells one by one, so that no matrix of theirs can be cut down to rank or factors.
NOT_MATRICES = ("token_bag", "label_lookup")
#: Columns that an interaction table needs (OmniPath's names).
INTERACTION_COLUMNS = ("source_genesymbol", "target_genesymbol")


class Knowledge(Section):
    """One table of public knowledge; none is part of the workflow."""

    path: str = Field(
        description="File name; looked for first in `$OPBENCH_KNOWLEDGE`, then as datasets are. What is found nowhere "
        "makes its analyses `not_testable`."
    )
    kind: Literal["gmt", "interactions", "trrust", "dorothea", "string", "hpa", "panglao", "cellmarker"] = Field(
        description="Layout: `gmt` gene sets by symbol, `interactions` ligand-receptor pairs (OmniPath's columns), or "
        "the source's own (`trrust`, `dorothea`, `string` JSON with channels, `hpa`, `panglao`, `cellmarker`)."
    )
    source: str = Field(description="Public source, version and citation.")
    licence: str = Field(description="Licence, or where it is stated; read it before you pass the file on.")
    sha256: Digest | None = Field(None, description="Digest of the file, checked when given.")


class DiscoveryPanel(Section):
    """Which cells of a panel are which part of the chain."""

    internal: Name = Field(description="Dataset whose anchors train heads.")
    external: Name | None = Field(
        None,
        description="Dataset of the external part, less the cells that are also in `internal`; null: the donors of "
        "`internal` that are not drawn for it.",
    )
    zero_shot: Name | None = Field(None, description="Dataset of the panel to which frozen heads are transferred.")
    control: Name | None = Field(
        None, description="Dataset, of no panel, on which the gates should fail; read over this panel's genes."
    )
    campaign: Name | None = Field(
        None, description="Campaign that leaves donors out, whose folds score compaction and factors; null: neither."
    )


class Gates(Section):
    """Gates on latent distances (spec E)."""

    widths: list[int] = Field([3, 6, 10], min_length=1, description="Latent widths of the anchor head.")
    epochs: int = Field(220, ge=1, description="Fixed budget of the anchor head.")
    neighbours: int = Field(15, ge=2, description="k of trustworthiness; (n - 1) // 2 of fewer anchors.")
    graph_neighbours: int = Field(12, ge=2, description="k of the graph of geodesic distances.")
    holdouts: int = Field(
        20, ge=1, description="Random holdouts of a fifth of the anchors, each with a head of its own."
    )
    permutations: int = Field(2000, ge=99, description="Permutations of labels inside blocks of donor and tissue.")
    rulers: int = Field(20, ge=2, description="Null rulers of each kind, each with a head of its own.")
    maps: int = Field(200, ge=20, description="Random maps from cell type to stage on the control part.")
    trust: float = Field(0.8, ge=0, le=1, description="Threshold of trustworthiness.")
    correlation: float = Field(0.2, ge=-1, le=1, description="Threshold of holdout correlations.")
    p: float = Field(0.001, gt=0, lt=1, description="Threshold of the blocked permutation.")
    min_anchors: int = Field(20, ge=5, description="A part with fewer anchors is not testable.")

    @model_validator(mode="after")
    def _reachable(self) -> "Gates":
        if 1 / (1 + self.permutations) > self.p:
            raise ValueError(f"'permutations' is {self.permutations}, too few to reach a p of {self.p}; give more")
        return self


class Hybrids(Section):
    """Topology-preserving heads (spec C.2)."""

    arms: list[MustBeat] = Field(
        ["gaussian", "uniform", "identity"],
        description="Control arms beside the real operator; each head of theirs costs as much as the real one's.",
    )
    draws: int = Field(2, ge=1, description="Draws of a random arm, each with as many heads as the real operator.")
    strong: list[float] = Field([0.04, 0.08, 0.12, 0.18], description="Weights of topology in the strong sweep.")
    strong_compact: float = Field(0.015, ge=0, description="Weight of compactness in the strong sweep.")
    conservative: list[float] = Field([0.005, 0.01, 0.02, 0.03], description="Weights in the conservative sweep.")
    select_on: Literal["internal", "external", "zero_shot"] = Field(
        "internal",
        description="Part on which the hybrid is selected: `internal` are held-out training donors; the paper selects "
        "on `external`, which is then selected and tested.",
    )


class Scan(Section):
    """Every single head on its own, trained in one batch (spec H.1)."""

    draws: int = Field(5, ge=1, description="Gaussian matrices for each head, on its support with its mean and sd.")
    epochs: int = Field(500, ge=1, description="Epochs of the batched anchor heads.")
    key: Literal["residualised", "correlation"] = Field("residualised", description="What heads are ranked by.")
    select_on: Literal["internal", "external"] = Field(
        "internal",
        description="Part on which the head of the compaction chain is chosen: held-out training donors, or the "
        "external part as in the paper (selected and tested).",
    )


class Compaction(Section):
    """Pooled drift, single head, ranks, hard-sparse factors; and the factors themselves (spec H.2, H.3)."""

    head: Literal["cell", "let"] = Field("cell", description="Adaptor that is trained again at each step.")
    ranks: list[int] = Field([64, 32, 16, 8], min_length=1, description="Ranks, the first the factors' own.")
    factors: int = Field(16, ge=1, description="Factors of the hard-sparse form.")
    genes: int = Field(60, ge=1, description="Read and write genes that each of them keeps.")
    draws: int = Field(5, ge=1, description="Draws of a random arm through the whole chain.")
    seeds: int = Field(2, ge=1, description="Head seeds of the real operator and of arms with one operator.")
    folds: int = Field(5, ge=2, description="Donor folds.")
    probe_cells: int = Field(
        20000,
        ge=100,
        description="Training cells of a fold's probes at most, drawn evenly over labels by the split's seed.",
    )
    core: int = Field(4, ge=2, le=6, description="Factors of the core, by singular value.")
    random_cores: int = Field(20, ge=1, description="Random sets of as many other factors.")
    program_genes: int = Field(30, ge=5, description="Read and write genes that describe a factor.")
    gene_sets: list[Name] = Field([], description="Knowledge tables (kind gmt) for the enrichment of these genes.")
    min_set: int = Field(5, ge=2, description="Fewest genes of a set in the panel for it to be tested.")


class Manifold(Section):
    """The second manifold: intercellular communication (spec I)."""

    interactions: Name | None = Field(None, description="Knowledge table (kind interactions); null: not run.")
    neighbours: list[int] = Field([10, 15, 20], min_length=1, description="k of the graphs of MDS and Isomap.")
    baselines: list[int] = Field([2, 3, 4, 5, 6], min_length=1, description="Principal components to beat.")
    shuffles: int = Field(200, ge=20, description="Shuffled path graphs.")


class Artifact(Section):
    """The standalone algorithm."""

    variant: str = Field("rank64", description="Form of its operator: `full`, `top1`, `rank<r>` or `sparse`.")
    min_coverage: float = Field(
        0.6, ge=0, le=1, description="Share of its genes that a user's file must hold; fewer is refused."
    )


class Discovery(Section):
    """The paper's chain, for the real operator and its controls alike (docs/discovery.md)."""

    panels: dict[Name, DiscoveryPanel] = Field({}, description="Panels that the chain runs on; {}: none.")
    arms: list[MustBeat] = Field(
        ["gaussian", "shuffle", "row_permuted", "uniform", "coexpression", "identity", "label_lookup"],
        description="Control arms beside the real operator; those that `operators` has no draw of are left out.",
    )
    draws: int = Field(20, ge=1, description="Draws of a random arm in gates, at most those of `operators`.")
    finding_draws: int = Field(5, ge=1, description="Draws of a random arm in latent findings and second manifold.")
    seeds: int = Field(5, ge=1, description="Head seeds of the real operator and of arms with one operator.")
    internal_share: float = Field(0.45, gt=0, lt=1, description="Share of the donors drawn for the internal part.")
    seed: int = Field(42, description="Seed of that draw.")
    head_seed: int = Field(15052, description="First head seed; the frozen head's.")
    learning_rates: list[float] = Field(
        [5e-3, 1e-3],
        min_length=1,
        description="Adam learning rates of the anchor heads; each head takes the one with the lowest training loss "
        "after its fixed budget.",
    )
    min_cells: int = Field(5, ge=1, description="Cells that an anchor (donor x tissue x cell type) needs.")
    gates: Gates = Field(Gates(), description="Gates.")
    hybrids: Hybrids = Field(Hybrids(), description="Hybrid heads.")
    scan: Scan = Field(Scan(), description="Scan of single heads.")
    compaction: Compaction = Field(Compaction(), description="Compaction and factors.")
    manifold: Manifold = Field(Manifold(), description="Second manifold.")
    artifact: Artifact = Field(Artifact(), description="Standalone algorithm.")

    @model_validator(mode="after")
    def _sensible(self) -> "Discovery":
        variants = {"full", "top1", "sparse", *(f"rank{rank}" for rank in self.compaction.ranks)}
        if self.artifact.variant not in variants:
            raise ValueError(f"'artifact.variant' is '{self.artifact.variant}', which is none of {sorted(variants)}")
        if self.compaction.core >= min(self.compaction.ranks[0], self.compaction.factors):
            raise ValueError("'compaction.core' must be less than the factors and the first rank")
        return self

    def operators_of(self, arm: str, operators: Operators, draws: int | None = None) -> list[str]:
        """Names of the operators of one arm: `drift`, `gaussian` or a control."""
        return operators.names_of(arm, draws or self.draws)

    def arms_of(self, operators: Operators) -> list[str]:
        """The real operator's arm, `drift`, and the control arms that have an operator; one job each."""
        return [arm for arm in ["drift", *self.arms] if self.operators_of(arm, operators)]

    def matrix_arms(self, operators: Operators) -> list[str]:
        """Arms whose operators are matrices on expression, which the compaction chain can cut down."""
        return [arm for arm in self.arms_of(operators) if arm not in NOT_MATRICES]

    def chains(self, campaigns: dict[str, Campaign]) -> list[str]:
        """Panels with compaction and factors."""
        return [name for name, panel in self.panels.items() if panel.campaign in campaigns]

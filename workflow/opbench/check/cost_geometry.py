"""Estimates of the geometry, from two runs of config/marrow_geometry.yaml on 2 shared cores.

One had 6 blocks of width 64, 4,784 genes and 2,000 cells, one 12 blocks of width 512, 8,269 genes and 256 cells, each
with the co-expression of its cells as a space of one layer; 5,000 permutations, 1,000 slow ones. Every job of theirs is
within a factor of 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from opbench.check.cost import BASE_MB, FLOPS, FORWARD_ENTRY, MODEL_START, START, TORCH_MB, Cost, Work, cost_row, flops
from opbench.config.geometry import Geometry

#: Permutations, and slow ones, that were measured.
PERMUTATIONS, SLOW = 5000, 1000
#: Seconds of reading tensor, cells and tables; memory of a job that does no more.
READING, READING_MB = 3.0, 480.0
#: The space without a model, of one layer.
REFERENCE = "coexpression"
#: Scopes that were measured, and what a list of factors adds to `tf_target`: one of them without random subspaces.
SCOPES, LISTED = 3, 0.5
#: Analyses that permute nothing, or train in every permutation.
WITHOUT, TRAINING = ("spectrum",), ("tf_target",)


@dataclass(frozen=True)
class Unit:
    """What an analysis takes beyond reading: seconds and megabytes.

    `fixed`, `layer` (times layers) and `tensor` (times its megabytes) are seconds; the first two grow with
    permutations. `more_mb`, `layer_mb`, `tensor_mb`, `square_mb` (times megabytes of genes² in single precision) and
    `rows_mb` (times thousands of layers x genes) are memory. `uses`: the tables without which it is not testable.
    """

    uses: tuple[str, ...] = ()
    fixed: float = 0.0
    layer: float = 0.0
    tensor: float = 0.0
    more_mb: float = 0.0
    layer_mb: float = 0.0
    tensor_mb: float = 0.0
    square_mb: float = 0.0
    rows_mb: float = 0.0


UNITS = {
    "spectrum": Unit(fixed=2, tensor=0.035, tensor_mb=1.35),
    "compartments": Unit(("localisation",), fixed=19, layer=0.3, tensor=0.3, more_mb=170, rows_mb=9),
    "ppi": Unit(("interactions",), fixed=13, tensor=0.02, more_mb=70, square_mb=1.5, tensor_mb=1),
    "tf_target": Unit(("edges",), fixed=2, layer=27, more_mb=360, tensor_mb=4),
    "edges": Unit(("edges",), fixed=60, layer=3, more_mb=300, layer_mb=40, square_mb=3, tensor_mb=1.5),
    "signs": Unit(("edges",), fixed=3.5, layer=0.8, more_mb=420, layer_mb=35),
    "convergence": Unit(fixed=1.5, tensor_mb=1.2),
    "markers": Unit(("markers",), fixed=3, layer=3.5, tensor=0.06, more_mb=320, layer_mb=20, square_mb=1.9,
                    tensor_mb=1.2),
    "attention": Unit(("interactions",), fixed=1, layer=1.2, layer_mb=35),
}  # fmt: skip


@dataclass(frozen=True)
class Space:
    """Layers, genes and width of a space of gene representations."""

    layers: int
    genes: int
    width: int

    @property
    def mb(self) -> float:
        """Megabytes of its tensor."""
        return 4e-6 * self.layers * self.genes * self.width

    def seconds(self, unit: Unit, permutations: float) -> float:
        """Seconds of an analysis with `permutations` times those that were measured."""
        return READING + permutations * (unit.fixed + unit.layer * self.layers) + unit.tensor * self.mb

    def memory(self, unit: Unit) -> float:
        """Megabytes of an analysis."""
        square, rows = 4e-6 * self.genes**2, 1e-3 * self.layers * self.genes
        grown = unit.layer_mb * self.layers + unit.tensor_mb * self.mb + unit.square_mb * square + unit.rows_mb * rows
        return READING_MB + unit.more_mb + grown


def space_genes(work: Work, named: Mapping[str, frozenset[str]]) -> set[str] | int:
    """Genes of the spaces, or how many where they are chosen in the run. `named`: use -> symbols of its table."""
    s, corpus = work.config.geometry, set(work.datasets[work.config.model.corpus].genes)
    if work.model is None or not corpus:
        return 0
    if work.model.vocabulary is None:  # a model that the run trains knows its panels' genes
        known: set[str] | int = min(len(corpus), sum(panel.n_genes for panel in work.panels.values()))
        return known if s.genes is None else min(known, s.genes)
    known = corpus & work.model.vocabulary
    if s.genes is None:
        return known
    chosen = known & frozenset().union(*(named.get(use, ()) for use in ("edges", "interactions", "markers")))
    return min(len(known), s.genes + len(chosen))


def geometry_costs(work: Work, named: Mapping[str, frozenset[str]]) -> list[Cost]:
    """Rows of the geometry's rules; `named`: use -> symbols of its table, none where it is not there."""
    s, model = work.config.geometry, work.model
    genes = space_genes(work, named)
    count = genes if isinstance(genes, int) else len(genes)
    if not s.spaces or model is None or not count:
        return []
    real = Space(model.layers + 1, count, model.width)
    reference = Space(1, count, min(model.width, s.cells))
    jobs = [(reference if space == REFERENCE else real, space, name) for space in s.spaces for name in s.analyses]
    seconds = [START + _analysis_seconds(s, named, *job) for job in jobs]
    longest = jobs[max(range(len(jobs)), key=lambda index: seconds[index])][2]
    memory = [(space.memory(UNITS[name]), name) for space, _, name in jobs if _testable(named, name)]
    most, largest = max(memory, default=(READING_MB, ""))
    told = f"; longest {longest}, most memory {largest}" if largest else ""
    rows = [
        *_space_costs(work, named, real, genes),
        cost_row("analyse_geometry", seconds, most, 0.1 * len(jobs),
                 f"scopes x layers x permutations, layers x genes x width, genes²{told}"),
        cost_row("collect_geometry", [START + 1], BASE_MB, 1, "one job"),
        cost_row("judge_geometry", [START + 1], BASE_MB, 1, "one job"),
    ]  # fmt: skip
    if REFERENCE in s.spaces:
        made = 5 + 1e-9 * count * s.cells**2
        rows.insert(1, cost_row("extract_reference", [START + made], TORCH_MB + 24e-6 * count * s.cells, reference.mb,
                                "cells² x genes"))  # fmt: skip
    return rows


def _testable(named: Mapping[str, frozenset[str]], analysis: str) -> bool:
    return all(named.get(use) for use in UNITS[analysis].uses)


def _analysis_seconds(
    s: Geometry, named: Mapping[str, frozenset[str]], space: Space, name: str, analysis: str
) -> float:
    """Seconds of an analysis of a space; one that is not testable there only says so."""
    scopes: float = len(s.scopes)
    if analysis == "attention":  # in one scope, and of models alone
        scopes = SCOPES * ("named_nonzero" in s.scopes and name != REFERENCE)
    if analysis == "tf_target":
        scopes += LISTED * ("nonzero" in s.scopes and bool(named.get("factors")))
    if not scopes or not _testable(named, analysis):
        return READING
    drawn = s.slow_permutations / SLOW if analysis in TRAINING else s.permutations / PERMUTATIONS
    seconds = space.seconds(UNITS[analysis], 1.0 if analysis in WITHOUT else drawn)
    return READING + (seconds - READING) * scopes / SCOPES


def _space_costs(work: Work, named: Mapping[str, frozenset[str]], space: Space, genes: set[str] | int) -> list[Cost]:
    """The pass of each model over the cells, which leaves its tensor and the attention among named genes."""
    s, model = work.config.geometry, work.model
    models = [name for name in s.spaces if name != REFERENCE]
    if model is None or not models:
        return []
    held = work.datasets[work.config.model.corpus]
    tokens = min(s.max_genes, held.detected(genes if isinstance(genes, set) else set(held.genes)), space.genes)
    forward = flops(model, tokens) / FLOPS + FORWARD_ENTRY * model.layers * model.heads * tokens**2
    interactions = named.get("interactions", frozenset())
    among = len(interactions & genes) if isinstance(genes, set) else min(len(interactions), space.genes)
    disk = space.mb + 4e-6 * model.layers * among**2
    weights = 4e-6 * (model.layers * (4 * model.width**2 + 2 * model.width * model.feedforward) + 6e4 * model.width)
    return [
        cost_row("extract_space", [START + MODEL_START + s.cells * forward] * len(models),
                 TORCH_MB + weights + 2 * disk, disk * len(models),
                 "cells x tokens² x layers; memory and disk with layers x genes x width"),
    ]  # fmt: skip

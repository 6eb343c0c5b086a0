"""Estimates of time, memory and disk of every rule, from measured unit costs; expect them to be right to a factor of 2.

Unit costs were measured on 2 cores in the run of config/marrow.yaml (16,300 cells, 6-layer model, panels of about 1,200
genes) and in short runs of single functions, one thread each. Seconds and megabytes unless a name says otherwise.
"""

from dataclasses import dataclass, field
from math import isfinite

from opbench.check.data import Facts
from opbench.check.donors import CampaignFacts
from opbench.check.genes import PanelFacts
from opbench.check.model import ModelFacts
from opbench.check.operators import OperatorFiles
from opbench.config import Config
from opbench.config.benchmark import Campaign

#: Start of a job: interpreter, imports, and Snakemake's own share (marrow run: jobs that do next to nothing).
START = 1.5
#: More for a job that sums attention: PyTorch and the checkpoint (marrow run: 4.7 s for 600 cells of 62 tokens).
MODEL_START = 2.5
#: Planning the jobs, and the report at the end (marrow run).
AROUND = 12.0
#: Reading and checking one stored count (14.6 million in 0.44 s, gzip); a dense matrix stores its zeros too.
READ = 3e-8
#: Ranking genes: the loess fit of the variance trend (marrow run).
RANK = 2.0
#: Drawing one entry of a simulated cohort.
DRAW = 1e-7
#: One attention entry (layer x head x token²) beyond its floating-point operations: summed, and in a plain forward
#: pass (2 to 6 layers, width 64 and 512, 80 to 1,200 tokens: right to a factor of 2).
ATTENTION_ENTRY, FORWARD_ENTRY = 1e-9, 5e-10
#: Floating-point operations per second of one thread in the dense layers.
FLOPS = 7e10
#: A pre-training step of one layer, whatever its size (the simulated cohort of config/config.yaml).
STEP_LAYER = 5e-3
#: One stored count times one operator column (sparse times dense), and one entry of an attention file read.
PROJECT, EXPORT = 1.5e-10, 2e-8
#: A comparison of one pair on one endpoint (marrow run: 14 s for about 4,000), a figure, a small table.
COMPARE, FIGURE, TABLE = 3.5e-3, 1.9, 1.2
#: Tokens, packing and pooling of one cell that is embedded (marrow panel: 13 s for 4,039 cells).
EMBED = 3e-3
#: Memory of an interpreter with the data libraries; with PyTorch as well.
BASE_MB, TORCH_MB = 260, 510
#: Tables of every run that are jobs of their own, and a figure on disk.
TABLES, FIGURE_MB = 13, 1.1
#: Numerical rank of one operator, per genes³: the operations of its Gram matrix and eigenvalues, in double precision.
RANK_CUBE = 3e-10
#: Cells of a panel that are embedded again, and how often (marrow run: 9 s for two panels).
REPEATED, TIMES = 300, 3


@dataclass(frozen=True)
class Cost:
    """Estimate of one rule: all its jobs' seconds, the longest job, the memory of one job, what it leaves on disk."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    memory_mb: float
    disk_mb: float
    basis: str


@dataclass(frozen=True)
class Work:
    """Everything that costs depend on. Facts of datasets that are not here yet are absent, and so are their costs.

    `operators` maps a panel to its operator files; `embedded` are the panels whose cells are embedded, `whole` those
    that are also built over every gene.
    """

    config: Config
    datasets: dict[str, Facts]
    panels: dict[str, PanelFacts]
    model: ModelFacts | None
    campaigns: dict[str, CampaignFacts]
    operators: dict[str, OperatorFiles]
    embedded: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)

    @property
    def corpus_cells(self) -> int:
        """Cells of the corpus."""
        return len(self.datasets[self.config.model.corpus].role("corpus"))


def is_battery(campaign: Campaign) -> bool:
    """Whether a campaign holds the real operator against control arms."""
    return isinstance(campaign.methods, list) and "control_head" in campaign.methods


def cost_row(rule: str, jobs: list[float], memory: float, disk: float, basis: str) -> Cost:
    """A rule's estimate from the seconds of each of its jobs."""
    return Cost(rule, len(jobs), sum(jobs), max(jobs, default=0.0), memory, disk, basis)


def stage_costs(work: Work) -> list[Cost]:
    """Estimates of all rules but sweeps, chain, geometry and `run_method`; those without known inputs are left out."""
    return [*_data_costs(work), *_model_costs(work), *_operator_costs(work), *_table_costs(work)]


def _data_costs(work: Work) -> list[Cost]:
    known = {name: facts.layout for name, facts in work.datasets.items() if facts.layout}
    out = []
    simulated = [f for f in work.datasets.values() if f.state == "simulated" and f.layout]
    if simulated:
        sizes = [f.layout.cells * f.layout.genes for f in simulated if f.layout]
        disk = sum(f.layout.file_mb for f in simulated if f.layout)
        out.append(cost_row("simulate_cohort", [START + DRAW * n for n in sizes], 400, disk, "cells x genes"))
    if not known:
        return out
    seconds = {name: START + READ * layout.stored for name, layout in known.items()}
    cells = sum(layout.cells for layout in known.values())
    out.append(cost_row("select_cells", list(seconds.values()), BASE_MB + 60, 1e-4 * cells, "stored counts, one pass"))
    corpus = work.config.model.corpus
    ranked, built, corpus_counts = [], [], work.corpus_cells * work.datasets[corpus].per_cell
    for name, panel in work.config.panels.items():
        needed = {*panel.datasets, *filter(None, [panel.genes.corpus])}
        if needed <= set(known) and name in work.panels:
            passes = [panel.genes.corpus] if panel.genes.kind == "hvg" else []
            ranked.append(START + sum(seconds[str(key)] for key in passes) + RANK * bool(passes))
            built.append(sum(seconds[key] for key in panel.datasets))
    out.append(cost_row("select_genes", ranked, BASE_MB + 40e-6 * corpus_counts, 0.1, "corpus counts, variance trend"))
    counts = {name: panel.cells * panel.detected for name, panel in work.panels.items()}
    memory = BASE_MB + 60e-6 * max(counts.values(), default=0)
    out.append(cost_row("build_panel", built, memory, 16e-6 * sum(counts.values()), "stored counts, one pass"))
    whole = [name for name in sorted(work.whole) if name in work.panels]
    if whole and all(set(work.config.panels[name].datasets) <= set(known) for name in whole):
        stored = [sum(known[key].stored for key in work.config.panels[name].datasets) for name in whole]
        seconds_ = [sum(2 * seconds[key] for key in work.config.panels[name].datasets) for name in whole]
        memory = BASE_MB + 20e-6 * max(stored)
        out.append(cost_row("build_all_genes", seconds_, memory, 16e-6 * sum(stored), "stored counts, two passes"))
    if corpus in known:
        held = corpus_counts if work.model is None or work.model.vocabulary is None else _corpus_tokens(work)
        disk = 8e-6 * held
        out.append(cost_row("build_corpus", [seconds[corpus]], BASE_MB + 4 * disk, disk, "stored counts, one pass"))
    return out


def _corpus_tokens(work: Work) -> float:
    """Stored counts of the corpus over the model's vocabulary."""
    corpus = work.datasets[work.config.model.corpus]
    vocabulary = work.model.vocabulary if work.model and work.model.vocabulary else set(corpus.genes)
    return work.corpus_cells * corpus.detected(vocabulary)


def flops(model: ModelFacts, tokens: float) -> float:
    """Floating-point operations of a forward pass over one cell."""
    dense = 8 * model.width**2 + 4 * model.width * model.feedforward
    return model.layers * tokens * (dense + 4 * tokens * model.width)


def _model_costs(work: Work) -> list[Cost]:
    model, cells = work.model, work.corpus_cells
    if model is None or not cells:
        return []
    recipe, out = work.config.model.pretrain, []
    longest = model.max_length
    if work.config.model.checkpoint:
        tokens = min(longest, _corpus_tokens(work) / cells)
    else:
        # The vocabulary will be the panels' genes, so each cell has about as many tokens as in the largest panel.
        tokens = min(longest, max((panel.corpus_detected for panel in work.panels.values()), default=0.0))
        steps = recipe.epochs * max(1.0, cells * tokens / recipe.batch_tokens) * recipe.layers
        seconds = START + steps * STEP_LAYER + 3 * recipe.epochs * cells * flops(model, tokens) / FLOPS
        out.append(cost_row("build_vocabulary", [START], BASE_MB, 0.1, "one job"))
        out.append(cost_row("pretrain_nano", [seconds], 2 * TORCH_MB, 2, "cells x tokens x epochs"))
    validated = min(1000, cells / 10)
    forward = flops(model, tokens) / FLOPS + FORWARD_ENTRY * model.layers * model.heads * tokens**2
    weights = 4e-6 * (model.layers * (4 * model.width**2 + 2 * model.width * model.feedforward) + 6e4 * model.width)
    memory = TORCH_MB + 2 * weights + 30e-6 * cells * tokens
    out.append(cost_row("describe_model", [2 * START + validated * forward], memory, 0, "validation cells x tokens²"))
    return out


def attention_seconds(work: Work, panel: str) -> float:
    """Seconds of summing attention over the corpus cells, for one panel and convention."""
    assert work.model is not None
    settings, maps = work.config.operators, work.model.layers * work.model.heads
    tokens = min(settings.max_length, work.panels[panel].corpus_detected)
    return (
        START + MODEL_START + settings.cells * (ATTENTION_ENTRY * maps * tokens**2 + flops(work.model, tokens) / FLOPS)
    )


def export_seconds(work: Work, panel: str) -> float:
    """Seconds of making one operator from a panel's attention."""
    assert work.model is not None
    return START + EXPORT * work.panels[panel].n_genes ** 2 * (work.model.layers * work.model.heads + 1)


def square_mb(work: Work, panel: str) -> float:
    """Megabytes of a matrix of genes by genes in single precision."""
    return 4e-6 * work.panels[panel].n_genes ** 2


def _embedding_seconds(work: Work, panel: str) -> float:
    """Seconds of embedding one cell."""
    assert work.model is not None
    tokens = min(work.config.operators.max_length, work.panels[panel].detected + 1)
    maps = work.model.layers * work.model.heads
    return EMBED + flops(work.model, tokens) / FLOPS + FORWARD_ENTRY * maps * tokens**2


def _operator_costs(work: Work) -> list[Cost]:
    known = bool(work.panels) and all(isfinite(panel.detected) for panel in work.panels.values())
    if work.model is None or not known:
        return []
    maps = work.model.layers * work.model.heads
    attention, untrained, export, project, disk, written = [], [], [], [], 0.0, 0.0
    measure, repeat = START, START
    for name, panel in work.panels.items():
        files = work.operators[name]
        attention.append(attention_seconds(work, name))
        untrained += [attention[-1]] * sum(operator.startswith("random_model-") for operator in files.exported)
        export += [export_seconds(work, name)] * len(files.exported)
        project += [START + PROJECT * panel.cells * panel.detected * 2 * panel.n_genes] * len(files.projected)
        disk += panel.cells * 8e-6 * panel.n_genes * len(files.projected)
        written += square_mb(work, name) * len(files.exported)
        measure += EXPORT * panel.n_genes**2 * maps + RANK_CUBE * panel.n_genes**3 * (len(files.measured) + 1)
        repeat += TIMES * min(REPEATED, panel.cells) * _embedding_seconds(work, name)
    embed = [START + work.panels[name].cells * _embedding_seconds(work, name) for name in sorted(work.embedded)]
    squares = [square_mb(work, name) for name in work.panels]
    widest = max(
        panel.cells * 8e-6 * panel.n_genes + 32e-6 * panel.cells * panel.detected for panel in work.panels.values()
    )
    top = max(squares)
    return [
        cost_row("accumulate_attention", attention, TORCH_MB + 2 * top * maps + 130, sum(squares) * (maps + 1),
             "cells x layers x heads x tokens²"),
        *([cost_row("accumulate_random_attention", untrained, TORCH_MB + 2 * top * maps + 130, 0,
                    "as the real model's")] if untrained else []),
        cost_row("export_operator", export, BASE_MB + 2 * top * (maps + 1), 2 * written, "panel genes² x heads"),
        cost_row("project_cells", project, BASE_MB + 2 * top + widest, disk, "counts x panel genes"),
        cost_row("embed_cells", embed, TORCH_MB + 130, 0.1 * len(embed), "cells x tokens²"),
        cost_row("measure_operators", [measure], BASE_MB + top * (maps + 12), 0.1,
                 "operators x panel genes³, counted and not timed"),
        cost_row("repeat_embedding", [repeat], TORCH_MB + 130, 0.1, "panels x tokens²"),
    ]  # fmt: skip


def _table_costs(work: Work) -> list[Cost]:
    campaigns, panels = len(work.config.campaigns), len(work.config.panels)
    small = [START] * 2 * campaigns
    swept = sum(work.config.sweeps.campaign_of(p, work.config.campaigns) is not None for p in work.config.panels)
    # Two figures of a battery, four or five of another campaign, one of each panel and of each that is swept, and
    # costs, running time and claims of the run.
    each = [2 if is_battery(c) else 4 + c.pseudotime for c in work.config.campaigns.values()]
    figures = sum(each) + panels + swept + 3 + _more_figures(work.config)
    compared = 0.0
    for facts in work.campaigns.values():
        compared += COMPARE * facts.pairs * len(facts.scored)
    return [
        cost_row("draw_splits, find_roots", small, BASE_MB + 100, 0.1, "one job each"),
        cost_row(
            "tables", [TABLE] * (TABLES - 1 + (swept > 0)) + [TABLE + compared], 600, 1 + campaigns, "pairs x endpoints"
        ),
        cost_row("draw_figure", [FIGURE] * figures, 350, FIGURE_MB * figures, "one job each"),
    ]


def _more_figures(config: Config) -> int:
    """Figures of the chain (eight of each panel, one of its second manifold, four of its compaction) and geometry."""
    chain = config.discovery
    each = 8 + bool(chain.manifold.interactions)
    return each * len(chain.panels) + 4 * len(chain.chains(config.campaigns)) + 9 * bool(config.geometry.spaces)

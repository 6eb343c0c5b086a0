"""Estimates of `run_method`: from a previous run's costs table where there is one, else from measured unit costs."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from opbench.check.cost import BASE_MB, TORCH_MB, Cost, Work
from opbench.check.genes import PanelFacts
from opbench.check.settings import Arms
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS
from opbench.io.tables import COSTS, read_table
from opbench.readouts.sweeps import FULL_CELL

#: Start of a job that opens a panel (marrow run: wall time of the jobs less what they report).
START = 2.7
#: Seconds per training cell and panel gene of a fit and its readouts (marrow run; campaigns of 3,777 and 10,728
#: training cells agree within a factor of 2.5); `raw_log1p` stands for methods that were not measured. From the second
#: line on they are of one panel, 3,777 cells of 1,200 genes (CellTypist's native model reads every gene), with their
#: trainings to a plateau.
FIT = {
    "raw_log1p": 2.2e-7, "pca10": 1e-7, "svd10": 5e-8, "random_projection": 0, "chance": 0, "oracle": 0,
    "scvi": 5.1e-6, "scvi_scarches": 1e-5, "celltypist_native": 5.1e-6, "celltypist_panel": 6.5e-7,
    "celltypist_released": 6.6e-7, "direct_mlp": 9.6e-7, "frozen_embedding": 1.5e-7, "frozen_embedding_mlp": 4.9e-7,
    "rp512": 3.1e-7, "rp_embedding": 1.2e-7, "pca512": 2.8e-7, "floor_mean": 1e-8, "floor_detection": 1e-8,
    "floor_library": 1e-8, "majority_class": 0, "dpt": 2e-8, "palantir": 3e-8,
}  # fmt: skip
#: An epoch of the head: seconds per training cell and cell of its batch, and per training cell and feature (fits of 783
#: to 1,470 cells and 800 to 2,464 features agree within a tenth).
EPOCH_PAIR, EPOCH_FEATURE = 1.1e-8, 5e-9
#: Epochs to a plateau (marrow run: 140 to 500; a lookup of the label reached its cap in 15 of 15 fits).
PLATEAU_EPOCHS = 250
CAPPED = ("lookup_head",)
#: Readouts of a split, per training cell, and per tested donor where pseudotime is scored.
READOUT, PSEUDOTIME = 2e-5, 0.03
#: Methods whose variants without a budget are no more than their readouts (marrow run, lookup: 0.16 s), and those that
#: probe an operator at full width, whose seconds per cell are those of the sweeps' full-width probes.
READ_ALONE, FULL_WIDTH = ("lookup_head",), ("operator_probe",)
#: Tables of one job on disk.
JOB_MB = 0.15

#: (campaign, method, budget) -> (seconds of a split and variant, peak MB of a job).
Previous = dict[tuple[str, str, str], tuple[float, float]]


@dataclass(frozen=True)
class _Sizes:
    genes: int
    cells: int
    counts: float
    operators: int


def previous_costs(path: str | Path) -> Previous:
    """Measured costs of an earlier run, from its COSTS table."""
    table = read_table(path, COSTS)
    table = table[table["status"].isin(("ok", "cap"))]
    table = table.assign(each=(table["wall_s"] + table["saved_s"]) / table["splits"])
    found = table.groupby(["campaign", "method", "budget"]).agg(each=("each", "mean"), peak=("peak_mb", "max"))
    return {(str(c), str(m), str(b)): (row.each, row.peak) for (c, m, b), row in found.iterrows()}


def method_costs(work: Work, arms: dict[str, list[Arms]], previous: Previous, source: str) -> list[Cost]:
    """One row per campaign whose donors are known; the basis says from where, and which methods were not measured."""
    out = []
    for name, facts in work.campaigns.items():
        campaign = work.config.campaigns[name]
        panel = work.panels[campaign.panel]
        used = sum(len(work.datasets[key].role("evaluation")) for key in {campaign.train, campaign.test})
        chunks = ceil(facts.splits / campaign.splits_per_job)
        seconds, memory, guessed, taken = [], [], dict[str, str](), 0
        for item in arms[name]:
            sizes = _Sizes(panel.n_genes, used, panel.cells * panel.detected, _held(item, work.config, name))
            peak, total = _memory(item, sizes), 0.0
            for variant in item.variants:
                if found := previous.get((name, item.method, variant.budget)):
                    each, peak = found[0], max(found[1], 0.0)
                    taken += 1
                else:
                    each = _seconds(item, variant.budget, work, name, panel, chunks)
                    if other := _stand_in(item, variant.budget):
                        guessed[item.method] = other
                total += each * facts.splits
            seconds += [START + total / chunks] * chunks
            memory.append(peak)
        basis = "splits x training cells x genes (heads: x epochs)"
        if taken:
            basis = f"{source}, seconds per split and variant"
        else:
            full = [item.method for item in arms[name] if item.method in FULL_WIDTH and item.variants]
            basis += "".join(f"; {method} as the sweeps' full-width probes" for method in full)
            basis += "".join(f"; {method} not measured, taken as {other}" for method, other in guessed.items())
        out.append(
            Cost(f"run_method {name}", len(seconds), sum(seconds), max(seconds, default=0), max(memory, default=0),
                 JOB_MB * len(seconds), basis)
        )  # fmt: skip
    return out


def _stand_in(item: Arms, budget: str) -> str:
    """The measured method whose unit cost stands for one that was not measured; '' for those that were."""
    if item.method in (*FIT, *READ_ALONE, *FULL_WIDTH) or (budget and item.operator_kinds):
        return ""
    return "extracted_head" if budget else "raw_log1p"


def _seconds(item: Arms, budget: str, work: Work, campaign: str, panel: PanelFacts, chunks: int) -> float:
    """Seconds of one split of one variant."""
    facts, adaptor, settings = work.campaigns[campaign], work.config.adaptor, work.config.campaigns[campaign]
    readout = READOUT * facts.train
    if settings.pseudotime:
        readout += PSEUDOTIME * facts.tested / facts.splits
    if item.method in FULL_WIDTH:
        return readout + FULL_CELL * panel.cells
    if not budget and item.method in READ_ALONE:
        return readout
    if not budget or item.method in FIT:
        return readout + FIT.get(item.method, FIT["raw_log1p"]) * facts.train * panel.n_genes
    cap = settings.max_epochs or adaptor.max_epochs
    plateau = cap if item.method in CAPPED else min(cap, PLATEAU_EPOCHS)
    epochs = adaptor.epochs if budget == "fixed" else plateau
    batch = facts.fitted / max(1, ceil(facts.fitted / adaptor.batch))
    fit = epochs * facts.fitted * (EPOCH_PAIR * batch + EPOCH_FEATURE * 2 * panel.n_genes)
    # One head for all splits is fitted once a job.
    return readout + (fit * chunks / facts.splits if item.protocol == "leaking" else fit)


def _held(item: Arms, config: Config, campaign: str) -> int:
    """Operators whose features a job holds at once: all that were projected, one of those that it applies itself."""
    kinds, draws = set(item.operator_kinds), config.campaigns[campaign].gaussian_draws
    if item.needs_operators or kinds & {*RANDOM_ARMS, *FIXED_ARMS}:
        return 1
    return ("drift" in kinds) + (config.operators.gaussian_draws if draws is None else draws) * ("gaussian" in kinds)


def _memory(item: Arms, sizes: _Sizes) -> float:
    """Peak MB of a job: interpreter, panel, mapped operators' features, and a few dense copies of them."""
    panel = 32e-6 * sizes.counts
    if sizes.operators:
        features = 8e-6 * sizes.genes * sizes.cells
        return TORCH_MB + 100 + panel + features * (sizes.operators + 2.5)
    return BASE_MB + 100 + panel + 16e-6 * sizes.cells * sizes.genes

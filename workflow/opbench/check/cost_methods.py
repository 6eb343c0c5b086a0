"""Estimates of `run_method`: from a previous run's costs table where there is one, else from measured unit costs."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from opbench.check.cost import BASE_MB, TORCH_MB, Cost, Work
from opbench.check.settings import Arms
from opbench.io.tables import COSTS, read_table

#: Start of a job that opens a panel (marrow run: wall time of the jobs less what they report).
START = 2.7
#: Seconds per training cell and panel gene of a fit and its readouts (marrow run; campaigns of 3,777 and 10,728
#: training cells agree within a factor of 2); `raw_log1p` stands for methods that were not measured. From the second
#: line on they are of one panel, 3,777 cells of 1,200 genes (CellTypist's native model reads every gene), with their
#: trainings to a plateau.
FIT = {
    "raw_log1p": 8.1e-7, "pca10": 1e-7, "svd10": 5e-8, "random_projection": 0, "chance": 0, "oracle": 0,
    "scvi": 5.1e-6, "scvi_scarches": 1e-5, "celltypist_native": 5.1e-6, "celltypist_panel": 6.5e-7,
    "celltypist_released": 6.6e-7, "direct_mlp": 9.6e-7, "frozen_embedding": 1.5e-7, "frozen_embedding_mlp": 4.9e-7,
    "rp512": 3.1e-7, "rp_embedding": 1.2e-7, "pca512": 2.8e-7, "floor_mean": 1e-8, "floor_detection": 1e-8,
    "floor_library": 1e-8, "majority_class": 0, "dpt": 2e-8, "palantir": 3e-8,
}  # fmt: skip
#: An epoch of the head: seconds per training cell and cell of its batch, and per training cell and feature (fits of 783
#: to 1,470 cells and 800 to 2,464 features agree within a tenth).
EPOCH_PAIR, EPOCH_FEATURE = 1.1e-8, 5e-9
#: Epochs to a plateau (marrow run: 140 to 500).
PLATEAU_EPOCHS = 250
#: Readouts of a split, per training cell, and per tested donor where pseudotime is scored.
READOUT, PSEUDOTIME = 2e-5, 0.03
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
        seconds, memory, guessed, taken = [], [], [], 0
        for item in arms[name]:
            kinds = {"drift": 1, "gaussian": work.config.operators.gaussian_draws}
            operators = sum(kinds.get(kind, 0) for kind in item.operator_kinds)
            sizes = _Sizes(panel.n_genes, used, panel.cells * panel.detected, operators)
            peak, total = _memory(item, sizes), 0.0
            for variant in item.variants:
                if found := previous.get((name, item.method, variant.budget)):
                    each, peak = found[0], max(found[1], 0.0)
                    taken += 1
                else:
                    each = _seconds(item, variant.budget, work, name, panel.n_genes, chunks)
                total += each * facts.splits
            if not operators and item.method not in FIT:
                guessed.append(item.method)
            seconds += [START + total / chunks] * chunks
            memory.append(peak)
        basis = "splits x training cells x genes (heads: x epochs)"
        if taken:
            basis = f"{source}, seconds per split and variant"
        elif guessed:
            basis += f"; {', '.join(guessed)} not measured, taken as raw_log1p"
        out.append(
            Cost(f"run_method {name}", len(seconds), sum(seconds), max(seconds, default=0), max(memory, default=0),
                 JOB_MB * len(seconds), basis)
        )  # fmt: skip
    return out


def _seconds(item: Arms, budget: str, work: Work, campaign: str, genes: int, chunks: int) -> float:
    """Seconds of one split of one variant."""
    facts, adaptor = work.campaigns[campaign], work.config.adaptor
    readout = READOUT * facts.train
    if work.config.campaigns[campaign].pseudotime:
        readout += PSEUDOTIME * facts.tested / facts.splits
    if not budget or item.method in FIT:
        return readout + FIT.get(item.method, FIT["raw_log1p"]) * facts.train * genes
    epochs = adaptor.epochs if budget == "fixed" else min(adaptor.max_epochs, PLATEAU_EPOCHS)
    batch = facts.fitted / max(1, ceil(facts.fitted / adaptor.batch))
    fit = epochs * facts.fitted * (EPOCH_PAIR * batch + EPOCH_FEATURE * 2 * genes)
    # One head for all splits is fitted once a job.
    return readout + (fit * chunks / facts.splits if item.protocol == "leaking" else fit)


def _memory(item: Arms, sizes: _Sizes) -> float:
    """Peak MB of a job: interpreter, panel, mapped operators' features, and a few dense copies of them."""
    panel = 32e-6 * sizes.counts
    if sizes.operators:
        features = 8e-6 * sizes.genes * sizes.cells
        return TORCH_MB + 100 + panel + features * (sizes.operators + 2.5)
    return BASE_MB + 100 + panel + 16e-6 * sizes.cells * sizes.genes

"""Estimates of sweeps, from the stage's own formula with the sizes that the panel will have."""

from types import SimpleNamespace

import pandas as pd

from opbench.check.cost import (
    BASE_MB,
    START,
    TORCH_MB,
    Cost,
    Work,
    attention_seconds,
    cost_row,
    export_seconds,
    square_mb,
)
from opbench.panels.anchors import KEY
from opbench.readouts.sweeps import Sweep, SweepFiles

#: Features of a panel's cells that a job holds at once, and megabytes that an arm leaves (marrow run: 800 MB at most,
#: 0.05 to 0.2 MB).
HELD, ARM_MB = 4.5, 0.1


class _Planned(Sweep):
    """A sweep of known sizes whose files are not opened: all that its estimate needs."""

    def __init__(self, work: Work, panel: str, arm: str, anchors: int) -> None:
        self.config, self.arm, self.settings = work.config, arm, work.config.sweeps
        operators = work.config.operators
        conventions = self.settings.other_conventions(operators)
        named = conventions if arm == "conventions" else self.settings.operators_of(arm, operators)
        self.files = SweepFiles("", "", "", named)
        facts = work.panels[panel]
        campaign = self.settings.campaign_of(panel, self.config.campaigns)
        donors = len(work.campaigns[str(campaign)].eligible)
        self.folds = list(range(min(self.settings.folds, donors)))  # type: ignore[arg-type]
        self.anchors = SimpleNamespace(x=SimpleNamespace(size=anchors * facts.n_genes))  # type: ignore[assignment]
        self.data = SimpleNamespace(obs=range(facts.cells))  # type: ignore[assignment]


def sweep_costs(work: Work) -> list[Cost]:
    """Rows of anchors, other conventions and sweeps; of swept panels whose cells and donors are known."""
    settings, operators = work.config.sweeps, work.config.operators
    panels = {
        name: settings.campaign_of(name, work.config.campaigns)
        for name in work.panels
        if settings.campaign_of(name, work.config.campaigns) in work.campaigns
    }
    if not panels:
        return []
    swept, memory, disk = [], 0.0, 0.0
    for panel, campaign in panels.items():
        facts, anchors = work.panels[panel], _anchors(work, panel)
        disk += 4e-6 * anchors.sum() * facts.n_genes
        fitted = int(anchors.get(work.config.campaigns[str(campaign)].train, 0))
        swept += [START + _Planned(work, panel, arm, fitted).estimate() for arm in settings.arms_of(operators)]
        held = 32e-6 * facts.cells * facts.detected + HELD * 8e-6 * facts.cells * facts.n_genes
        memory = max(memory, TORCH_MB + 100 + held)
    out = [cost_row("build_anchors", [START] * len(panels), BASE_MB, disk, "one job each")]
    n_conventions = len(settings.other_conventions(operators))
    if work.model and n_conventions:
        maps, top = work.model.layers * work.model.heads, max(square_mb(work, panel) for panel in panels)
        read = [attention_seconds(work, panel) for panel in panels for _ in range(n_conventions)]
        written = [export_seconds(work, panel) for panel in panels for _ in range(n_conventions)]
        squares = sum(square_mb(work, panel) for panel in panels) * n_conventions
        out += [
            cost_row("accumulate_convention", read, TORCH_MB + 2 * top * maps + 130, 0, "as the run's own convention"),
            cost_row("export_convention", written, BASE_MB + 2 * top * (maps + 1), 2 * squares, "panel genes² x heads"),
        ]
    basis = "operators x folds x (widths x epochs x anchors, heads x cells)"
    return [*out, cost_row("sweep_heads", swept, memory, ARM_MB * len(swept), basis)]


def _anchors(work: Work, panel: str) -> pd.Series:
    """Dataset -> its anchors: groups with enough cells."""
    cells = pd.concat([work.datasets[name].role("evaluation") for name in work.config.panels[panel].datasets])
    sizes = cells.groupby(KEY).size()
    return (sizes >= work.config.sweeps.min_cells).groupby("dataset").sum()

"""Stage: the control part, cells of a dataset that no panel holds over the genes of a panel (decision 21)."""

from opbench.config import Config
from opbench.config.data import GeneSelection, Panel
from opbench.panels.build import build_panel


def build_control(config: Config, panel: str, data: str, cells: str, genes: str, output: str) -> None:
    """Write the evaluation cells of a panel's control dataset over the panel's genes; `read_panel` states the contract.

    Genes that the dataset lacks are zero columns. Raises InputError when it holds less than `min_present` of them.
    """
    name = config.discovery.panels[panel].control
    assert name is not None, f"Panel '{panel}' has no control dataset."
    chosen = config.panels[panel]
    alone = Panel(datasets=[name], genes=GeneSelection(kind="shared"), min_present=chosen.min_present)
    build_panel(panel, alone, {name: (data, config.datasets[name], cells)}, genes, output)

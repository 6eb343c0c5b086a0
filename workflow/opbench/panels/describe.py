"""The published table of what each panel holds."""

from pathlib import Path

import pandas as pd

from opbench.io.tables import PANELS, write_table
from opbench.panels.panel import read_panel_obs

KEYS = ["dataset", "donor", "condition", "tissue", "label", "stages", "branch", "depth"]


def describe_panels(run: str, paths: dict[str, str | Path], output: str | Path) -> None:
    """Write the PANELS table, with a TSV copy: cells per panel, dataset, donor and label."""
    frames = []
    for name, path in paths.items():
        counted = read_panel_obs(path).groupby(KEYS, observed=True, sort=True).size()
        frames.append(counted.rename("n_cells").reset_index().assign(run=run, panel=name))
    write_table(pd.concat(frames, ignore_index=True), output, PANELS, tsv=True)

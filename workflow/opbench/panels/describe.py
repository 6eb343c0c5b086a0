"""The published tables of what each panel holds and of what became of each dataset's cells."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from opbench.io.errors import InputError
from opbench.io.tables import CELLS, PANELS, ROLES, read_tables, write_table
from opbench.panels.panel import read_panel_obs
from opbench.panels.reading import open_h5ad

KEYS = ["dataset", "donor", "condition", "tissue", "label", "stages", "branch", "depth"]


def describe_panels(run: str, paths: Mapping[str, str | Path], output: str | Path) -> None:
    """Write the PANELS table, with a TSV copy: cells per panel, dataset, donor and label.

    `missing_genes` and `library_is_partial` are facts of the dataset in that panel, the same in all its rows.
    Raises InputError when a file is no panel.
    """
    frames = []
    for name, path in paths.items():
        counted = read_panel_obs(path).groupby(KEYS, observed=True, sort=True).size().rename("n_cells").reset_index()
        facts = _dataset_facts(path, list(counted["dataset"].unique()))
        frames.append(counted.merge(facts, on="dataset", how="left").assign(run=run, panel=name))
    write_table(pd.concat(frames, ignore_index=True), output, PANELS, tsv=True)


def describe_roles(run: str, cells: list[str] | list[Path], output: str | Path) -> None:
    """Write the ROLES table, with a TSV copy: cells per dataset, role and label (CELLS of every dataset)."""
    counted = read_tables(cells, CELLS).groupby(["dataset", "role", "label"], sort=True).size()
    write_table(counted.rename("n_cells").reset_index().assign(run=run), output, ROLES, tsv=True)


def _dataset_facts(path: str | Path, datasets: list[str]) -> pd.DataFrame:
    """Zero-filled genes and partial libraries by dataset, read without the matrix."""
    from anndata.io import read_elem

    with open_h5ad(path) as file:
        try:
            var, about = read_elem(file["var"]), read_elem(file["uns/panel"])
            rows = [(d, int((~var[f"present_{d}"]).sum()), bool(about["library_is_partial"][d])) for d in datasets]
        except KeyError as error:
            raise InputError(f"{path}: lacks {error}, so it is no panel file; delete it and run again.") from error
    return pd.DataFrame(rows, columns=["dataset", "missing_genes", "library_is_partial"])

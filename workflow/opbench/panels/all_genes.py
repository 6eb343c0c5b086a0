"""All genes that the datasets of a panel share, for methods that choose their own genes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from opbench.config.data import GeneSelection, Panel
from opbench.io.errors import InputError
from opbench.io.h5ad import open_h5ad, read_frame
from opbench.panels.build import build_panel
from opbench.panels.genes import Source, select_genes

if TYPE_CHECKING:
    import pandas as pd


def build_all_genes(panel_name: str, panel: Panel, sources: dict[str, Source], output: str | Path) -> None:
    """Write the panel's cells over every gene symbol that all its datasets hold, alphabetically.

    The file keeps the contract of `read_panel`. Raises InputError when the datasets share no gene.
    """
    whole = panel.model_copy(update={"genes": GeneSelection(kind="shared")})
    with TemporaryDirectory() as folder:
        genes = Path(folder) / "genes.parquet"
        select_genes(panel_name, whole, sources, None, genes)
        build_panel(panel_name, whole, sources, genes, output)


def open_all_genes(path: str | Path, cells: "pd.Index") -> tuple[csr_matrix, tuple[str, ...]]:
    """Return float32 CSR log1p(CP10k) (len(cells), all) of the named cells in their order, and the genes' names.

    Counts are not read. Raises InputError when the file is not of these cells or breaks its contract.
    """
    from anndata.io import read_elem

    with open_h5ad(path) as file:
        held, genes = (read_frame(file, table, path).index.astype(str) for table in ("obs", "var"))
        values = read_elem(file["layers/log1p"]) if "layers/log1p" in file else None
    right = isinstance(values, csr_matrix) and values.dtype == np.float32
    if not right or values.shape != (len(held), len(genes)) or not genes.is_unique:
        raise InputError(f"{path}: does not hold 'layers/log1p' as CSR of float32; delete it and run again.")
    rows = held.get_indexer(cells)
    if (rows < 0).any():
        lost = cells[int((rows < 0).argmax())]
        raise InputError(f"{path}: has no cell '{lost}' of its panel; delete it and run again.")
    whole = np.array_equal(rows, np.arange(len(held)))
    return values if whole else values[rows], tuple(genes)

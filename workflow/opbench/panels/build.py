"""Writes panels (benchmarked cells over a gene list) and corpora (pre-training cells over a vocabulary)."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix, vstack

from opbench.config.data import Dataset, Panel
from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.io.tables import CELLS, GENES, read_table
from opbench.panels.genes import Source
from opbench.panels.panel import NUMBER_COLUMNS, TEXT_COLUMNS
from opbench.panels.reading import read_counts, read_genes, read_vocabulary

log = logging.getLogger("opbench.panels")

#: Cells that are normalised at once.
BLOCK = 4096


def build_panel(
    panel_name: str, panel: Panel, sources: dict[str, Source], genes_parquet: str | Path, output: str | Path
) -> None:
    """Write the evaluation cells of a panel's datasets over its gene list; `read_panel` states the contract.

    Genes that a dataset lacks are zero columns of its cells. Raises InputError when a dataset holds a
    smaller share of the list than `panel.min_present` or has no evaluation cell.
    """
    genes = read_table(genes_parquet, GENES).sort_values("rank")["gene"].tolist()
    var = pd.DataFrame(index=pd.Index(genes, name="symbol"))
    matrices, tables = [], []
    for name in panel.datasets:
        path, dataset, cells_parquet = sources[name]
        present = np.isin(genes, read_genes(path, dataset))
        if present.mean() < panel.min_present:
            raise InputError(
                f"{path}: holds {present.sum()} of the {len(genes)} genes of panel '{panel_name}', less than "
                f"{panel.min_present:.0%}; choose another gene list or lower panels.{panel_name}.min_present."
            )
        var[f"present_{name}"] = present
        cells = _with_role(cells_parquet, "evaluation")
        matrices.append(read_counts(path, dataset, cells["row"].to_numpy(), genes))
        tables.append(cells)
    obs = pd.concat(tables, ignore_index=True)
    counts = matrices[0] if len(matrices) == 1 else csr_matrix(vstack(matrices, format="csr"))
    matrices.clear()
    adata = AnnData(counts, obs=_named(obs, [*TEXT_COLUMNS, *NUMBER_COLUMNS]), var=var)
    values = _log1p_values(counts, obs["library_size"].to_numpy())
    # Both matrices share their places in memory; only the file holds them twice.
    adata.layers["log1p"] = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    adata.uns["panel"] = {
        "name": panel_name,
        "missing": {name: np.array(genes, dtype=object)[~var[f"present_{name}"].to_numpy()] for name in panel.datasets},
        "library_is_partial": {name: bool(sources[name][1].library_is_partial) for name in panel.datasets},
    }
    _write(adata, output)
    log.info("panel %s: %d cells of %d donors x %d genes", panel_name, *_size(adata))


def build_corpus(
    dataset_name: str,
    path: str | Path,
    dataset: Dataset,
    cells_parquet: str | Path,
    vocab_json: str | Path,
    output: str | Path,
) -> None:
    """Write the corpus cells over the vocabulary's genes that the file holds, in vocabulary order.

    `X` int32 CSR counts; `obs` donor and library_size (all genes of the file). Raises InputError when there
    is no corpus cell or no common gene.
    """
    held = set(read_genes(path, dataset))
    genes = [gene for gene in read_vocabulary(vocab_json) if gene in held]
    if not genes:
        raise InputError(f"{path}: holds none of the genes of {vocab_json}; check that 'columns.gene' gives symbols.")
    cells = _with_role(cells_parquet, "corpus")
    counts = read_counts(path, dataset, cells["row"].to_numpy(), genes)
    var = pd.DataFrame(index=pd.Index(genes, name="symbol"))
    adata = AnnData(counts, obs=_named(cells, ["donor", "library_size"]), var=var)
    _write(adata, output)
    log.info("corpus of %s: %d cells of %d donors x %d genes", dataset_name, *_size(adata))


def log1p_cp10k(counts: csr_matrix, library_size: np.ndarray) -> csr_matrix:
    """Return float32 CSR log(1 + 10,000 count / library_size), the library being that of the full cell."""
    values = _log1p_values(counts, library_size)
    return csr_matrix((values, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)


def _log1p_values(counts: csr_matrix, library_size: np.ndarray) -> np.ndarray:
    """Block by block, because the float64 in between would take six times the memory of the result."""
    values = np.empty(counts.nnz, dtype=np.float32)
    for start in range(0, counts.shape[0], BLOCK):
        ends = counts.indptr[start : start + BLOCK + 1]
        scale = np.repeat(1e4 / library_size[start : start + BLOCK], np.diff(ends))
        values[ends[0] : ends[-1]] = np.log1p(counts.data[ends[0] : ends[-1]] * scale)
    return values


def _with_role(cells_parquet: str | Path, role: str) -> pd.DataFrame:
    cells = read_table(cells_parquet, CELLS)
    cells = cells[cells["role"] == role].sort_values("row")
    if cells.empty:
        raise InputError(f"{cells_parquet}: has no cell of role '{role}'; set the dataset's '{role}' filter.")
    return cells


def _named(cells: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    index = pd.Index(cells["dataset"] + ":" + cells["cell_id"], name="cell")
    obs = cells[columns].set_axis(index, axis=0)
    # h5ad holds text columns compactly as categoricals; readers turn them back to str.
    return obs.astype({column: "category" for column in columns if column in TEXT_COLUMNS})


def _write(adata: AnnData, output: str | Path) -> None:
    with atomic(output) as partial:
        adata.write_h5ad(partial)


def _size(adata: AnnData) -> tuple[int, int, int]:
    return adata.n_obs, adata.obs["donor"].nunique(), adata.n_vars

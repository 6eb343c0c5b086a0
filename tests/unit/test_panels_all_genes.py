"""The cells of a panel over every gene that its datasets share."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from opbench.config.data import Dataset, Panel
from opbench.io.errors import InputError
from opbench.panels.all_genes import build_all_genes, open_all_genes
from opbench.panels.build import build_panel
from opbench.panels.cells import select_cells
from opbench.panels.genes import select_genes
from opbench.panels.panel import read_panel

ONTOLOGY = Path(__file__).parents[2] / "resources/ontology"
N = 30


@pytest.fixture
def cohort(tmp_path):
    """Two datasets of 30 cells that share the genes a, b and c, one of them with two columns of b."""
    (tmp_path / "map.tsv").write_text("label\tstages\nT\tNaive_CD8\nNK\tNK\n")
    sources, counts = {}, {}
    for seed, (name, genes) in enumerate({"x": ["c", "b", "own", "a", "b"], "y": ["a", "other", "b", "c"]}.items()):
        counts[name] = np.random.default_rng(seed).poisson(2, (N, len(genes))) + 1
        obs = pd.DataFrame({"donor": ["1", "2", "3"] * 10, "cell_type": ["T", "NK"] * 15})
        obs.index = [f"c{i}" for i in range(N)]
        var = pd.DataFrame({"gene": genes}, index=[f"v{i}" for i in range(len(genes))])
        adata = AnnData(sp.csr_matrix(counts[name].astype(np.int32)), obs, var)
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        entry = {"path": "-", "labels": str(tmp_path / "map.tsv"),
                 "columns": {"tissue": None, "condition": None, "gene": "gene"}}  # fmt: skip
        dataset = Dataset.model_validate(entry)
        sources[name] = (tmp_path / f"{name}.h5ad", dataset, tmp_path / f"{name}.parquet")
        select_cells(name, sources[name][0], dataset, ONTOLOGY, sources[name][2])
    return sources, counts


def panel_of(*names: str) -> Panel:
    return Panel.model_validate({"datasets": list(names), "genes": {"kind": "hvg", "n": 10, "corpus": "x"}})


def test_every_shared_gene_of_the_same_cells(tmp_path, cohort):
    sources, counts = cohort
    build_all_genes("p", panel_of("x", "y"), sources, tmp_path / "all.h5ad")
    adata = read_panel(tmp_path / "all.h5ad")
    shared = panel_of("x", "y").model_copy(update={"genes": panel_of("x").genes.model_copy(update={"kind": "shared"})})
    select_genes("p", shared, sources, None, tmp_path / "genes.parquet")
    build_panel("p", shared, sources, tmp_path / "genes.parquet", tmp_path / "panel.h5ad")
    assert adata.obs.equals(read_panel(tmp_path / "panel.h5ad").obs)
    x, names = open_all_genes(tmp_path / "all.h5ad", adata.obs_names)
    assert names == ("a", "b", "c")
    whole = counts["x"]
    values = np.column_stack([whole[:, 3], whole[:, 1] + whole[:, 4], whole[:, 0]])
    expected = np.log1p(1e4 * values / whole.sum(1, keepdims=True))
    np.testing.assert_allclose(x[:N].toarray(), expected, rtol=1e-6)
    assert x.dtype == np.float32
    alone = tmp_path / "alone.h5ad"
    build_all_genes("p", panel_of("y"), sources, alone)
    assert open_all_genes(alone, read_panel(alone).obs_names)[1] == ("a", "b", "c", "other")


def test_cells_come_in_the_order_that_is_asked_for(tmp_path, cohort):
    build_all_genes("p", panel_of("x", "y"), cohort[0], tmp_path / "all.h5ad")
    whole, _ = open_all_genes(tmp_path / "all.h5ad", read_panel(tmp_path / "all.h5ad").obs_names)
    part, _ = open_all_genes(tmp_path / "all.h5ad", pd.Index(["y:c4", "x:c9"]))
    np.testing.assert_array_equal(part.toarray(), whole[[N + 4, 9]].toarray())


def test_a_foreign_or_broken_file_is_refused(tmp_path, cohort):
    build_all_genes("p", panel_of("x"), cohort[0], tmp_path / "all.h5ad")
    with pytest.raises(InputError, match="has no cell 'y:c0' of its panel"):
        open_all_genes(tmp_path / "all.h5ad", pd.Index(["x:c0", "y:c0"]))
    adata = read_panel(tmp_path / "all.h5ad")
    adata.layers["log1p"] = adata.layers["log1p"].astype(np.float64)
    adata.write_h5ad(tmp_path / "broken.h5ad")
    with pytest.raises(InputError, match="CSR of float32"):
        open_all_genes(tmp_path / "broken.h5ad", adata.obs_names)

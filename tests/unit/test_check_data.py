"""What is told of a file: its layout in every format, its genes, its digest and its cells."""

from pathlib import Path

import anndata
import numpy as np
import pytest
from check_cohort import ROOT, SIMULATION, edited, put, write_cohort

from opbench.check import data
from opbench.check.data import describe_dataset
from opbench.check.findings import Findings
from opbench.check.genes import describe_panel, gene_ids
from opbench.config import Config, parse_config
from opbench.io.provenance import sha256_of
from opbench.io.tables import CELLS, read_table
from opbench.panels.cells import select_cells
from opbench.panels.ontology import Ontology
from opbench.panels.simulate import draw_cohort

ONTOLOGY = ROOT / "resources" / "ontology"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cohort(folder)
    return folder


def configuration(folder: Path, **fields: object) -> Config:
    """The cohort's configuration with fields of the dataset changed."""
    entry = {"path": str(folder / "cells.h5ad"), "labels": str(folder / "labels.tsv")} | fields
    return parse_config(edited(lambda raw: raw["datasets"]["mine"].update(entry)))


def told(config: Config, digest: bool = False) -> tuple[data.Facts, Findings]:
    """Facts of the dataset."""
    findings = Findings()
    return describe_dataset("mine", config, Ontology.read(ONTOLOGY), digest, findings), findings


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("layout", ["CSR", "CSC", "dense"])
def test_every_layout_is_told(kind, layout, folder):
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    stored = adata.X.nnz if layout != "dense" else adata.X.shape[0] * adata.X.shape[1]
    adata.X = {"CSR": adata.X.tocsr, "CSC": adata.X.tocsc, "dense": adata.X.toarray}[layout]()
    path = folder / f"{layout}.{kind}"
    adata.write_h5ad(path, compression="gzip") if kind == "h5ad" else adata.write_zarr(path)
    facts, findings = told(configuration(folder, path=str(path)))
    found = facts.layout
    assert (found.format, found.layout, found.cells, found.genes) == (kind, layout, *adata.shape)
    assert (found.stored, found.dtype) == (stored, "int32")
    assert found.compression in ({"gzip"} if kind == "h5ad" else {"blosc", "zstd"})
    assert facts.role("evaluation")["donor"].nunique() == SIMULATION.donors
    # The share of detected genes is known from the first rows, or from all stored counts.
    expected = (anndata.read_h5ad(folder / "cells.h5ad").X > 0).sum() / adata.n_obs
    assert facts.detected(set(facts.genes)) == pytest.approx(expected, rel=1e-6)
    assert findings == Findings()


def test_roles_are_those_that_the_run_writes(folder, tmp_path):
    config = configuration(folder, corpus_cells=50)
    lines = (folder / "labels.tsv").read_text().replace("pDC\tpDC", "pDC\t")
    (tmp_path / "labels.tsv").write_text(lines)
    dataset = config.datasets["mine"].model_copy(update={"labels": str(tmp_path / "labels.tsv")})
    config = config.model_copy(update={"datasets": {"mine": dataset}})
    facts, _ = told(config)
    select_cells("mine", str(dataset.path), dataset, ONTOLOGY, tmp_path / "cells.parquet")
    written = read_table(tmp_path / "cells.parquet", CELLS)
    assert facts.cells["role"].tolist() == written["role"].tolist()
    assert (facts.cells["role"] == "corpus").sum() == 50
    assert set(facts.cells["label"][facts.cells["unmapped"]]) == {"pDC"}


def test_a_large_digest_is_skipped_unless_asked_for(folder, monkeypatch):
    monkeypatch.setattr(data, "LARGE", 10)
    config = configuration(folder, sha256=sha256_of(folder / "cells.h5ad"))
    assert "skipped" in told(config)[0].digest
    assert told(config, digest=True)[0].digest == "matches"
    facts, findings = told(configuration(folder, sha256="0" * 64), digest=True)
    assert facts.digest == "differs"
    assert len(findings.problems) == 1


def test_simulated_cells_are_those_that_the_run_draws():
    simulate = {"simulate": SIMULATION.model_dump(), "path": None, "labels": "resources/labels/simulated.tsv"}
    facts, _ = told(configuration(Path(), **simulate))
    counts, obs = draw_cohort(SIMULATION, Ontology.read(ONTOLOGY))
    assert facts.cells["cell_id"].tolist() == obs.index.tolist()
    assert facts.cells["label"].tolist() == obs["cell_type"].tolist()
    assert facts.layout.stored == pytest.approx(counts.nnz, rel=0.15)


def test_genes_are_symbols_or_ids():
    ids = [f"ENSG{i:011d}" for i in range(4)]
    assert gene_ids(ids) == "Ensembl ids"
    assert gene_ids(["CD3E", "CD8A"]) == "symbols"
    assert gene_ids(["CD3E", "CD8A", "NKG7", ids[0]]) == "symbols, 25% of them Ensembl ids"


def test_a_panel_counts_genes_that_data_and_model_share(folder):
    config = parse_config(
        edited(put("panels.mine.genes", {"kind": "shared"}),
               put("datasets.mine.path", str(folder / "cells.h5ad")),
               put("datasets.mine.labels", str(folder / "labels.tsv")))
    )  # fmt: skip
    facts, findings = told(config)
    panel = describe_panel("mine", config, {"mine": facts}, {"G0001", "G0002", "CD3E"}, findings)
    counts = anndata.read_h5ad(folder / "cells.h5ad").X[:, :2]
    assert (panel.n_genes, panel.present) == (2, {"mine": 1.0})
    assert panel.detected == pytest.approx(np.mean(np.diff(counts.tocsr().indptr)))
    assert findings == Findings()

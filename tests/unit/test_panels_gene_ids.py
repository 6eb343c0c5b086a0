"""Ensembl ids become symbols, repeated symbols one gene; a file that cannot be named is refused."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.panels.cells import select_cells
from opbench.panels.gene_ids import gene_names, read_symbols
from opbench.panels.reading import read_counts, read_gene_names

SYMBOLS = ["CD3E", "NKG7", "HLA-A", "MS4A1", "Y_RNA", "Y_RNA"]
IDS = [f"ENSG{g:011d}" for g in range(1, 7)]


def entry(**fields):
    return Dataset.model_validate({"path": "x", "labels": "y"} | fields)


@pytest.fixture
def hgnc(tmp_path):
    rows = [
        f'HGNC:{g}\t{symbol}\tname "of {g}\t{gene}' for g, (symbol, gene) in enumerate(zip(SYMBOLS, IDS, strict=True))
    ]
    text = "hgnc_id\tsymbol\tname\tensembl_gene_id\n" + "\n".join([*rows, "HGNC:9\tNOID\tx\t"]) + "\n"
    with gzip.open(tmp_path / "hgnc.txt.gz", "wt") as file:
        file.write(text)
    return str(tmp_path / "hgnc.txt.gz")


@pytest.fixture
def gencode(tmp_path):
    (tmp_path / "id2name.csv").write_text("".join(f"{g},{s}\n" for g, s in zip(IDS, SYMBOLS, strict=True)))
    return str(tmp_path / "id2name.csv")


def test_both_kinds_of_table(hgnc, gencode, tmp_path):
    assert read_symbols(hgnc) == read_symbols(gencode) == dict(zip(IDS, SYMBOLS, strict=True))
    (tmp_path / "titled.csv").write_text('symbol,ensembl_gene_id\n"A,1",ENSG00000000009.4\n')
    assert read_symbols(str(tmp_path / "titled.csv")) == {"ENSG00000000009": "A,1"}


@pytest.mark.parametrize("text", ["a,b\nc,d\n", "", "\x00\x01", "ensembl_gene_id\nENSG00000000001\n"])
def test_no_table(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=r"t\.csv: .*ensembl_gene_id"):
        read_symbols(str(tmp_path / "t.csv"))
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        read_symbols("nowhere.csv")


def test_ids_become_symbols(gencode):
    ids = [IDS[0] + ".12", IDS[1], IDS[2] + ".3_PAR_Y", "ENSG00000999999.1", "ENSMUSG00000000001", "given"]
    found = gene_names(pd.DataFrame(index=ids), entry(symbols=gencode), "f: var")
    assert found.symbols == ["CD3E", "NKG7", "HLA-A", "ENSG00000999999.1", "ENSMUSG00000000001", "given"]
    assert (found.mapped, found.unmapped) == (3, 2)
    assert "2 ids that the table lacks keep their id, 'ENSG00000999999.1' the first" in found.notes()


def test_same_panel_from_symbols_and_ids(tmp_path, hgnc):
    counts = np.random.default_rng(0).poisson(1, size=(30, 6))
    frames = {"s": pd.DataFrame(index=SYMBOLS), "e": pd.DataFrame({"id": IDS}, index=[f"x{g}" for g in range(6)])}
    datasets = {"s": entry(), "e": entry(symbols=hgnc, columns={"gene": "id"})}
    got = {}
    for name, var in frames.items():
        AnnData(csr_matrix(counts), var=var).write_h5ad(tmp_path / f"{name}.h5ad")
        got[name] = read_counts(tmp_path / f"{name}.h5ad", datasets[name], np.arange(30), ["Y_RNA", "CD3E", "MS4A1"])
    assert np.array_equal(got["s"].toarray(), np.stack([counts[:, 4] + counts[:, 5], counts[:, 0], counts[:, 3]], 1))
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(got["s"], part), getattr(got["e"], part))


def test_repeated_symbols(gencode):
    var = pd.DataFrame(index=IDS)
    found = gene_names(var, entry(symbols=gencode), "f: var")
    assert found.groups().tolist() == [-1, -1, -1, -1, 0, 0]
    assert found.notes()[-1] == "1 symbols, 'Y_RNA' the first, name 2 columns: counts are summed"
    with pytest.raises(InputError, match=r"'Y_RNA' occurs twice in 'index'.*duplicates: sum"):
        gene_names(var, entry(symbols=gencode, duplicates="error"), "f: var")
    assert gene_names(var.iloc[:4], entry(symbols=gencode, duplicates="error"), "f: var").groups() is None


def test_ids_without_a_table_are_refused():
    var = pd.DataFrame({"n_cells": range(6), "feature_name": pd.Categorical(SYMBOLS), "kind": ["gene"] * 6}, index=IDS)
    with pytest.raises(InputError, match=r"6 of 6 genes.*'columns.gene' to 'feature_name', which.*'symbols'"):
        gene_names(var, entry(), "f: var")
    with pytest.raises(InputError, match=r"name a table from id to symbol in 'symbols'"):
        gene_names(var[["kind"]], entry(), "f: var")
    with pytest.raises(InputError, match=r"'columns.gene' to 'index'"):
        gene_names(var.reset_index(names="id").set_index("feature_name"), entry(columns={"gene": "id"}), "f: var")
    mixed = pd.DataFrame(index=[*IDS[:3], "A", "B", "C"])
    assert gene_names(mixed, entry(), "f: var").symbols == mixed.index.tolist()


def test_unnamed_genes_take_the_index():
    var = pd.DataFrame({"symbol": ["A", None, "", "B"]}, index=["i0", "i1", "i2", "i3"])
    found = gene_names(var, entry(columns={"gene": "symbol"}), "f: var")
    assert found.symbols == ["A", "i1", "i2", "B"]
    assert found.unnamed == 2
    with pytest.raises(InputError, match="column 1 has no gene name"):
        gene_names(pd.DataFrame(index=["A", ""]), entry(), "f: var")


def test_what_was_done_is_logged(tmp_path, gencode, caplog):
    (tmp_path / "map.tsv").write_text("label\tstages\nT\tNaive_CD8\n")
    obs = pd.DataFrame({"donor": list("ab") * 5, "cell_type": "T"}, index=[f"c{i}" for i in range(10)])
    AnnData(csr_matrix(np.ones((10, 6))), obs=obs, var=pd.DataFrame(index=IDS)).write_h5ad(tmp_path / "d.h5ad")
    dataset = entry(symbols=gencode, labels=str(tmp_path / "map.tsv"), columns={"tissue": None, "condition": None})
    caplog.set_level(logging.INFO)
    ontology = Path(__file__).parents[2] / "resources/ontology"
    select_cells("d", tmp_path / "d.h5ad", dataset, ontology, tmp_path / "cells.parquet")
    cells = pd.read_parquet(tmp_path / "cells.parquet")
    assert (cells["n_genes"] == 5).all()  # Y_RNA once
    assert (cells["library_size"] == 6).all()
    assert "d: 1 symbols, 'Y_RNA' the first" in caplog.text
    assert read_gene_names(tmp_path / "d.h5ad", dataset).mapped == 6

"""Cells, genes and panels on small files with every layout of counts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from opbench.config.data import Dataset, Panel
from opbench.io.errors import InputError
from opbench.io.tables import CELLS, GENES, PANELS, read_table
from opbench.panels import reading
from opbench.panels.build import build_corpus, build_panel
from opbench.panels.cells import draw_corpus, select_cells
from opbench.panels.describe import describe_panels
from opbench.panels.genes import select_genes
from opbench.panels.panel import read_panel

ONTOLOGY = Path(__file__).parents[2] / "resources/ontology"
N, G = 300, 120


def entry(tmp_path, **fields):
    (tmp_path / "map.tsv").write_text("label\tstages\nT\tNaive_CD8|Naive_CD4\nNK\tNK\nodd\t\n")
    fields = {"path": "x", "labels": str(tmp_path / "map.tsv"), "evaluation": "part == 'e'",
              "corpus": "part == 'c'", "columns": {"tissue": None, "condition": None}} | fields  # fmt: skip
    return Dataset.model_validate(fields)


def write(path, layout="csr", edit=None, genes=None):
    """A file of 300 cells: 120 evaluation, 150 corpus, 30 neither."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.4, 3, size=G), size=(N, G)).astype(np.int32)
    obs = pd.DataFrame(
        {"donor": np.array(["1", "2", "3"])[np.arange(N) % 3], "cell_type": ["T", "NK"] * (N // 2),
         "part": ["e"] * 120 + ["c"] * 150 + ["n"] * 30},
        index=[f"c{i}" for i in range(N)],
    )  # fmt: skip
    if edit:
        counts = edit(counts, obs)
    adata = AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=genes or [f"g{i:03d}" for i in range(G)]))
    if layout == "csc":
        adata.X = sp.csc_matrix(counts)
    elif layout == "dense":
        adata.X = counts
    elif layout == "layers/raw":
        adata.layers["raw"], adata.X = adata.X, adata.X * 0.5
    elif layout == "raw/X":
        adata.raw = adata.copy()
        adata = adata[:, :50].copy()
        adata.X = adata.X * 0.5
    adata.write_h5ad(path)
    return counts, obs


def select(tmp_path, dataset=None, **keys):
    counts, _ = write(tmp_path / "d.h5ad", **keys)
    dataset = dataset or entry(tmp_path)
    select_cells("d", tmp_path / "d.h5ad", dataset, ONTOLOGY, tmp_path / "cells.parquet")
    return counts, read_table(tmp_path / "cells.parquet", CELLS)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "layers/raw", "raw/X"])
def test_cells_of_every_layout(tmp_path, layout):
    dataset = entry(tmp_path, counts=layout if "/" in layout else "X")
    counts, cells = select(tmp_path, dataset, layout=layout)
    assert cells["role"].value_counts().to_dict() == {"evaluation": 120, "corpus": 150, "dropped": 30}
    assert np.array_equal(cells["library_size"], counts.sum(axis=1))
    assert np.array_equal(cells["n_genes"], (counts > 0).sum(axis=1))
    assert set(cells["stages"]) == {"Naive_CD4|Naive_CD8", "NK"}
    rows = np.array([0, 3, 70, 299])
    got = reading.read_counts(tmp_path / "d.h5ad", dataset, rows, ["g007", "absent", "g002"]).toarray()
    assert np.array_equal(got, np.stack([counts[rows, 7], 0 * rows, counts[rows, 2]], axis=1))


def _set(column, value, where=slice(0, 1)):
    def edit(counts, obs):
        obs.iloc[where, obs.columns.get_loc(column)] = value
        return counts

    return edit


def _spoil(value):
    def edit(counts, obs):
        counts = counts.astype(float)
        counts[250, 3] = value
        return counts

    return edit


def test_unstaged_label_is_dropped_and_unused_labels_need_no_row(tmp_path):
    def edit(counts, obs):
        obs.iloc[:10, 1], obs.iloc[200:, 1] = "odd", "nobody knows"
        return counts

    _, cells = select(tmp_path, edit=edit)
    assert (cells["role"][:10] == "dropped").all()
    assert (cells["role"] == "evaluation").sum() == 110
    assert cells["depth"][200:].isna().all()


@pytest.mark.parametrize(
    ("keys", "fields", "says"),
    [
        ({"edit": _spoil(0.5)}, {}, "0.5, which is no count"),
        ({"edit": _spoil(-1)}, {}, "-1, which is no count"),
        ({"edit": _spoil(np.nan)}, {}, "nan, which is no count"),
        ({"edit": _set("cell_type", "other")}, {}, r"labels \['other'\]"),
        ({"edit": _set("cell_type", "")}, {}, "1 cells, 'c0' the first, have no label"),
        ({"edit": _set("donor", None)}, {}, "no donor"),
        ({"edit": _set("donor", "nan")}, {}, "no donor"),
        ({"edit": _set("donor", "1", slice(0, N))}, {}, "1 donor"),
        ({"genes": ["same"] * G}, {"duplicates": "error"}, "'same' occurs twice"),
        ({}, {"columns": {"donor": "donr", "tissue": None, "condition": None}}, "did you mean 'donor'"),
        ({}, {"corpus": "part != 'n'"}, "both the evaluation"),
        ({}, {"corpus": "prt == 'c'"}, "corpus filter"),
        ({}, {"corpus": "part == 'z'"}, "keeps no cell"),
        ({}, {"corpus": "part"}, "not true or false"),
        ({}, {"counts": "layers/none"}, "not in the file"),
        ({}, {"sha256": "0" * 64}, "sha256"),
    ],
)
@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_bad_input_is_named(tmp_path, keys, fields, says):
    with pytest.raises(InputError, match=says):
        select(tmp_path, entry(tmp_path, **fields), **keys)


def test_corpus_cells_are_drawn_evenly_over_donors(tmp_path):
    def uneven(counts, obs):
        obs["donor"] = ["1"] * 60 + ["2"] * 60 + ["1"] * 5 + ["2"] * 60 + ["3"] * 85 + ["1"] * 30
        return counts

    _, everything = select(tmp_path, edit=uneven)
    _, cells = select(tmp_path, entry(tmp_path, corpus_cells=61), edit=uneven)
    drawn = cells[cells["role"] == "corpus"]
    assert drawn["donor"].value_counts().to_dict() == {"1": 5, "2": 28, "3": 28}
    assert set(drawn["cell_id"]) <= set(everything["cell_id"][everything["role"] == "corpus"])
    lost = (everything["role"] == "corpus") & (cells["role"] != "corpus")
    assert set(cells["role"][lost]) == {"dropped"}
    assert (cells["role"] == "evaluation").sum() == 120
    _, other = select(tmp_path, entry(tmp_path, corpus_cells=61, corpus_seed=1), edit=uneven)
    assert set(other["cell_id"][other["role"] == "corpus"]) != set(drawn["cell_id"])
    _, few = select(tmp_path, entry(tmp_path, corpus_cells=30), edit=uneven)
    assert set(few["cell_id"][few["role"] == "corpus"]) < set(drawn["cell_id"])
    _, enough = select(tmp_path, entry(tmp_path, corpus_cells=150), edit=uneven)
    assert enough.equals(everything)


def test_drawn_corpus_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    donors = rng.choice(["a", "b", "c"], 400, p=[0.1, 0.3, 0.6])
    cells = pd.DataFrame({"cell_id": [f"c{i}" for i in range(400)], "donor": donors, "role": "corpus"})
    cells.loc[::7, "role"] = "evaluation"
    drawn = set(cells["cell_id"][draw_corpus(cells, 90, 4)])
    mixed = cells.sample(frac=1, random_state=1)
    assert set(mixed["cell_id"][draw_corpus(mixed, 90, 4)]) == drawn
    without = mixed[mixed["donor"] != "a"]
    assert set(without["cell_id"][draw_corpus(without, 60, 4)]) <= drawn
    assert len(drawn) == 90


def _panel(n=40, **fields):
    return Panel.model_validate({"datasets": ["d"], "genes": {"kind": "hvg", "n": n, "corpus": "d"}} | fields)


def _genes(tmp_path, panel, vocabulary=None):
    sources = {"d": (tmp_path / "d.h5ad", entry(tmp_path), tmp_path / "cells.parquet")}
    select_genes("p", panel, sources, vocabulary, tmp_path / "genes.parquet")
    return sources, read_table(tmp_path / "genes.parquet", GENES)


def test_hvg_ranks_by_the_corpus_alone(tmp_path):
    import scanpy

    counts, _ = select(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0} | {f"g{i:03d}": i + 1 for i in range(100)}))
    _, genes = _genes(tmp_path, _panel(), tmp_path / "vocab.json")
    corpus = AnnData(counts[120:270].astype(np.float32))
    corpus = corpus[:, corpus.X.sum(axis=0) > 0].copy()
    table = scanpy.pp.highly_variable_genes(corpus, flavor="seurat_v3", n_top_genes=corpus.n_vars, inplace=False)
    ranked = table.index[np.argsort(-table["variances_norm"].to_numpy(), kind="stable")].astype(int)
    # All genes enter the trend; the 100 known ones are kept in that order.
    assert genes["gene"].tolist() == [f"g{i:03d}" for i in ranked if i < 100][:40]

    def shuffled(counts, obs):
        counts[:120] = np.random.default_rng(1).poisson(9, size=(120, G))
        return counts

    select(tmp_path, edit=shuffled)
    assert _genes(tmp_path, _panel(), tmp_path / "vocab.json")[1].equals(genes)
    with pytest.raises(InputError, match="asks for 110 genes"):
        _genes(tmp_path, _panel(n=110), tmp_path / "vocab.json")


def test_panel_holds_full_library_values(tmp_path):
    counts, cells = select(tmp_path)
    sources, genes = _genes(tmp_path, _panel())
    build_panel("p", _panel(), sources, tmp_path / "genes.parquet", tmp_path / "p.h5ad")
    adata = read_panel(tmp_path / "p.h5ad")
    columns = genes["gene"].str[1:].astype(int)
    assert np.array_equal(adata.X.toarray(), counts[:120, columns])
    library = counts[:120].sum(axis=1, keepdims=True)
    assert np.allclose(adata.layers["log1p"].toarray(), np.log1p(1e4 * counts[:120, columns] / library))
    assert adata.obs_names[0] == "d:c0"
    assert adata.obs["donor"].tolist() == cells["donor"][:120].tolist()
    build_panel("p", _panel(), sources, tmp_path / "genes.parquet", tmp_path / "q.h5ad")
    again = read_panel(tmp_path / "q.h5ad")
    assert (again.X != adata.X).nnz == 0
    assert again.obs.equals(adata.obs)
    describe_panels("r", {"p": tmp_path / "p.h5ad"}, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", PANELS)["n_cells"].sum() == 120
    assert (tmp_path / "t.tsv").exists()
    del adata.layers["log1p"]
    adata.write_h5ad(tmp_path / "broken.h5ad")
    with pytest.raises(InputError, match="no layer 'log1p'"):
        read_panel(tmp_path / "broken.h5ad")


def test_missing_genes_are_zero_and_bounded(tmp_path):
    select(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("g005\nabsent\ng001\ng002\n")
    panel = _panel(genes={"kind": "file", "file": str(listed)})
    sources, _ = _genes(tmp_path, panel)
    build_panel("p", panel, sources, tmp_path / "genes.parquet", tmp_path / "p.h5ad")
    adata = read_panel(tmp_path / "p.h5ad")
    assert adata.var["present_d"].tolist() == [True, False, True, True]
    assert adata.X[:, 1].nnz == 0
    assert list(adata.uns["panel"]["missing"]["d"]) == ["absent"]
    strict = panel.model_copy(update={"min_present": 0.8})
    with pytest.raises(InputError, match="holds 3 of the 4 genes"):
        build_panel("p", strict, sources, tmp_path / "genes.parquet", tmp_path / "p.h5ad")


def test_corpus_keeps_vocabulary_order(tmp_path):
    from anndata import read_h5ad

    counts, cells = select(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"g009": 2, "g004": 0, "no": 1, "<cls>": 3}))
    build_corpus("d", tmp_path / "d.h5ad", entry(tmp_path), tmp_path / "cells.parquet", tmp_path / "vocab.json",
                 tmp_path / "c.h5ad")  # fmt: skip
    corpus = read_h5ad(tmp_path / "c.h5ad")
    assert corpus.var_names.tolist() == ["g004", "g009"]
    assert np.array_equal(corpus.X.toarray(), counts[120:270][:, [4, 9]])
    assert np.array_equal(corpus.obs["library_size"], cells["library_size"][120:270])

"""Anchors are the means that one makes by hand, and an anchor file that is none is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from opbench.io.errors import InputError
from opbench.panels.anchors import build_anchors, make_anchors, read_anchors

ROWS = [
    # donor, tissue, condition, label, cells
    ("d1", "marrow", "AML", "T", 3),
    ("d1", "marrow", "healthy", "B", 1),
    ("d1", "blood", "AML", "T", 2),
    ("d2", "marrow", "healthy", "T", 2),
]


def panel() -> AnnData:
    table = pd.DataFrame(
        [row[:4] for row in ROWS for _ in range(row[4])], columns=["donor", "tissue", "condition", "label"]
    )
    table.loc[2, "condition"] = "healthy"  # one of the three: the anchor has the most common one
    table = table.assign(dataset="a", library_size=100.0)
    table["stages"] = table["label"].map({"T": "Naive_CD4|Treg", "B": "Naive_B"})
    table["branch"], table["depth"] = table["label"].map({"T": "t", "B": "b"}), table["label"].map({"T": 5.5, "B": 5.0})
    table.index = pd.Index([f"a:c{i}" for i in range(len(table))], name="cell")
    counts = np.arange(len(table) * 3).reshape(-1, 3)
    values = sp.csr_matrix(np.log1p(counts).astype(np.float32))
    adata = AnnData(sp.csr_matrix(counts.astype(np.int32)), obs=table, var=pd.DataFrame(index=["x", "y", "z"]))
    adata.var["present_a"] = True
    adata.layers["log1p"] = values
    adata.uns["panel"] = {"name": "p", "missing": {"a": np.array([], dtype=object)}, "library_is_partial": {"a": False}}
    order = np.random.default_rng(0).permutation(len(table))
    return adata[order].copy()


def test_anchors_are_means_by_hand():
    anchors = make_anchors(panel(), 2)
    assert list(anchors.obs_names) == ["a:d1:blood:T", "a:d1:marrow:T", "a:d2:marrow:T"]
    assert anchors.obs["n_cells"].tolist() == [2, 3, 2]
    expected = np.log1p(np.arange(9).reshape(3, 3)).mean(0)
    np.testing.assert_allclose(anchors["a:d1:marrow:T"].X[0], expected, rtol=1e-6)
    row = anchors.obs.loc["a:d1:marrow:T"]
    assert (row["condition"], row["stages"], row["branch"], row["depth"]) == ("AML", "Naive_CD4|Treg", "t", 5.5)
    assert len(make_anchors(panel(), 1)) == 4
    with pytest.raises(InputError, match=r"sweeps\.min_cells"):
        make_anchors(panel(), 4)


def test_anchors_survive_the_file_and_commute_with_an_operator(tmp_path):
    source = panel()
    source.write_h5ad(tmp_path / "panel.h5ad")
    build_anchors(tmp_path / "panel.h5ad", 2, tmp_path / "anchors.h5ad")
    found, made = read_anchors(tmp_path / "anchors.h5ad"), make_anchors(source, 2)
    np.testing.assert_array_equal(found.X, made.X)
    assert found.obs["donor"].tolist() == ["d1", "d1", "d2"]
    matrix = np.random.default_rng(0).normal(size=(3, 6))
    cells = source[(source.obs["donor"] == "d2").to_numpy()]
    np.testing.assert_allclose(found.X[2] @ matrix, (cells.layers["log1p"] @ matrix).mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.obs.drop(columns="branch", inplace=True), "no obs column 'branch'"),
        (lambda a: setattr(a, "X", a.X.astype(np.float64)), "finite float32"),
        (lambda a: a.uns.pop("anchors"), "uns entries"),
        (lambda a: a.obs.__setitem__("n_cells", 1), "too few cells"),
        (lambda a: a.obs.__setitem__("tissue", "marrow"), "repeats an anchor"),
    ],
)
def test_a_broken_file_is_refused_and_says_why(tmp_path, change, message):
    anchors = make_anchors(panel(), 2)
    change(anchors)
    anchors.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=message):
        read_anchors(tmp_path / "a.h5ad")

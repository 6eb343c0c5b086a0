"""Data files that cannot be used: each stops with one sentence that names file, field, value and remedy."""

import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import write_elem

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.h5ad import open_store, read_obs
from opbench.io.tables import CELLS, read_table
from opbench.panels import reading
from opbench.panels.cells import select_cells

ONTOLOGY = Path(__file__).parents[2] / "resources/ontology"
N, G = 60, 30
COUNTS = np.random.default_rng(0).poisson(2, size=(N, G)).astype(np.float32)


def cohort(counts=COUNTS, names=None):
    obs = pd.DataFrame(
        {"donor": np.array(["a", "b", "c"])[np.arange(N) % 3], "cell_type": ["T", "NK"] * (N // 2)},
        index=[f"c{i}" for i in range(N)],
    )
    return AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names or [f"g{g}" for g in range(G)]))


def select(folder, path, **fields):
    (folder / "map.tsv").write_text("label\tstages\nT\tNaive_CD8\nNK\tNK\n")
    fields = {"path": "x", "labels": str(folder / "map.tsv"), "columns": {"tissue": None, "condition": None}} | fields
    select_cells("d", path, Dataset.model_validate(fields), ONTOLOGY, folder / "cells.parquet")
    return read_table(folder / "cells.parquet", CELLS)


def edit(change):
    """A breakage of the HDF5 file after it was written."""

    def apply(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return apply


def put(name, value):
    def change(file):
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        file[name].attrs.update(attributes)

    return edit(change)


def at(name, place, value):
    def change(file):
        file[name][place] = value

    return edit(change)


def remove(*names):
    return edit(lambda file: [file.__delitem__(name) for name in names])


def truncate(path):
    os.truncate(path, path.stat().st_size * 2 // 3)


def overwrite(text):
    return lambda path: path.write_bytes(text)


def _column(name, value, where=3):
    def change(file):
        obs = pd.DataFrame(cohort().obs)
        obs[name] = [value if row == where else old for row, old in enumerate(obs[name])]
        obs[name] = obs[name].astype("category")
        del file["obs"]
        write_elem(file, "obs", obs)

    return edit(change)


def _ids(file):
    obs = pd.DataFrame(cohort().obs)
    obs.index = ["c0", *obs.index[:-1]]
    del file["obs"]
    write_elem(file, "obs", obs)


def _shorter(table, rows):
    def change(file):
        frame = getattr(cohort(), table).iloc[:rows]
        del file[table]
        write_elem(file, table, frame)

    return edit(change)


def _empty(axis):
    def apply(path):
        adata = cohort()
        (adata[:0] if axis == 0 else adata[:, :0]).copy().write_h5ad(path)

    return apply


def _normalised(path):
    adata = cohort()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    adata.X.data = np.log1p(adata.X.data * 1.7)
    adata.write_h5ad(path)


BAD = {
    "text": (overwrite(b"gene,cell\n"), {}, "is not a readable h5ad file"),
    "empty": (overwrite(b""), {}, "is not a readable h5ad file"),
    "truncated": (truncate, {}, "is not a readable h5ad file .*truncated"),
    "no obs": (remove("obs"), {}, "no readable 'obs'"),
    "no var": (remove("var"), {}, "'var' is not in the file"),
    "obs is no table": (put("obs", [1, 2]), {}, "'obs'"),
    "no X": (remove("X"), {}, r"counts 'X' is not in the file; it holds \[\]"),
    "no raw": (lambda path: None, {"counts": "raw/X"}, "'raw/var' is not in the file"),
    "no layer": (lambda path: None, {"counts": "layers/counts"}, r"'layers/counts' is not in .*\['X'\]"),
    "no name": (lambda path: None, {"counts": "counts"}, "no matrix name; use X, raw/X or layers/NAME"),
    "negative": (at("X/data", 5, -3), {}, "X: holds -3, which is no count"),
    "fraction": (at("X/data", 7, 1.5), {}, "X: holds 1.5, which is no count"),
    "late fraction": (at("X/data", -1, 1.5), {}, "X: holds 1.5, which is no count"),
    "nan": (at("X/data", 7, np.nan), {}, "X: holds nan, which is no count"),
    "infinite": (at("X/data", 7, np.inf), {}, "X: holds inf, which is no count"),
    "too large": (at("X/data", 7, 1e10), {}, r"X: holds 1e\+10, which is no count"),
    "log-normalised": (_normalised, {}, "look like log-normalised values, set 'counts' to 'raw/X' or 'layers/counts'"),
    "text values": (put("X/data", np.array([b"1"] * int((COUNTS > 0).sum()))), {}, "type .*, which are no counts"),
    "too few cells": (_shorter("obs", 50), {}, "60 cells and 30 genes but 'obs' has 50 rows"),
    "too few genes": (_shorter("var", 20), {}, "60 cells and 30 genes but 'var' has 20 rows"),
    "no cells": (_empty(0), {}, "X: has no cells"),
    "no genes": (_empty(1), {}, "X: has no genes"),
    "repeated cell": (edit(_ids), {}, "cell id 'c0' occurs twice"),
    "no donor": (_column("donor", None), {}, "cell 'c3' has no donor in 'donor'"),
    "donor nan": (_column("donor", "nan"), {}, "cell 'c3' has no donor in 'donor'"),
    "no label": (_column("cell_type", None), {}, "1 cells, 'c3' the first, have no label in 'cell_type'"),
    "new label": (_column("cell_type", "B; 'x'"), {}, "map.tsv: labels .*B; 'x'.* are missing; add a row"),
    "index too large": (at("X/indices", -1, G), {}, "X/indices: holds 30, outside 0 to 29"),
    "index negative": (at("X/indices", 0, -1), {}, "X/indices: holds -1, outside 0 to 29"),
    "index huge": (at("X/indices", 9, 2**31 - 1), {}, "X/indices: holds 2147483647, outside"),
    "indptr falls": (at("X/indptr", 5, 10**6), {}, "X/indptr: does not rise from 0"),
    "indptr negative": (at("X/indptr", 0, -5), {}, "X/indptr: does not rise from 0"),
    "indptr too far": (at("X/indptr", -1, 10**8), {}, "X/indptr: ends at 100000000 although"),
    "indptr short": (put("X/indptr", np.arange(10)), {}, "X/indptr: has 10 entries instead of 61"),
    "indptr fractions": (put("X/indptr", np.arange(61.0)), {}, "X: is neither a CSR, a CSC nor a dense matrix"),
    "indices missing": (remove("X/indices"), {}, "X: is neither a CSR, a CSC nor a dense matrix"),
    "no sparse format": (edit(lambda file: file["X"].attrs.clear()), {}, "X: is neither a CSR"),
    "a cube": (put("X", np.ones((N, G, 2))), {}, r"X: .*3 dimension"),
    "sha256": (lambda path: None, {"sha256": "0" * 64}, "sha256 is .*, not the 000"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_file(tmp_path, case):
    breakage, fields, says = BAD[case]
    path = tmp_path / "my file; 'ü'.h5ad"
    cohort().write_h5ad(path)
    breakage(path)
    with pytest.raises(InputError, match=says) as caught:
        select(tmp_path, path, **fields)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path if case == "new label" else path))
    assert not (tmp_path / "cells.parquet").exists()


def test_what_is_cheap_is_checked_before_values_are_read(tmp_path, monkeypatch):
    cohort().write_h5ad(tmp_path / "d.h5ad")

    def refuse(*args):
        raise AssertionError("the pass began")

    monkeypatch.setattr(reading, "totals", refuse)
    for case in ("no donor", "new label", "sha256", "log-normalised", "too few genes", "repeated cell"):
        breakage, fields, says = BAD[case]
        shutil.copy(tmp_path / "d.h5ad", tmp_path / "e.h5ad")
        breakage(tmp_path / "e.h5ad")
        with pytest.raises(InputError, match=says):
            select(tmp_path, tmp_path / "e.h5ad", **fields)


@pytest.mark.parametrize("layout", [sp.csc_matrix, np.asarray])
@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf])
def test_bad_values_of_other_layouts(tmp_path, layout, value):
    counts = COUNTS.copy()
    counts[-1, -1] = value
    adata = cohort()
    adata.X = layout(counts)
    adata.write_h5ad(tmp_path / "d.h5ad")
    with pytest.raises(InputError, match="which is no count"):
        select(tmp_path, tmp_path / "d.h5ad")


@pytest.mark.parametrize("name", ["X/data", "X/indices"])
def test_damaged_pieces(tmp_path, name):
    cohort().write_h5ad(tmp_path / "d.h5ad", compression="gzip")
    with h5py.File(tmp_path / "d.h5ad") as file:
        piece = file[name].id.get_chunk_info(0)
    with open(tmp_path / "d.h5ad", "r+b") as file:
        file.seek(piece.byte_offset)
        file.write(b"\x00" * piece.size)
    with pytest.raises(InputError, match="X: cannot be read"):
        reading.read_counts(tmp_path / "d.h5ad", Dataset(path="x", labels="y"), np.arange(N), ["g1"])


def test_zarr(tmp_path):
    path = tmp_path / "d.zarr"
    cohort().write_zarr(path)
    assert len(read_obs(path)) == N
    assert set(select(tmp_path, path)["role"]) == {"evaluation"}
    with pytest.raises(InputError, match="is a zarr folder, which has no single sha256; remove 'sha256'"):
        select(tmp_path, path, sha256="0" * 64)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: is a folder but no readable zarr group"):
        read_obs(tmp_path / "folder")
    (path / "X/data/0").unlink()
    with pytest.raises(InputError, match=r"X/data: lacks 1 of its 1 pieces"):
        select(tmp_path, path)


def test_links_that_leave_the_file_are_refused(tmp_path):
    cohort().write_h5ad(tmp_path / "other.h5ad")
    other = str(tmp_path / "other.h5ad")

    def external(file):
        del file["X"]
        file["X"] = h5py.ExternalLink(other, "/X")

    def by_soft_link(file):
        del file["X"]
        file["aside"] = h5py.ExternalLink(other, "/")
        file["X"] = h5py.SoftLink("/aside/X")

    def virtual(file):
        layout = h5py.VirtualLayout(shape=(5,), dtype="f4")
        layout[:] = h5py.VirtualSource(other, "X/data", shape=(5,))
        file.create_virtual_dataset("uns/v", layout)

    def raw(file):
        file.create_dataset("uns/r", shape=(4,), dtype="u1", external=[(str(tmp_path / "secret"), 0, 4)])

    (tmp_path / "secret").write_bytes(b"key!")
    for change in (external, by_soft_link, virtual, raw):
        cohort().write_h5ad(tmp_path / "d.h5ad")
        edit(change)(tmp_path / "d.h5ad")
        with pytest.raises(InputError, match=r"d\.h5ad: '.*' leads to another file, '.*(other\.h5ad|secret)'"):
            select(tmp_path, tmp_path / "d.h5ad")
    cohort().write_h5ad(tmp_path / "d.h5ad")
    edit(lambda file: (file.move("X", "hidden"), file.__setitem__("X", h5py.SoftLink("/hidden"))))(tmp_path / "d.h5ad")
    assert len(select(tmp_path, tmp_path / "d.h5ad")) == N


def test_zarr_folder_stays_inside(tmp_path):
    cohort().write_zarr(tmp_path / "d.zarr")
    shutil.move(tmp_path / "d.zarr/X/data", tmp_path / "data")
    (tmp_path / "d.zarr/X/data").symlink_to(tmp_path / "data")
    with pytest.raises(InputError, match="'X/data' leads to another place"):
        select(tmp_path, tmp_path / "d.zarr")


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    array = tmp_path / "d.zarr/obs"
    array.mkdir(parents=True)
    (tmp_path / "d.zarr/.zgroup").write_text('{"zarr_format": 2}')
    for filters, compressor in (([{"id": "pickle"}], None), (None, {"id": "pickle"})):
        about = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": compressor,
                 "fill_value": None, "order": "C", "filters": filters}  # fmt: skip
        for dtype in ("|O", "|u1"):
            (array / ".zarray").write_text(json.dumps(about | {"dtype": dtype}))
            (array / "0").write_bytes(pickle.dumps(np.array([Evil()], dtype=object)))
            with pytest.raises(InputError, match="no readable 'obs'"), open_store(tmp_path / "d.zarr") as root:
                reading.read_frame(root, "obs", tmp_path / "d.zarr")
    assert not (tmp_path / "executed").exists()


def test_odd_names_are_fine(tmp_path):
    """Spaces, quotes, semicolons and other alphabets in ids, donors, labels, columns and genes."""
    odd = "a b;'\"$(x)`ß中"
    adata = cohort(names=[odd, *(f"g{g}" for g in range(1, G))])
    adata.obs.index = [f"{odd}{i}" for i in range(N)]
    adata.obs["my donor"] = [f"{odd}{i % 3}" for i in range(N)]
    adata.obs["cluster"] = pd.Categorical(np.arange(N) % 2)
    adata.write_h5ad(tmp_path / "d.h5ad")
    (tmp_path / "numbers.tsv").write_text("label\tstages\n0\tNK\n1\tNaive_CD8\n")
    fields = {
        "labels": str(tmp_path / "numbers.tsv"), "evaluation": "`my donor` != 'x'",
        "columns": {"tissue": None, "condition": None, "donor": "my donor", "cell_type": "cluster"},
    }  # fmt: skip
    cells = select(tmp_path, tmp_path / "d.h5ad", **fields)
    assert cells["donor"].nunique() == 3
    assert cells["cell_id"][0] == f"{odd}0"
    assert set(cells["label"]) == {"0", "1"}
    got = reading.read_counts(tmp_path / "d.h5ad", Dataset(path="x", labels="y"), np.arange(N), [odd])
    assert np.array_equal(got.toarray()[:, 0], COUNTS[:, 0])

"""The same counts give the same totals and the same panel, however a file holds them."""

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData, settings
from anndata.io import sparse_dataset, write_elem

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.panels import matrix, scan, stream
from opbench.panels.matrix import open_counts
from opbench.panels.reading import read_counts, read_genes

N, G = 211, 97
DATASET = Dataset(path="x", labels="y")


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    made = rng.poisson(rng.gamma(0.3, 2, size=G), size=(N, G))
    made[[5, 6, 7, 210]] = 0  # rows and columns without an element, at the end too
    made[:, [0, 50, 96]] = 0
    return made


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Many blocks, rows that go on in the next one, a boundary between threads inside a piece."""
    monkeypatch.setattr(stream, "BLOCK", 256)
    monkeypatch.setattr(stream, "PIECE", (32, 4096))


def written(path, made, where="X", zarr_format=None, **options):
    adata = AnnData(made * 2 if where != "X" else made, var=pd.DataFrame(index=[f"g{g}" for g in range(G)]))
    if where == "raw/X":
        adata.raw = AnnData(made, var=adata.var)
    elif where != "X":
        adata.layers[where.removeprefix("layers/")] = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if zarr_format:
            with settings.override(zarr_write_format=zarr_format):
                adata.write_zarr(path)
        else:
            adata.write_h5ad(path, **options)
    return Dataset(path="x", labels="y", counts=where)


def agrees(path, dataset, counts):
    """Totals of all cells, and genes in another order, one absent, of cells at both ends and in between."""
    with open_counts(path, dataset) as opened:
        library, detected = scan.totals(opened)
    assert np.array_equal(library, counts.sum(axis=1))
    assert np.array_equal(detected, (counts > 0).sum(axis=1))
    rng = np.random.default_rng(1)
    for rows in (np.arange(N), np.array([0, 3, 4, 5, 100, 210]), np.array([209])):
        chosen = rng.permutation(G)[:40]
        got = read_counts(path, dataset, rows, ["absent", *(f"g{g}" for g in chosen)])
        want = sp.csr_matrix(np.hstack([np.zeros((len(rows), 1), int), counts[rows][:, chosen]]))
        assert got.dtype == np.int32
        assert got.has_canonical_format
        for part in ("indptr", "indices", "data"):
            assert np.array_equal(getattr(got, part), getattr(want, part))


@pytest.mark.parametrize("where", ["X", "raw/X", "layers/a b"])
@pytest.mark.parametrize("zarr_format", [None, 2, 3])
@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_layout_store_and_place(tmp_path, counts, layout, zarr_format, where):
    path = tmp_path / ("d.zarr" if zarr_format else "d.h5ad")
    agrees(path, written(path, layout(counts.astype(np.float32)), where, zarr_format), counts)


@pytest.mark.parametrize("kind", ["i1", "u2", "i8", "f8", ">f4", "f2"])
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_types(tmp_path, counts, kind, layout):
    dense = counts.astype(kind)
    with h5py.File(tmp_path / "d.h5ad", "w") as file:
        write_elem(file, "var", pd.DataFrame(index=[f"g{g}" for g in range(G)]))
        if layout == "dense":
            file.create_dataset("X", data=dense, chunks=(19, 23))
        else:
            write_elem(file, "X", getattr(sp, f"{layout}_matrix")(counts))
            values = file["X/data"][:].astype(kind)
            del file["X/data"]
            file["X"].create_dataset("data", data=values, chunks=None if kind == "f8" else (41,))
    agrees(tmp_path / "d.h5ad", DATASET, counts)


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_compressed(tmp_path, counts, layout, compression):
    agrees(tmp_path / "d.h5ad", written(tmp_path / "d.h5ad", layout(counts), compression=compression), counts)


def test_unsorted_repeated_and_zero_entries(tmp_path, counts):
    """Every row backwards, with stored zeros, and one count of two as two entries of one."""
    rows = []
    for cell in counts:
        at = np.flatnonzero(cell)[::-1]
        pairs = [(g, cell[g]) for g in at] + [(g, 0) for g in np.flatnonzero(cell == 0)[:3]]
        rows.append(pairs)
    split = next(i for i, pairs in enumerate(rows) if any(value == 2 for _, value in pairs))
    gene = next(g for g, value in rows[split] if value == 2)
    rows[split] = [(g, v) for g, v in rows[split] if g != gene] + [(gene, 1), (gene, 1)]
    data = np.array([v for pairs in rows for _, v in pairs], dtype=np.float32)
    indices = np.array([g for pairs in rows for g, _ in pairs], dtype=np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(pairs) for pairs in rows])])
    with h5py.File(tmp_path / "d.h5ad", "w") as file:
        write_elem(file, "var", pd.DataFrame(index=[f"g{g}" for g in range(G)]))
        write_elem(file, "X", sp.csr_matrix((data, indices, indptr), shape=(N, G)))
    got = read_counts(tmp_path / "d.h5ad", DATASET, np.arange(N), [f"g{g}" for g in range(G)])
    assert np.array_equal(got.toarray(), counts)
    assert got.has_canonical_format
    assert got.nnz == (counts > 0).sum()


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_repeated_symbols_are_one_gene(tmp_path, counts, layout):
    names = [f"s{g % 60}" for g in range(G)]
    adata = AnnData(layout(counts), var=pd.DataFrame({"symbol": names}, index=[f"i{g}" for g in range(G)]))
    adata.write_h5ad(tmp_path / "d.h5ad")
    dataset = Dataset(path="x", labels="y", columns={"gene": "symbol"})
    merged = np.zeros((N, 60), dtype=int)
    np.add.at(merged.T, np.arange(G) % 60, counts.T)
    chosen = [*range(50, 60), *range(10)]
    got = read_counts(tmp_path / "d.h5ad", dataset, np.arange(N), [f"s{g}" for g in chosen])
    assert np.array_equal(got.toarray(), merged[:, chosen])
    assert got.has_canonical_format
    group = np.array([g % 60 if g % 60 < G - 60 else -1 for g in range(G)], dtype=np.int32)
    with open_counts(tmp_path / "d.h5ad", dataset) as opened:
        library, detected = scan.totals(opened, group)
    assert np.array_equal(library, counts.sum(axis=1))
    assert np.array_equal(detected, (merged > 0).sum(axis=1))
    assert (detected < (counts > 0).sum(axis=1)).any()


def test_sum_beyond_32_bits_is_refused(tmp_path):
    made = np.full((4, 2), 2**31 - 1, dtype=np.int64)
    for layout in (sp.csr_matrix, sp.csc_matrix, np.asarray):
        AnnData(layout(made), var=pd.DataFrame({"s": ["a", "a"]}, index=["x", "y"])).write_h5ad(tmp_path / "d.h5ad")
        with pytest.raises(InputError, match="beyond 2147483647"):
            read_counts(tmp_path / "d.h5ad", Dataset(path="x", labels="y", columns={"gene": "s"}), np.arange(4), ["a"])


def in_small_pieces(path):
    with h5py.File(path, "r+") as file:
        names = ["X"] if isinstance(file["X"], h5py.Dataset) else ["X/data", "X/indices"]
        for name in names:
            data, attributes = file[name][:], dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, data=data, chunks=(32,) * data.ndim).attrs.update(attributes)
        return len(names) * data.size


@pytest.mark.parametrize(
    ("layout", "rows", "limit"),
    [(sp.csr_matrix, [100, 101], 0.1), (sp.csc_matrix, range(N), 0.3), (np.asarray, [100, 101], 0.1)],
)
def test_only_wanted_pieces_are_read(tmp_path, counts, monkeypatch, layout, rows, limit):
    """Of a few cells (CSR, dense) or genes (CSC, dense), in a file of small pieces."""
    dataset = written(tmp_path / "d.h5ad", layout(counts))
    stored, read, original = in_small_pieces(tmp_path / "d.h5ad"), [], stream.reader

    def counted(array):
        inner = original(array)
        return lambda buffer, selection: (read.append(selection), inner(buffer, selection))[1]

    monkeypatch.setattr(stream, "reader", counted)
    got = read_counts(tmp_path / "d.h5ad", dataset, np.array(rows), ["g1", "g2", "g3"])
    assert np.array_equal(got.toarray(), counts[list(rows)][:, 1:4])
    sizes = [np.prod([part.stop - part.start for part in selection]) for selection in read]
    assert 0 < sum(sizes) < limit * stored


def test_gene_order_of_the_file_does_not_matter(tmp_path, counts):
    """`sparse_dataset` appends as files grow; the panel follows the names."""
    with h5py.File(tmp_path / "d.h5ad", "w") as file:
        write_elem(file, "var", pd.DataFrame(index=[f"g{g}" for g in range(G)][::-1]))
        write_elem(file, "X", sp.csr_matrix(counts[:100, ::-1]))
        sparse_dataset(file["X"]).append(sp.csr_matrix(counts[100:, ::-1]))
    assert read_genes(tmp_path / "d.h5ad", DATASET)[0] == f"g{G - 1}"
    agrees(tmp_path / "d.h5ad", DATASET, counts)


def test_log_normalised_is_told_from_fractions():
    assert matrix.looks_normalised(np.log1p(np.array([0, 1, 5, 900.0])))
    assert not matrix.looks_normalised(np.array([1, 2, 0.5, 3, 4]))
    assert not matrix.looks_normalised(np.array([1.5, -2.5]))
    assert not matrix.looks_normalised(np.array([0.5, np.nan]))

"""Write a simulated atlas as fast as a disk takes it: `python benchmarks/atlas_file.py FILE [--cells N ...]`.

Cells are multinomial draws from one of four rate profiles over the genes (log-normal rates, so that a few genes take
most counts), 1,420 counts each, which detects about 2 % of 60,000 genes. Twenty donors; a tenth of the cells is corpus.
CSR is streamed whatever its size; CSC and dense files are made in memory, block by block, at smaller sizes.
A name that ends in `.zarr` makes a zarr folder. The layout is what anndata writes, piece sizes included.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

BLOCK, DONORS, PROFILES, COUNTS = 5000, 20, 4, 1420
LABELS = ["T", "NK", "B", "Mono"]
#: Draws are looked up in a table of genes, each as often in it as its rate says.
TABLE = 1 << 22


def rate_tables(genes: int) -> np.ndarray:
    """Return (PROFILES, TABLE) genes; profiles differ from a common one in a tenth of the genes."""
    rng = np.random.default_rng(0)
    common = rng.normal(scale=1.6, size=genes)
    tables = []
    for _ in range(PROFILES):
        rate = np.exp(common + (rng.random(genes) < 0.1) * rng.normal(scale=1.5, size=genes))
        edges = np.cumsum(rate) / rate.sum() * TABLE
        tables.append(np.searchsorted(edges, np.arange(TABLE) + 0.5).clip(max=genes - 1).astype(np.int32))
    return np.array(tables)


def draw_block(tables: np.ndarray, number: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return float32 values, int32 indices and row lengths of a block of cells."""
    rng = np.random.default_rng([1, number])
    profile = (np.arange(cells) + number * BLOCK) % PROFILES
    drawn = np.sort(tables[profile[:, None], rng.integers(0, TABLE, (cells, COUNTS), dtype=np.int32)], axis=1)
    first = np.ones(drawn.shape, dtype=bool)
    first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    at = np.flatnonzero(first)
    values = np.diff(np.append(at, drawn.size)).astype(np.float32)
    return values, drawn.ravel()[at], first.sum(axis=1)


def cell_table(cells: int) -> pd.DataFrame:
    """Return obs: donors in runs, as files hold them; the last tenth of each donor's cells is corpus."""
    number = np.arange(cells)
    inside = (number * DONORS / cells) % 1
    columns = {
        "donor": pd.Categorical.from_codes(number * DONORS // cells, [f"D{d:02d}" for d in range(DONORS)]),
        "cell_type": pd.Categorical.from_codes(number % PROFILES, LABELS),
        "part": pd.Categorical.from_codes((inside >= 0.9).astype(int), ["evaluation", "corpus"]),
    }
    return pd.DataFrame(columns, index=pd.Index([f"cell{n:07d}" for n in number], name="cell"))


def open_file(path: Path, zarr_format: int):
    if path.suffix == ".zarr":
        import zarr

        return zarr.open_group(path, mode="w", zarr_format=zarr_format)
    import h5py

    return h5py.File(path, "w")


def write_csr(file, cells: int, genes: int, options: dict) -> None:
    tables = rate_tables(genes)
    group = file.require_group("X")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    group.attrs["shape"] = np.array([cells, genes]) if "maxshape" in options else [cells, genes]
    expected = int(cells * 0.84 * COUNTS)
    if "maxshape" in options:
        from h5py._hl.filters import guess_chunk

        options = options | {"chunks": guess_chunk((expected,), (None,), 4)}
    else:
        options = options | {"chunks": (max(1 << 14, min(expected // 128, 468_750 * 10)),)}
    arrays = [
        group.create_dataset(name, shape=(0,), dtype=dtype, **options)
        if "maxshape" in options
        else group.create_array(name, shape=(0,), dtype=dtype, **options)
        for name, dtype in (("data", "f4"), ("indices", "i4"))
    ]
    lengths, filled = [], 0
    for number, start in enumerate(range(0, cells, BLOCK)):
        values, indices, sizes = draw_block(tables, number, min(BLOCK, cells - start))
        for array, part in zip(arrays, (values, indices), strict=True):
            array.resize((filled + len(part),))
            array[filled:] = part
        filled += len(values)
        lengths.append(sizes)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    from anndata.io import write_elem

    write_elem(group, "indptr", indptr.astype(np.int32 if filled < 2**31 else np.int64))


def write_other(file, layout: str, cells: int, genes: int, options: dict) -> None:
    from anndata.io import write_elem

    tables = rate_tables(genes)
    blocks = (draw_block(tables, n, min(BLOCK, cells - s)) for n, s in enumerate(range(0, cells, BLOCK)))
    rows = [csr_matrix((v, i, np.append(0, np.cumsum(s))), shape=(len(s), genes)) for v, i, s in blocks]
    if layout == "csc":
        kept = {key: value for key, value in options.items() if key != "maxshape" and value}
        write_elem(file, "X", vstack(rows, format="csc"), dataset_kwargs=kept)
        return
    options = {key: value for key, value in options.items() if key != "maxshape"}
    make = file.create_array if hasattr(file, "create_array") else file.create_dataset
    array = make("X", shape=(cells, genes), dtype="f4", **options)
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    start = 0
    for block in rows:
        for part in range(0, block.shape[0], 500):
            piece = block[part : part + 500].toarray()
            array[start : start + len(piece)] = piece
            start += len(piece)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument("--genes", type=int, default=60_000)
    parser.add_argument("--layout", choices=["csr", "csc", "dense"], default="csr")
    parser.add_argument("--compression", choices=["none", "gzip", "lzf"], default="none", help="of an h5ad file")
    parser.add_argument("--zarr-format", type=int, default=3)
    options = parser.parse_args()
    from anndata.io import write_elem

    file = open_file(options.file, options.zarr_format)
    storage = {}
    if options.file.suffix != ".zarr":
        storage = {"maxshape": (None,), "compression": None if options.compression == "none" else options.compression}
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    write_elem(file, "obs", cell_table(options.cells))
    write_elem(file, "var", pd.DataFrame(index=pd.Index([f"G{g:05d}" for g in range(options.genes)], name="symbol")))
    if options.layout == "csr":
        write_csr(file, options.cells, options.genes, storage)
    else:
        write_other(file, options.layout, options.cells, options.genes, storage)
    if hasattr(file, "close"):
        file.close()


if __name__ == "__main__":
    main()

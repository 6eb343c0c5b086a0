"""Cells a second and peak memory of `opbench apply` on a simulated gzip h5ad: `python benchmarks/apply.py FOLDER`.

The file (CSR, 500,000 x 20,000) is streamed into FOLDER by the draws of `atlas_file.py`, the artifact (1,200 genes,
2,400 features, 10 dimensions, 15 labels) has random weights: neither changes what applying costs. `apply` runs in a
process of its own, interpreter, imports and compiled loops included. `--celltypist N` times `celltypist.annotate` on
the first N cells beside it, a model of 15 types trained on 3,000 of them; reading and normalising are told apart.
Prints a line of a markdown table; the files are removed unless `--keep`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import atlas_file
import numpy as np

GENES, DIMENSIONS, LABELS, BRANCHES, TRAINING = 1200, 10, 15, 7, 3000
COLUMNS = (
    "cells x genes", "non-zeros a cell", "file, GB", "writing it, s", "panel genes expressed", "apply, s",
    "of a processor, s", "cells/s", "peak, MB", "celltypist cells", "annotate, of a processor, s",
    "annotate, cells/s", "from the file, cells/s", "peak, MB",
)  # fmt: skip


def write_cells(path: Path, cells: int, genes: int, nonzeros: int) -> np.ndarray:
    """Write the file; return the (genes,) probability that a cell expresses a gene."""
    import pandas as pd
    from anndata.io import write_elem

    tables = atlas_file.rate_tables(genes)
    rates = np.array([np.bincount(table, minlength=genes) for table in tables]) / atlas_file.TABLE
    low, high = 1, 100 * genes
    while high - low > 1:  # draws that detect so many genes
        middle = (low + high) // 2
        low, high = (middle, high) if (-np.expm1(-middle * rates)).sum(1).mean() < nonzeros else (low, middle)
    atlas_file.COUNTS = high
    with atlas_file.open_file(path, 3) as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", atlas_file.cell_table(cells))
        index = pd.Index([f"G{gene:05d}" for gene in range(genes)], name="symbol")
        write_elem(file, "var", pd.DataFrame(index=index))
        atlas_file.write_csr(file, cells, genes, {"maxshape": (None,), "compression": "gzip"})
    return (-np.expm1(-high * rates)).mean(0)


def write_toy(path: Path, detected: np.ndarray) -> None:
    """An artifact on genes of the upper half by detection, as panels are chosen."""
    from opbench.discovery.artifact import Artifact, Head, Ontology, Readout, write_artifact
    from opbench.discovery.reduce import Reduced

    rng = np.random.default_rng(0)
    genes = rng.choice(np.argsort(-detected)[: len(detected) // 2], GENES, replace=False)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    labels, features = tuple(f"label{i}" for i in range(LABELS)), 2 * GENES
    sizes = {"branch": BRANCHES, "stage": LABELS, "task": 2, "supervised_pseudotime": 1}
    names = {"branch": labels[:BRANCHES], "stage": labels, "task": ("a", "b")}
    readouts = {
        name: Readout(normal(DIMENSIONS, size), normal(size), names.get(name, ())) for name, size in sizes.items()
    }
    head = Head(normal(DIMENSIONS, features), normal(features), np.ones(features, np.float32), 1.0)
    latent, symbols = (normal(DIMENSIONS), np.ones(DIMENSIONS, np.float32)), tuple(f"G{gene:05d}" for gene in genes)
    ontology = Ontology({}, (), {label: label for label in labels})
    operator = Reduced(dense=normal(GENES, features))
    write_artifact(Artifact(operator, head, *latent, readouts, symbols, ("",) * GENES, ontology), path)


def write_files(cells: Path, toy: Path, n: int, genes: int, nonzeros: int) -> None:
    write_toy(toy, write_cells(cells, n, genes, nonzeros))


def timed(command: list[str]) -> tuple[float, float, float, str]:
    """Seconds, seconds of processors, peak MB and output of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said


def annotate(path: Path, cells: int) -> None:
    """Time celltypist on the first cells of the file; prints seconds as JSON."""
    import anndata
    import h5py
    from anndata.io import sparse_dataset

    from opbench.methods.celltypist_model import quiet_celltypist, train_model
    from opbench.panels.build import log1p_cp10k

    start = time.perf_counter()
    with h5py.File(path) as file:
        counts = sparse_dataset(file["X"])[:cells]
        genes = file["var/symbol"].asstr()[:]
    x = log1p_cp10k(counts, np.asarray(counts.sum(1)).ravel())
    read = time.perf_counter() - start
    label = np.array([f"type{i}" for i in np.random.default_rng(0).integers(0, LABELS, TRAINING)])
    model = train_model(x[:TRAINING], label, genes, 0)
    data = anndata.AnnData(x)
    data.var_names = genes
    with quiet_celltypist() as celltypist:
        start, busy = time.perf_counter(), time.process_time()
        celltypist.annotate(data, model=model, majority_voting=False)
        took = {"annotate": time.perf_counter() - start, "busy": time.process_time() - busy}
        print(json.dumps(took | {"read": read, "genes": len(model.features)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the file of cells (2 GB), the artifact and the result")
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--nonzeros", type=int, default=1000, help="expressed genes of a cell")
    parser.add_argument("--celltypist", type=int, default=0, help="cells for celltypist.annotate")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--annotate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cells, toy, out = (
        options.folder / name for name in ("apply_cells.h5ad", "apply_toy.safetensors", "apply_out.h5ad")
    )
    if options.annotate:
        return annotate(cells, options.celltypist)
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    # In a process of its own: what this one has held at most would count as the peak of those that it starts.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(write_files, cells, toy, options.cells, options.genes, options.nonzeros).result()
    written, size = time.perf_counter() - start, cells.stat().st_size / 1e9
    seconds, busy, peak, said = timed([sys.executable, "-m", "opbench", "apply", str(toy), str(cells), "-o", str(out)])
    print(said, file=sys.stderr)
    import h5py

    with h5py.File(out) as file:
        expressed = file["obs/opbench_genes_expressed"][:].mean()
        nonzeros = h5py.File(cells)["X/indptr"][-1] / options.cells
    row = [f"{options.cells:,} x {options.genes:,}", f"{nonzeros:.0f}", f"{size:.2f}", f"{written:.0f}"]
    row += [f"{expressed:.0f}", f"{seconds:.1f}", f"{busy:.1f}", f"{options.cells / seconds:,.0f}", f"{peak:.0f}"]
    if n := min(options.celltypist, options.cells):
        again = [sys.executable, __file__, str(options.folder), "--annotate", "--celltypist", str(n)]
        *_, peak, said = timed(again)
        took = json.loads(said.splitlines()[-1])
        print(f"celltypist's model has {took['genes']} genes", file=sys.stderr)
        row += [
            f"{n:,}",
            f"{n / took['annotate']:,.0f}",
            f"{n / (took['annotate'] + took['read']):,.0f}",
            f"{peak:.0f}",
        ]
    print(f"| {' | '.join(COLUMNS[: len(row)])} |\n|{'---|' * len(row)}\n| {' | '.join(row)} |")
    for path in () if options.keep else (cells, toy, out):
        path.unlink()
    return None


if __name__ == "__main__":
    main()

"""How fast and in how much memory an atlas becomes a panel: `python benchmarks/atlas_panel.py [FILE ...] [--cold]`.

Files come from `atlas_file.py`; `--make FOLDER` writes the full-size CSR file and smaller ones of every layout first.
The yardstick is the sequential read of the same file: the stored arrays of the matrix, block by block, through the same
library into one buffer, and nothing done with them. Every step runs in a process of its own, which reports its peak
memory. A *pass* is the reading alone (totals and check of all values; cells and genes of the panel); a *job* is all
that the workflow's rule does (tables, compilation, writing and flushing its output). `--cold` drops the file from the
page cache before every timing. Medians of `--repeats`.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = [
    ("csr_gzip.h5ad", "--cells 100000 --compression gzip"),
    ("csr_lzf.h5ad", "--cells 100000 --compression lzf"),
    ("csr_v2.zarr", "--cells 100000 --zarr-format 2"),
    ("csr_v3.zarr", "--cells 100000 --zarr-format 3"),
    ("csc.h5ad", "--cells 100000 --layout csc"),
    ("csc_v3.zarr", "--cells 100000 --layout csc"),
    ("dense.h5ad", "--cells 10000 --layout dense"),
    ("dense_gzip.h5ad", "--cells 10000 --layout dense --compression gzip"),
    ("dense_v3.zarr", "--cells 10000 --layout dense"),
]
COLUMNS = [
    "file", "layout", "compression", "GB", "stored_M", "read_s", "totals_pass_s", "ratio", "cells_job_s", "cells_MB",
    "panel_pass_s", "ratio", "panel_job_s", "job_ratio", "panel_MB", "panel_nnz_M",
]  # fmt: skip


def paths_of(file: Path) -> list[Path]:
    return [path for path in file.rglob("*") if path.is_file()] if file.is_dir() else [file]


def drop(file: Path) -> None:
    for path in paths_of(file):
        with open(path, "rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(file: Path, cold: bool, repeats: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        if cold:
            drop(file)
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_mb() -> float:
    """Peak resident memory of this process since it was executed (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def step(name: str, file: Path, folder: Path, cold: bool, repeats: int) -> dict:
    """One step in this process; its job comes before its pass, so that the peak is the job's."""
    import numpy as np

    from opbench.config.data import Dataset, Panel
    from opbench.panels import build, cells, genes, matrix, reading, stream

    root = Path(__file__).resolve().parents[1]
    (folder / "labels.tsv").write_text("label\tstages\nT\tNaive_CD8|Naive_CD4\nNK\tNK\nB\tNaive_B\nMono\tCl_Mono\n")
    dataset = Dataset.model_validate(
        {"path": str(file), "labels": str(folder / "labels.tsv"), "corpus_cells": 5000,
         "columns": {"tissue": None, "condition": None},
         "evaluation": "part == 'evaluation'", "corpus": "part == 'corpus'"}
    )  # fmt: skip
    panel = Panel.model_validate({"datasets": ["a"], "genes": {"kind": "hvg", "n": 1200, "corpus": "a"}})
    table, listed, output = folder / "cells.parquet", folder / "genes.parquet", folder / "panel.h5ad"
    sources = {"a": (file, dataset, table)}
    if name == "read":
        with matrix.open_counts(file, dataset) as counts:
            dense, majors = counts.layout == "dense", np.arange(len(counts.indptr) - 1)
            selections = (
                stream.tiles(counts, np.arange(counts.shape[0])) if dense else stream.element_ranges(counts, majors)
            )
            arrays = [counts.values] if dense else [counts.values, counts.indices]
            buffers = [stream.buffer_for(array, selections) for array in arrays]

            def work() -> None:
                for selection in selections:
                    for array, buffer in zip(arrays, buffers, strict=True):
                        if file.is_dir():
                            array[selection]
                        else:
                            shape = [part.stop - part.start for part in selection]
                            array.read_direct(buffer[: math.prod(shape)].reshape(shape), selection)

            stored = int(counts.shape[0] * counts.shape[1] if dense else counts.indptr[-1])
            compression = getattr(counts.values, "compression", "none") or "none"
            if file.is_dir():
                compression = ",".join(type(c).__name__ for c in counts.values.compressors)
            about = {"layout": counts.layout, "stored": stored, "compression": compression}
            work()
            return {"s": timed(file, cold, repeats, work)} | about
    if name == "genes":
        return {"s": timed(file, cold, 1, lambda: genes.select_genes("p", panel, sources, None, listed))} | {
            "mb": peak_mb()
        }
    if name == "cells":
        job = timed(file, cold, 1, lambda: cells.select_cells("a", file, dataset, root / "resources/ontology", table))
        mb, names = peak_mb(), reading.read_gene_names(file, dataset)
        return {
            "job": job,
            "mb": mb,
            "s": timed(file, cold, repeats, lambda: reading.read_totals(file, dataset, names)),
        }
    from opbench.io.tables import CELLS, GENES, read_table

    job = timed(file, cold, 1, lambda: build.build_panel("p", panel, sources, listed, output))
    mb, chosen = peak_mb(), read_table(listed, GENES).sort_values("rank")["gene"].tolist()
    rows = read_table(table, CELLS).query("role == 'evaluation'")["row"].to_numpy()
    sizes = []
    passes = timed(file, cold, repeats, lambda: sizes.append(reading.read_counts(file, dataset, rows, chosen).nnz))
    return {"job": job, "mb": mb, "s": passes, "nnz": sizes[0]}


def measure(file: Path, cold: bool, repeats: int) -> list[str]:
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        got = {}
        for name in ("read", "cells", "genes", "panel"):
            command = [
                sys.executable,
                __file__,
                str(file),
                "--step",
                name,
                "--folder",
                folder,
                "--repeats",
                str(repeats),
            ]
            done = subprocess.run(
                [*command, *(["--cold"] if cold else [])], check=True, stdout=subprocess.PIPE, text=True
            )
            got[name] = json.loads(done.stdout.splitlines()[-1])
    read, cells, panel = got["read"], got["cells"], got["panel"]
    size = sum(path.stat().st_size for path in paths_of(file)) / 1e9
    row = [
        file.name, read["layout"], read["compression"], f"{size:.2f}", f"{read['stored'] / 1e6:.0f}",
        f"{read['s']:.2f}", f"{cells['s']:.2f}", f"{read['s'] / cells['s']:.2f}", f"{cells['job']:.2f}",
        f"{cells['mb']:.0f}", f"{panel['s']:.2f}", f"{read['s'] / panel['s']:.2f}", f"{panel['job']:.2f}",
        f"{read['s'] / panel['job']:.2f}", f"{panel['mb']:.0f}", f"{panel['nnz'] / 1e6:.1f}",
    ]  # fmt: skip
    print(f"{file.name}: genes job {got['genes']['s']:.1f} s, {got['genes']['mb']:.0f} MB", file=sys.stderr)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--make", type=Path, help="folder in which the files are written first (10 GB)")
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache before every timing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--step", choices=["read", "cells", "genes", "panel"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step, options.files[0], options.folder, options.cold, options.repeats)))
        return
    files = list(options.files)
    if options.make:
        options.make.mkdir(parents=True, exist_ok=True)
        for name, arguments in [("atlas.h5ad", ""), *SMALL]:
            files.append(options.make / name)
            if not files[-1].exists():
                writer = Path(__file__).with_name("atlas_file.py")
                subprocess.run([sys.executable, str(writer), str(files[-1]), *arguments.split()], check=True)
    print("\t".join(COLUMNS))
    for file in files:
        print("\t".join(measure(file, options.cold, options.repeats)), flush=True)


if __name__ == "__main__":
    main()

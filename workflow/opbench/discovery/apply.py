"""`opbench apply ARTIFACT CELLS -o OUT`: annotate the cells of any h5ad with a standalone algorithm.

The out file keeps the cells' own `obs` columns and adds branch, stage, label, subtype scores and supervised
pseudotime, the latent in `obsm["X_opbench"]`, and gene coverage and provenance in `uns["opbench"]`.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from opbench.discovery.artifact import PSEUDOTIME, Artifact, read_artifact
from opbench.discovery.coverage import check_coverage, match_genes, report, sentence
from opbench.discovery.latent import Latent, latent
from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.io.h5ad import open_store, read_frame
from opbench.io.provenance import sha256_of
from opbench.panels.matrix import find_matrix, head_values, is_count, matrix_names, no_count

if TYPE_CHECKING:
    import h5py

#: Cells whose readouts are computed at once.
BLOCK = 1 << 16
#: Parts of an h5ad file that are made here; `keep_matrix` copies the others.
MADE = ("obs", "obsm", "uns")


@dataclass(frozen=True)
class Annotated:
    """Columns for `obs`, one row a cell, latents (n, d) float32, and the gene coverage report."""

    obs: pd.DataFrame
    z: np.ndarray
    coverage: dict[str, object]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="results/<run>/artifact/<panel>.safetensors")
    parser.add_argument("cells", type=Path, help="h5ad file (or zarr folder) with integer counts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="h5ad file to write")
    parser.add_argument("--counts", default="X", help="matrix of integer counts: X, raw/X or layers/NAME")
    parser.add_argument("--gene-column", help="var column of symbols or Ensembl ids, or 'index'; found if not named")
    parser.add_argument("--min-coverage", type=float, help="least share of the artifact's genes; its own if not given")
    parser.add_argument("--keep-matrix", action="store_true", help="copy X, layers and all else of CELLS into the file")


def run(options: argparse.Namespace) -> int:
    """Annotate one file; prints the gene coverage and the speed."""
    start = time.perf_counter()
    if options.output.resolve() == options.cells.resolve():
        raise InputError(f"{options.output}: is the file of the cells; name another in --output.")
    if options.keep_matrix and options.cells.is_dir():
        raise InputError(f"{options.cells}: is a zarr folder, of which --keep-matrix copies nothing; leave it out.")
    artifact = read_artifact(options.artifact)
    least = artifact.min_coverage if options.min_coverage is None else options.min_coverage
    if not 0 <= least <= 1:
        raise InputError(f"--min-coverage: is {least}, which is no share; give a number from 0 to 1.")
    found = annotate(artifact, options.cells, options.counts, options.gene_column, least)
    record = {"artifact_sha256": sha256_of(options.artifact), "counts": options.counts}
    write_annotated(found, artifact, record, options.cells, options.output, options.keep_matrix)
    print(sentence(found.coverage))
    if empty := int(np.isnan(found.z[:, 0]).sum()):
        print(f"{empty} cells without counts are not annotated")
    seconds = time.perf_counter() - start
    print(f"{len(found.z)} cells in {seconds:.1f} s, {len(found.z) / seconds:.0f} a second: {options.output}")
    return 0


def annotate(
    artifact: Artifact, path: str | Path, counts: str = "X", gene_column: str | None = None, least: float = 0.0
) -> Annotated:
    """Annotate the cells of a file, read in blocks.

    InputError when the matrix `counts` is not there or holds no counts, or when the file has less than the share
    `least` of the artifact's genes.
    """
    if counts not in ("X", "raw/X") and not counts.startswith("layers/"):
        raise InputError(f"--counts: '{counts}' is no matrix name; use X, raw/X or layers/NAME.")
    table = "raw/var" if counts == "raw/X" else "var"
    with open_store(path) as root:
        if counts not in root:
            raise InputError(f"{path}: --counts '{counts}' is not in the file; name one of {matrix_names(root)}.")
        obs, var = (read_frame(root, name, path) for name in ("obs", table))
        matrix = find_matrix(root, counts, f"{path}: {counts}")
        if matrix.shape != (len(obs), len(var)):
            raise InputError(
                f"{matrix.source}: is {matrix.shape} but obs and {table} name {(len(obs), len(var))}; write the file "
                "again with anndata."
            )
        if not is_count(values := head_values(matrix)).all():
            raise no_count(matrix, values)
        matched = match_genes(var, artifact, gene_column, f"{path}: {table}")
        check_coverage(matched, artifact, least, f"{path}: {table}")
        mapped = latent(matrix, matched.target, artifact.folded)
    columns = annotations(artifact, mapped.z).set_axis(obs.index)
    columns["opbench_genes_expressed"] = mapped.expressed
    kept = obs.drop(columns=[name for name in columns if name in obs.columns])
    return Annotated(pd.concat([kept, columns], axis=1), mapped.z, report(matched, artifact) | _depths(mapped))


def annotations(artifact: Artifact, z: np.ndarray) -> pd.DataFrame:
    """Columns of n cells from their latents (n, d); a cell whose latent is NaN has none.

    `opbench_branch`, `opbench_label` (the training label) and `opbench_stage` (its stages, joined by `|`) are the
    classes of highest decision score, with their softmax as `opbench_branch_probability` and
    `opbench_label_probability`; `opbench_<task>` the decision score of a two-class task, above 0 for its positive
    side; `opbench_supervised_pseudotime` the depth in graph steps that ridge regression predicts.
    """
    blocks = [_block(artifact, z[start : start + BLOCK]) for start in range(0, max(len(z), 1), BLOCK)]
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    out: dict[str, object] = {}
    for readout, name in (("branch", "branch"), ("stage", "label")):
        classes = list(artifact.readouts[readout].classes)
        out[f"opbench_{name}"] = pd.Categorical.from_codes(joined[readout], classes)
        out[f"opbench_{name}_probability"] = joined[f"{readout}_probability"]
    stages = [artifact.ontology.labels[label] for label in artifact.readouts["stage"].classes]
    # Labels of equal stages are one stage.
    places = pd.Index(pd.unique(np.array(stages, dtype=object)))
    codes = np.append(places.get_indexer(stages), -1)[joined["stage"]]  # -1, no class, takes the last
    out["opbench_stage"] = pd.Categorical.from_codes(codes, places)
    out |= {f"opbench_{name}": joined[name] for name in (*artifact.tasks, PSEUDOTIME) if name in joined}
    return pd.DataFrame(out)


def _block(artifact: Artifact, z: np.ndarray) -> dict[str, np.ndarray]:
    known, out = np.isfinite(z).all(axis=1), {}
    for name in ("branch", "stage"):
        scores = artifact.scores(z, name)
        out[name] = np.where(known, np.where(known[:, None], scores, 0).argmax(axis=1), -1)
        out[f"{name}_probability"] = softmax(scores, axis=1).max(axis=1).astype(np.float32)
    rest = [*artifact.tasks, *([PSEUDOTIME] if PSEUDOTIME in artifact.readouts else [])]
    return out | {name: artifact.scores(z, name)[:, -1].astype(np.float32) for name in rest}


def _depths(mapped: Latent) -> dict[str, object]:
    """Median library and expressed genes: of a file that is far from the training cells they say so."""
    some = mapped.library > 0
    medians = [float(np.median(values[some])) if some.any() else 0.0 for values in (mapped.library, mapped.expressed)]
    return {"median_library": medians[0], "median_genes_expressed": medians[1], "empty_cells": int((~some).sum())}


def write_annotated(
    found: Annotated, artifact: Artifact, record: dict[str, str], cells: Path, output: Path, keep_matrix: bool = False
) -> None:
    """Write an h5ad file; with `keep_matrix` what else the file of the cells holds is copied as it is stored."""
    import h5py
    from anndata.io import write_elem

    uns = record | {
        "coverage": found.coverage,
        "min_coverage": artifact.min_coverage,
        "provenance": json.dumps(artifact.provenance, sort_keys=True),
        "task_classes": {name: np.array(artifact.readouts[name].classes, dtype=object) for name in artifact.tasks},
    }
    with atomic(output) as partial, h5py.File(partial, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", found.obs)
        write_elem(file, "obsm", {"X_opbench": found.z})
        write_elem(file, "uns", {"opbench": uns})
        if keep_matrix:
            with h5py.File(cells, "r") as source:
                _copy(source, file)
        for name in ("layers", "varm", "obsp", "varp"):
            if name not in file:
                write_elem(file, name, {})
        if "var" not in file:
            write_elem(file, "var", pd.DataFrame(index=pd.Index([], dtype=object)))


def _copy(source: "h5py.File", target: "h5py.File") -> None:
    """Copy the parts of an h5ad file that are not made here, and the entries of those that are."""

    def copy(origin: Any, place: Any, name: str) -> None:
        if name not in place:
            origin.copy(name, place)

    for name in source:
        if name not in MADE:
            copy(source, target, name)
    for part in ("obsm", "uns"):
        for name in source.get(part, ()):
            copy(source[part], target[part], name)

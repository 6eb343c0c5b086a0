"""One row for every cell of a dataset: its donor, stages and whether it is benchmarked, corpus or neither."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.h5ad import read_obs
from opbench.io.tables import CELLS, write_table
from opbench.panels.ontology import Ontology, read_labels
from opbench.panels.reading import (
    check_counts,
    check_sha256,
    iter_row_blocks,
    open_counts,
    read_genes,
    require_column,
)

log = logging.getLogger("opbench.panels")


def select_cells(
    name: str, path: str | Path, dataset: Dataset, ontology_folder: str | Path, output: str | Path
) -> None:
    """Write the CELLS table of a dataset: all its cells in file order, with role and totals.

    role is `evaluation` (passes that filter and its label maps to stages), `corpus` or `dropped`.
    `library_size` sums all genes of the counts matrix, `n_genes` counts the detected ones.
    Raises InputError for what cannot be benchmarked: a wrong digest, values that are no counts, repeated
    ids, missing columns or donors, unmapped labels, one donor, a cell both benchmarked and in the corpus.
    """
    check_sha256(path, dataset.sha256)
    obs = read_obs(path)
    obs.index = obs.index.astype(str)
    if (twice := obs.index.duplicated()).any():
        raise InputError(f"{path}: cell id '{obs.index[twice][0]}' occurs twice in obs; make the ids unique.")
    read_genes(path, dataset)
    cells = _describe(name, path, dataset, obs)
    evaluation = _filter(obs, dataset.evaluation, path, "evaluation", everything=True)
    corpus = _filter(obs, dataset.corpus, path, "corpus", everything=False)
    if (both := evaluation & corpus).any():
        raise InputError(
            f"{path}: {both.sum()} cells, '{cells['cell_id'][both.argmax()]}' the first, pass both the "
            "evaluation and the corpus filter; the corpus must hold no benchmarked cell, so narrow one of them."
        )
    _add_stages(cells, evaluation, dataset, Ontology.read(ontology_folder))
    staged = cells["stages"].to_numpy() != ""
    _log_dropped(name, cells["label"][evaluation & ~staged])
    cells["role"] = np.select([evaluation & staged, corpus], ["evaluation", "corpus"], "dropped")
    _check_donors(cells, path, dataset)
    cells["library_size"], cells["n_genes"] = _totals(path, dataset)
    if (empty := (cells["role"] != "dropped") & (cells["library_size"] == 0)).any():
        raise InputError(
            f"{path}: cell '{cells['cell_id'][empty.to_numpy().argmax()]}' has no counts; "
            "exclude empty cells in the filters."
        )
    write_table(cells, output, CELLS)
    log.info("%s: %s", name, ", ".join(f"{n} {role}" for role, n in cells["role"].value_counts().items()))


def _describe(name: str, path: str | Path, dataset: Dataset, obs: pd.DataFrame) -> pd.DataFrame:
    columns = dataset.columns
    cells = pd.DataFrame({"cell_id": obs.index, "row": np.arange(len(obs)), "dataset": name})
    for field, column in (
        ("donor", columns.donor),
        ("label", columns.cell_type),
        ("tissue", columns.tissue),
        ("condition", columns.condition),
    ):
        if column is None:
            cells[field] = ""
            continue
        require_column(obs, column, f"{path}: obs", f"columns.{'cell_type' if field == 'label' else field}")
        cells[field] = obs[column].astype(object).where(obs[column].notna(), "").astype(str).to_numpy()
    return cells


def _filter(obs: pd.DataFrame, query: str | None, path: str | Path, field: str, everything: bool) -> np.ndarray:
    """Return (cells,) bool of a pandas query; None keeps all or no cells."""
    if query is None:
        return np.full(len(obs), everything)
    try:
        kept = np.asarray(obs.eval(query))
    except Exception as error:  # pandas raises many kinds for a wrong expression
        raise InputError(
            f'{path}: the {field} filter "{query}" does not work on obs ({error}); its columns are {list(obs.columns)}.'
        ) from error
    if kept.shape != (len(obs),) or kept.dtype != bool:
        raise InputError(f'{path}: the {field} filter "{query}" is not true or false for each cell; compare a column.')
    if not kept.any():
        raise InputError(f'{path}: the {field} filter "{query}" keeps no cell; widen it.')
    return kept


def _add_stages(cells: pd.DataFrame, evaluation: np.ndarray, dataset: Dataset, ontology: Ontology) -> None:
    """Add stages, branch and depth; every label of an evaluation cell must be in the label map."""
    if dataset.labels is None:
        raise InputError(f"{cells['dataset'][0]}: 'labels' names no TSV from label to stages; add it to the dataset.")
    mapped = read_labels(dataset.labels, ontology)
    if unknown := sorted(set(cells["label"][evaluation]) - set(mapped)):
        raise InputError(
            f"{dataset.labels}: labels {unknown} of the data are missing; add a row for each, "
            "with empty stages to drop it."
        )
    cells["stages"] = cells["label"].map(mapped).fillna("")
    present = [stages for stages in cells["stages"].unique() if stages]
    cells["branch"] = cells["stages"].map({s: ontology.branch(s) for s in present}).fillna("")
    cells["depth"] = cells["stages"].map({s: ontology.depth(s) for s in present}).astype(float)


def _log_dropped(name: str, labels: pd.Series) -> None:
    if len(labels):
        counts = ", ".join(f"'{label}' {n}" for label, n in labels.value_counts().sort_index().items())
        log.info("%s: %d cells dropped because their label maps to no stage: %s", name, len(labels), counts)


def _check_donors(cells: pd.DataFrame, path: str | Path, dataset: Dataset) -> None:
    used = cells["role"] != "dropped"
    column = dataset.columns.donor
    if (nameless := used & (cells["donor"] == "")).any():
        raise InputError(
            f"{path}: cell '{cells['cell_id'][nameless.to_numpy().argmax()]}' has no donor in '{column}'; "
            "fill it or exclude the cell in the filters."
        )
    donors = cells["donor"][cells["role"] == "evaluation"].nunique()
    if donors < 2:
        raise InputError(
            f"{path}: the benchmarked cells come from {donors} donor(s) in '{column}'; "
            "at least 2 are needed, as donors are the unit."
        )


def _totals(path: str | Path, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return library sizes and detected genes of all cells, checking every stored value on the way."""
    with open_counts(path, dataset) as counts:
        library = np.zeros(counts.shape[0])
        detected = np.zeros(counts.shape[0], dtype=np.int64)
        for rows, block in iter_row_blocks(counts):
            check_counts(block, counts.source)
            library[rows] = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
            detected[rows] = np.diff(np.concatenate([[0], np.cumsum(block.data != 0)])[block.indptr])
    return library, detected

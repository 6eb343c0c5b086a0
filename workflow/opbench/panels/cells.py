"""One row for every cell of a dataset: its donor, stages and whether it is benchmarked, corpus or neither."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.h5ad import read_obs
from opbench.io.seeds import keyed_rng
from opbench.io.tables import CELLS, write_table
from opbench.panels.filters import filter_cells
from opbench.panels.ontology import Ontology, read_labels
from opbench.panels.reading import (
    check_first_values,
    check_sha256,
    read_gene_names,
    read_shape,
    read_totals,
    require_column,
)

log = logging.getLogger("opbench.panels")

#: Texts that stand for an empty entry once a table was written by other software.
MISSING = ("", "nan", "NaN", "NAN", "None", "<NA>")


def select_cells(
    name: str, path: str | Path, dataset: Dataset, ontology_folder: str | Path, output: str | Path
) -> None:
    """Write the CELLS table of a dataset: all its cells in file order, with role and totals.

    role is `evaluation` (passes that filter and its label maps to stages), `corpus` (passes that filter and was
    drawn, see `draw_corpus`) or `dropped`. `library_size` sums all columns of the counts matrix; `n_genes` counts
    the columns above zero, those of one symbol once.
    Raises InputError for what cannot be benchmarked: a wrong digest, values that are no counts, repeated
    ids, missing columns or donors, unmapped labels, one donor, a cell both benchmarked and in the corpus.
    What is cheap to check is checked first; every stored value is, in the end.
    """
    obs, names = read_obs(path), read_gene_names(path, dataset)
    _check_shape(path, dataset, len(obs), len(names.symbols))
    cells = cell_roles(name, path, dataset, obs, Ontology.read(ontology_folder))
    for note in names.notes():
        log.info("%s: %s", name, note)
    check_first_values(path, dataset)
    check_sha256(path, dataset.sha256)
    cells["library_size"], cells["n_genes"] = read_totals(path, dataset, names)
    if (empty := (cells["role"] != "dropped") & (cells["library_size"] == 0)).any():
        raise InputError(
            f"{path}: cell '{cells['cell_id'][empty.to_numpy().argmax()]}' has no counts; "
            "exclude empty cells in the filters."
        )
    write_table(cells, output, CELLS)
    log.info("%s: %s", name, ", ".join(f"{n} {role}" for role, n in cells["role"].value_counts().items()))


def cell_roles(name: str, path: str | Path, dataset: Dataset, obs: pd.DataFrame, ontology: Ontology) -> pd.DataFrame:
    """Return the CELLS table without totals from the file's `obs`; raises InputError as `select_cells`."""
    obs = obs.set_axis(obs.index.astype(str), axis=0)
    if (twice := obs.index.duplicated()).any():
        raise InputError(f"{path}: cell id '{obs.index[twice][0]}' occurs twice in obs; make the ids unique.")
    cells = _describe(name, path, dataset, obs)
    evaluation = filter_cells(obs, dataset.evaluation, path, "evaluation", everything=True)
    corpus = filter_cells(obs, dataset.corpus, path, "corpus", everything=False)
    if (both := evaluation & corpus).any():
        raise InputError(
            f"{path}: {both.sum()} cells, '{cells['cell_id'][both.argmax()]}' the first, pass both the "
            "evaluation and the corpus filter; the corpus must hold no benchmarked cell, so narrow one of them."
        )
    _check_labels(cells, evaluation, path, dataset)
    _add_stages(cells, evaluation, dataset, ontology)
    staged = cells["stages"].to_numpy() != ""
    _log_dropped(name, cells["label"][evaluation & ~staged])
    cells["role"] = np.select([evaluation & staged, corpus], ["evaluation", "corpus"], "dropped")
    _check_donors(cells, path, dataset)
    if dataset.corpus_cells is not None:
        drawn = draw_corpus(cells, dataset.corpus_cells, dataset.corpus_seed)
        log.info("%s: %d of %d corpus cells drawn", name, drawn.sum(), corpus.sum())
        cells.loc[corpus & ~drawn, "role"] = "dropped"
    return cells


def draw_corpus(cells: pd.DataFrame, most: int, seed: int) -> np.ndarray:
    """Return (cells,) bool of at most `most` corpus cells, the same number from every donor as far as it has them.

    What small donors lack is spread over the larger ones. A donor's cells are a random draw keyed by the seed and
    the donor over its sorted cell ids, so that the order of rows and the other donors do not change which come first.
    """
    drawn = np.zeros(len(cells), dtype=bool)
    corpus = cells[["donor", "cell_id"]].set_axis(np.arange(len(cells)), axis=0)[(cells["role"] == "corpus").to_numpy()]
    groups = sorted(corpus.groupby("donor"), key=lambda group: (len(group[1]), group[0]))
    left = most
    for position, (donor, members) in enumerate(groups):
        share = min(len(members), left // (len(groups) - position))
        rows = members.sort_values("cell_id").index.to_numpy()
        drawn[keyed_rng("corpus", seed, donor).permutation(rows)[:share]] = True
        left -= share
    return drawn


def _check_shape(path: str | Path, dataset: Dataset, cells: int, genes: int) -> None:
    shape = read_shape(path, dataset)
    for size, held, table in zip(shape, (cells, genes), ("obs", "var"), strict=True):
        if size != held:
            raise InputError(
                f"{path}: {dataset.counts} has {shape[0]} cells and {shape[1]} genes but '{table}' has {held} rows; "
                "the file is inconsistent, so write it again with anndata."
            )


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


def _check_labels(cells: pd.DataFrame, evaluation: np.ndarray, path: str | Path, dataset: Dataset) -> None:
    if (nameless := evaluation & cells["label"].isin(MISSING).to_numpy()).any():
        raise InputError(
            f"{path}: {nameless.sum()} cells, '{cells['cell_id'][nameless.argmax()]}' the first, have no label in "
            f"'{dataset.columns.cell_type}'; exclude them in the evaluation filter, for instance by "
            f"`{dataset.columns.cell_type}.notna()`."
        )


def _log_dropped(name: str, labels: pd.Series) -> None:
    if len(labels):
        counts = ", ".join(f"'{label}' {n}" for label, n in labels.value_counts().sort_index().items())
        log.info("%s: %d cells dropped because their label maps to no stage: %s", name, len(labels), counts)


def _check_donors(cells: pd.DataFrame, path: str | Path, dataset: Dataset) -> None:
    used = cells["role"] != "dropped"
    column = dataset.columns.donor
    if (nameless := used & cells["donor"].isin(MISSING)).any():
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

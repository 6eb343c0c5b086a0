"""Audit of leakage: what training, gene selection and operator corpus share with the tested donors."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from opbench.io.errors import InputError
from opbench.io.h5ad import read_obs
from opbench.io.tables import LEAKAGE, SCORES, SPLITS, read_table, read_tables, write_table
from opbench.splits.views import SplitView, split_views

DISJOINT = "disjoint"
DONORS_IN_CORPUS = "disjoint cells, donors in corpus"
LEAKING = "LEAKING by design (paper's arrangement)"
SHARED_DONORS = "OVERLAP: donors or cells train and test"
TESTED_CORPUS = "OVERLAP: corpus cells are tested"

#: What identifies a line of the audit in the score table.
AUDITED = ["panel", "campaign", "split", "method", "protocol", "leaking"]


@dataclass(frozen=True)
class Corpus:
    """Donors and cell ids of cells that shaped a method before any split was drawn."""

    donors: frozenset[str] = field(default_factory=frozenset)
    cells: frozenset[str] = field(default_factory=frozenset)


def corpus_of(obs: pd.DataFrame) -> Corpus:
    """The corpus made of all cells of `obs`, whose index names them."""
    return Corpus(frozenset(obs["donor"].astype(str)), frozenset(_identities(obs)))


def _identities(obs: pd.DataFrame) -> list[str]:
    """Who each cell is, whatever entry it came through: two entries may be slices of one atlas."""
    names = obs.index.astype(str).str.split(":", n=1).str[-1]
    return (obs["donor"].astype(str).to_numpy() + "\0" + names).tolist()


@dataclass(frozen=True)
class _Counts:
    """What one split shares, method apart."""

    view: SplitView
    train_cells: int
    test_cells: int
    shared_donors: int
    shared_cells: int
    gene_donors: int
    operator_donors: int
    tested_corpus_cells: int


def _count(view: SplitView, cells: pd.DataFrame, genes: Corpus, operator: Corpus) -> _Counts:
    train = cells[(cells["dataset"] == view.train_dataset) & cells["donor"].isin(view.train_donors)]
    test = cells[(cells["dataset"] == view.test_dataset) & cells["donor"].isin(view.test_donors)]
    tested, test_ids = set(view.test_donors), set(test["cell_id"])
    return _Counts(
        view=view,
        train_cells=len(train),
        test_cells=len(test),
        shared_donors=len(tested & set(view.train_donors)),
        shared_cells=len(test_ids & set(train["cell_id"])),
        gene_donors=len(tested & genes.donors),
        operator_donors=len(tested & operator.donors),
        tested_corpus_cells=len(test_ids & (genes.cells | operator.cells)),
    )


def _line(counts: _Counts, leaking: bool) -> dict[str, object]:
    """The audited numbers of a method; a leaking head was trained on the tested donors as well."""
    view = counts.view
    if counts.shared_donors or counts.shared_cells:
        verdict = SHARED_DONORS
    elif counts.tested_corpus_cells:
        verdict = TESTED_CORPUS
    elif leaking:
        verdict = LEAKING
    else:
        verdict = DONORS_IN_CORPUS if counts.gene_donors or counts.operator_donors else DISJOINT
    more_donors = len(set(view.test_donors) - set(view.train_donors)) if leaking else 0
    more_cells = counts.test_cells - counts.shared_cells if leaking else 0
    return {
        "train_donors": len(view.train_donors) + more_donors,
        "test_donors": len(view.test_donors),
        "train_cells": counts.train_cells + more_cells,
        "test_cells": counts.test_cells,
        "shared_donors": counts.shared_donors + more_donors,
        "shared_cells": counts.shared_cells + more_cells,
        "gene_selection_overlap": counts.gene_donors,
        "operator_corpus_overlap": counts.operator_donors,
        "leaking": leaking,
        "verdict": verdict,
    }


def audit_leakage(
    run: str,
    splits: Iterable[pd.DataFrame],
    obs: Mapping[str, pd.DataFrame],
    methods: Iterable[tuple[str, str, int, str, str, bool]],
    gene_corpus: Mapping[str, Corpus],
    operator_corpus: Corpus,
) -> pd.DataFrame:
    """Count, for every split and method, the donors and cells on both sides (contract `LEAKAGE`).

    `splits` are tables of contract `SPLITS`, `obs` the cells by panel (index: cell names), `methods` rows
    (panel, campaign, split, method, protocol, leaking), `gene_corpus` by panel the cells that ranked its
    genes. Cells are available cells: a head may use fewer. Donors are identified by name alone, across
    datasets too. Every number is counted afresh from tables and cells. Raises `InputError` when a
    method was scored in a split that no table holds.
    """
    counted: dict[tuple[str, str, int], _Counts] = {}
    cells = {
        panel: pd.DataFrame(
            {
                "dataset": frame["dataset"].astype(str).to_numpy(),
                "donor": frame["donor"].astype(str).to_numpy(),
                "cell_id": _identities(frame),
            }
        )
        for panel, frame in obs.items()
    }
    for table in splits:
        for (panel, campaign), part in table.groupby(["panel", "campaign"], sort=True):
            for view in split_views(part):
                genes = gene_corpus.get(panel, Corpus())
                counted[panel, campaign, view.index] = _count(view, cells[panel], genes, operator_corpus)
    lines = []
    for panel, campaign, split, method, protocol, leaking in methods:
        key = (panel, campaign, int(split))
        if key not in counted:
            raise InputError(
                f"scores: campaign '{campaign}' has method '{method}' in split {split}, which no splits "
                "table holds; delete the campaign's scores and run again."
            )
        named = {"run": run, "panel": panel, "campaign": campaign, "split": int(split)}
        lines.append({**named, "method": method, "protocol": protocol, **_line(counted[key], bool(leaking))})
    return pd.DataFrame(lines, columns=LEAKAGE.names)


def write_leakage(
    run: str,
    splits_paths: list[str],
    scores_path: str | Path,
    panel_paths: Mapping[str, str | Path],
    corpus_h5ad: str | Path | None,
    output: str | Path,
    ranked_panels: Collection[str] | None = None,
) -> None:
    """Audit a run from its files and write the table with a TSV copy; only `obs` of the h5ad files is read.

    `ranked_panels` are the panels whose genes the corpus ranked (null: all). The operator's cells are a
    sample of the corpus, so that counting all donors of the corpus can only overstate the overlap.
    """
    corpus = Corpus() if corpus_h5ad is None else corpus_of(read_obs(corpus_h5ad, ("donor",)))
    obs = {panel: read_obs(path, ("dataset", "donor")) for panel, path in panel_paths.items()}
    scores = read_table(scores_path, SCORES)[AUDITED].drop_duplicates().sort_values(AUDITED)
    ranked = panel_paths if ranked_panels is None else ranked_panels
    table = audit_leakage(
        run,
        [read_tables(splits_paths, SPLITS)],
        obs,
        scores.itertuples(index=False, name=None),
        dict.fromkeys(ranked, corpus),
        corpus,
    )
    write_table(table, output, LEAKAGE, tsv=True)

"""Ligand-receptor interactions: their table, path distances between genes, and a ruler between anchors (spec I).

The paper states "OmniPath ligand-receptor path distances, square-root weighting" and no formula. The ruler here is this
workflow's own definition, given at `communication_ruler`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import shortest_path

from opbench.config.discovery import INTERACTION_COLUMNS
from opbench.io.errors import InputError


@dataclass(frozen=True)
class Interactions:
    """An undirected graph of N genes (symbols, sorted) whose edges (E, 2) lead from a ligand to its receptor."""

    genes: tuple[str, ...]
    edges: np.ndarray

    def shared(self, genes: tuple[str, ...]) -> tuple[list[str], list[str]]:
        """Ligands and receptors among `genes`, each in their order; a gene may be both."""
        sides = [{self.genes[i] for i in np.unique(self.edges[:, side])} for side in (0, 1)]
        return [gene for gene in genes if gene in sides[0]], [gene for gene in genes if gene in sides[1]]

    def path_steps(self, ligands: list[str], receptors: list[str]) -> np.ndarray:
        """Steps of the shortest path from each ligand to each receptor, (L, R); 1 for an interaction, 0 for a gene
        with itself, and one more than the graph's longest shortest path where there is none.

        Directions are not followed: along them most genes reach no other, as a path ends at a receptor.
        """
        position = {gene: i for i, gene in enumerate(self.genes)}
        rows, columns = ([position[gene] for gene in side] for side in (ligands, receptors))
        return self._steps[np.ix_(rows, columns)]

    @cached_property
    def _steps(self) -> np.ndarray:
        size = len(self.genes)
        graph = coo_matrix((np.ones(len(self.edges)), self.edges.T), shape=(size, size)).tocsr()
        steps = shortest_path(graph, directed=False, unweighted=True)
        reached = np.isfinite(steps)
        return np.where(reached, steps, steps[reached].max() + 1)


def read_interactions(path: str | Path) -> Interactions:
    """Read a table with OmniPath's columns `source_genesymbol` (ligand) and `target_genesymbol` (receptor).

    Comma-separated, tab-separated where the name ends on `.tsv` or `.tsv.gz`; `.gz` is unpacked. Repeated pairs count
    once. A complex stays one node of its own name. Raises InputError for an unreadable file, a missing column, an
    empty symbol and a table without rows.
    """
    separator = "\t" if str(path).removesuffix(".gz").endswith(".tsv") else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: is not a readable table of interactions ({error}).") from error
    if missing := [name for name in INTERACTION_COLUMNS if name not in table.columns]:
        raise InputError(
            f"{path}: column '{missing[0]}' is missing; an interaction table needs {list(INTERACTION_COLUMNS)}."
        )
    pairs = table[list(INTERACTION_COLUMNS)]
    if pairs.empty:
        raise InputError(f"{path}: holds no interaction; give a table with at least one row.")
    if (empty := (pairs == "").any(axis=1)).any():
        row, name = int(empty.argmax()), pairs.columns[int((pairs[empty].iloc[0] == "").argmax())]
        raise InputError(f"{path}: row {row + 1} has an empty '{name}'; fill it or take the row out.")
    genes, codes = np.unique(pairs.drop_duplicates().to_numpy(dtype=str), return_inverse=True)
    return Interactions(tuple(genes.tolist()), codes.reshape(-1, 2))


def communication_ruler(ligands: np.ndarray, receptors: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Path length between what one anchor sends and what the other receives, beyond their own, (a, a), in steps.

    ligands (a, L) and receptors (a, R) mean log1p expression, steps (L, R). An anchor's ligands are weighted by the
    square roots of their expression, scaled to a sum of 1 (s), its receptors likewise (r); even weights where it
    expresses none. With E_ij = (s_i D r_j + s_j D r_i) / 2, the ruler is E_ij - (E_ii + E_jj) / 2: 0 for anchors that
    send and receive alike. E itself is no ruler, as it is all but a sum of one number an anchor (r2 0.99 on marrow)
    and as large between anchors of one cell type as of two. Values may be a little below 0.
    """
    sent, received = (_weights(side) for side in (ligands, receptors))
    one_way = sent @ steps @ received.T
    both = (one_way + one_way.T) / 2
    own = np.diag(both)
    return both - (own[:, None] + own) / 2


def _weights(expression: np.ndarray) -> np.ndarray:
    root = np.sqrt(expression.astype(np.float64))
    root[~root.any(axis=1)] = 1
    return root / root.sum(axis=1, keepdims=True)

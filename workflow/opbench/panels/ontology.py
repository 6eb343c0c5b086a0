"""The stage graph that labels are mapped to: branches, depth from HSC and the ruler between stages."""

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import shortest_path

from opbench.io.errors import InputError

#: A label's stages, either names or the names joined by `|` as tables hold them.
StageSet = str | Collection[str]

ROOT = "HSC"


def read_tsv(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """Read a TSV of text with at least `columns`; empty fields stay empty strings."""
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not a readable TSV ({error}).") from error
    if missing := [name for name in columns if name not in frame.columns]:
        raise InputError(f"{path}: column '{missing[0]}' is missing; the columns must be {columns}.")
    return frame


@dataclass(frozen=True)
class Ontology:
    """An undirected graph of S developmental stages in which distance is the number of steps.

    The ruler is that of arXiv:2603.10261, d(i, j) = developmental steps between two stages. Depth is the
    graph distance from HSC (decision: one definition, not the separately stored depths of a replication).
    """

    stages: tuple[str, ...]
    branches: tuple[str, ...]
    distance: np.ndarray
    source: str = "ontology"

    @classmethod
    def read(cls, folder: str | Path) -> "Ontology":
        """Read `stages.tsv` (stage, branch, source) and `edges.tsv` (stage_a, stage_b) of `folder`.

        Raises InputError for a stage given twice, an edge with an unknown stage, a graph in several pieces
        and a graph without HSC.
        """
        folder = Path(folder)
        table = read_tsv(folder / "stages.tsv", ["stage", "branch", "source"])
        edges = read_tsv(folder / "edges.tsv", ["stage_a", "stage_b"])
        stages = tuple(table["stage"])
        if twice := table["stage"][table["stage"].duplicated()].tolist():
            raise InputError(f"{folder / 'stages.tsv'}: stage '{twice[0]}' is given twice; keep one row.")
        if nameless := table["stage"][table["branch"] == ""].tolist():
            raise InputError(f"{folder / 'stages.tsv'}: stage '{nameless[0]}' has no branch; fill the column.")
        if ROOT not in stages:
            raise InputError(f"{folder / 'stages.tsv'}: stage '{ROOT}' is missing; depth is counted from it.")
        index = pd.Index(stages)
        ends = index.get_indexer(edges[["stage_a", "stage_b"]].to_numpy().ravel()).reshape(-1, 2)
        if (ends < 0).any():
            row, column = np.argwhere(ends < 0)[0]
            name = edges[["stage_a", "stage_b"]].iat[row, column]
            raise InputError(f"{folder / 'edges.tsv'}: stage '{name}' is not in stages.tsv; add it there.")
        graph = coo_matrix((np.ones(len(ends)), ends.T), shape=(len(stages),) * 2).tocsr()
        steps = shortest_path(graph, directed=False, unweighted=True)
        if np.isinf(steps).any():
            lost = stages[int(np.isinf(steps[stages.index(ROOT)]).argmax())]
            raise InputError(f"{folder / 'edges.tsv'}: stage '{lost}' is not connected to {ROOT}; add an edge.")
        return cls(stages, tuple(table["branch"]), steps.astype(np.int64), str(folder))

    def members(self, stage_set: StageSet) -> list[int]:
        """Return the indices of a stage set, ascending; an unknown stage or an empty set is an InputError."""
        names = stage_set.split("|") if isinstance(stage_set, str) else list(stage_set)
        for name in names:
            if name not in self.stages:
                near = get_close_matches(name, self.stages, 1)
                hint = f"did you mean '{near[0]}'" if near else "add it to stages.tsv"
                raise InputError(f"{self.source}: stage '{name}' is not in the stage graph; {hint}.")
        if not names:
            raise InputError(f"{self.source}: a stage set is empty; name at least one stage.")
        return sorted({self.stages.index(name) for name in names})

    def join(self, stage_set: StageSet) -> str:
        """Return the set as tables hold it: names in the order of `stages`, joined by `|`."""
        return "|".join(self.stages[i] for i in self.members(stage_set))

    def branch(self, stage_set: StageSet) -> str:
        """Return the one branch of a stage set; a set that spans branches is an InputError."""
        found = sorted({self.branches[i] for i in self.members(stage_set)})
        if len(found) > 1:
            raise InputError(
                f"{self.source}: stages '{self.join(stage_set)}' span the branches {found}; "
                "map the label to stages of one branch."
            )
        return found[0]

    def depth(self, stage_set: StageSet) -> float:
        """Return the mean graph distance from HSC over a stage set, in steps."""
        return float(self.distance[self.stages.index(ROOT), self.members(stage_set)].mean())

    def set_distance(self, stage_sets: list[StageSet]) -> np.ndarray:
        """Return (K, K) mean graph distances between the members of K stage sets, in steps.

        Equal sets are at distance 0, the diagonal included, so that one label is one point of the ruler.
        """
        weight = np.zeros((len(stage_sets), len(self.stages)))
        for row, stage_set in enumerate(stage_sets):
            weight[row, self.members(stage_set)] = 1.0
        same = (weight[:, None] == weight[None]).all(axis=2)
        weight /= weight.sum(axis=1, keepdims=True)
        return np.where(same, 0.0, weight @ self.distance @ weight.T)


def read_labels(path: str | Path, ontology: Ontology) -> dict[str, str]:
    """Read a label map (columns `label`, `stages`) as {label: stages joined by `|`, '' when it is dropped}.

    Raises InputError for a label given twice, an unknown stage and stages of several branches.
    """
    table = read_tsv(path, ["label", "stages"])
    if twice := table["label"][table["label"].duplicated()].tolist():
        raise InputError(f"{path}: label '{twice[0]}' is given twice; keep one row.")
    mapped: dict[str, str] = {}
    for label, stages in zip(table["label"], table["stages"], strict=True):
        try:
            mapped[label] = ontology.join(stages) if stages else ""
            if stages:
                ontology.branch(stages)
        except InputError as error:
            raise InputError(f"{path}: label '{label}': {error}") from None
    return mapped

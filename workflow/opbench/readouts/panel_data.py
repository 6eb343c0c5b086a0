"""A panel opened for benchmarking: codes, rulers and features, computed once a job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import scipy.sparse as sp

from opbench.config.benchmark import Campaign, Endpoints
from opbench.io.errors import InputError
from opbench.io.store import digest
from opbench.methods.interface import Cells, Classes
from opbench.operators.features import cell_features
from opbench.operators.operator import Operator, read_operator
from opbench.panels.all_genes import open_all_genes
from opbench.panels.ontology import Ontology
from opbench.panels.panel import read_panel

Held = TypeVar("Held")


@dataclass(frozen=True)
class PanelData:
    """Cells of a panel with integer codes.

    `features` maps an operator's name to its memory-mapped xA; `operators` those whose xA is computed when it is
    asked for, and held until another's is, to their files.
    """

    obs: pd.DataFrame
    log1p: sp.csr_matrix
    counts: sp.csr_matrix
    classes: Classes
    label: np.ndarray
    branch: np.ndarray
    compatible: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)
    genes: tuple[str, ...] = ()
    all_log1p: sp.csr_matrix | None = None
    all_genes: tuple[str, ...] = ()
    operators: dict[str, str] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)
    _operator: dict[str, Operator] = field(default_factory=dict)
    _computed: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def depth(self) -> np.ndarray:
        """Graph distance from HSC of each cell's label set, (n,)."""
        return self.obs["depth"].to_numpy(dtype=np.float64)

    def features_digest(self, name: str) -> str:
        """Digest of an operator's, or an embedding's, features or of what makes them; '' for a name that is none."""
        if name not in self._digests:
            if name in self.features:
                self._digests[name] = digest(np.asarray(self.features[name]))
            elif name in self.operators:
                self._digests[name] = self._opened(name).digest
        return self._digests.get(name, "")

    def projection(self, name: str) -> np.ndarray | None:
        """Matrix (G, d) of an operator that is linear in log1p, None for another or for one that was not handed in."""
        if name not in self.operators:
            return None
        operator = self._opened(name)
        return operator.matrix if operator.encoding == "log1p" else None

    def _opened(self, name: str) -> Operator:
        return _latest(self._operator, name, lambda: read_operator(self.operators[name], self.genes))

    def _features_of(self, name: str) -> np.ndarray:
        if name in self.features:
            return self.features[name]
        if name not in self.operators:
            raise InputError(f"operator '{name}' was not projected for this panel.")
        ids, labels = self.obs.index.to_numpy(), np.array(self.classes.labels)[self.label]
        return _latest(self._computed, name, lambda: cell_features(self._opened(name), self.log1p, ids, labels))

    def cells(self, rows: np.ndarray, with_truth: bool) -> Cells:
        """Rows of the panel as a method may see them; labels only when `with_truth`."""

        return Cells(
            ids=self.obs.index.to_numpy()[rows],
            log1p=self.log1p[rows],
            counts=self.counts[rows],
            donor=self.obs["donor"].to_numpy()[rows],
            features=lambda name: np.asarray(self._features_of(name)[rows]),
            label=self.label[rows] if with_truth else None,
            branch=self.branch[rows] if with_truth else None,
            depth=self.depth[rows] if with_truth else None,
            all_genes=None if self.all_log1p is None else lambda: self.all_log1p[rows],
        )


def _latest(kept: dict[str, Held], name: str, make: Callable[[], Held]) -> Held:
    """What is kept under `name`, made if something else is."""
    if name not in kept:
        kept.clear()
        kept[name] = make()
    return kept[name]


def open_panel(
    path: str,
    ontology: str | Path,
    endpoints: Endpoints,
    campaign: Campaign,
    features: Sequence[str] = (),
    all_genes: str | None = None,
) -> PanelData:
    """Open a panel for a campaign; cells of datasets that the campaign does not name are left out.

    features: files named after their operators: `.npy`, row for row the whole panel's, or `.safetensors`, operators
    that are applied here; all_genes: the file of the same cells over every gene.
    """
    cells = read_panel(path)
    used = np.flatnonzero(cells.obs["dataset"].isin([campaign.train, campaign.test]).to_numpy())
    obs = cells.obs.iloc[used]
    name = obs["dataset"].astype(str) + ":" + obs["label"].astype(str)
    labels = sorted(name.unique())
    stages = name.to_frame("name").assign(stages=obs["stages"]).drop_duplicates("name").set_index("name")["stages"]
    sets = [frozenset(stages[label].split("|")) for label in labels]
    branches = sorted(obs["branch"].unique())
    code = {label: index for index, label in enumerate(labels)}
    _check_labels(endpoints, campaign, set(labels))
    binary = {
        key: tuple(
            frozenset(code[f"{ds}:{lab}"] for ds, labs in side.items() for lab in labs if f"{ds}:{lab}" in code)
            for side in (task.positive, task.negative)
        )
        for key, task in endpoints.binary.items()
        if campaign.test in task.positive and campaign.test in task.negative
    }
    everything = len(used) == cells.n_obs
    graph = Ontology.read(ontology)
    all_log1p, gene_names = open_all_genes(all_genes, obs.index) if all_genes else (None, ())
    operators = {Path(file).stem: file for file in features if file.endswith(".safetensors")}
    memmaps = {Path(f).stem: np.load(f, mmap_mode="r") for f in features if not f.endswith(".safetensors")}
    return PanelData(
        obs=obs,
        log1p=cells.layers["log1p"][used],
        counts=cells.X[used],
        classes=Classes(
            tuple(labels),
            tuple(branches),
            graph.set_distance(sets),
            binary,
            tuple(sets),
            dict(zip(graph.stages, graph.branches, strict=True)),
        ),
        label=name.map(code).to_numpy(),
        branch=obs["branch"].map({b: i for i, b in enumerate(branches)}).to_numpy(),
        compatible=np.array([[bool(a & b) for b in sets] for a in sets]),
        features=memmaps if everything else {key: array[used] for key, array in memmaps.items()},
        genes=tuple(cells.var_names),
        all_log1p=all_log1p,
        all_genes=tuple(gene_names),
        operators=operators,
    )


def _check_labels(endpoints: Endpoints, campaign: Campaign, labels: set[str]) -> None:
    """Refuse a two-class endpoint that names a label which no cell has: it would silently be another endpoint."""
    for name, task in endpoints.binary.items():
        for side, by_dataset in (("positive", task.positive), ("negative", task.negative)):
            for dataset in {campaign.train, campaign.test} & set(by_dataset):
                for label in by_dataset[dataset]:
                    if f"{dataset}:{label}" not in labels:
                        raise InputError(
                            f"endpoints.binary.{name}.{side}.{dataset}: no benchmarked cell has the label '{label}'; "
                            "correct it or take it out."
                        )

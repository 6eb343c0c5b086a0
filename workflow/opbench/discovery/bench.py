"""Adaptor and probes of a reduced operator on the donor folds of a campaign, by the benchmark's own recipe and scorer.

Spec H.2; decisions 10, 11, 14.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from opbench.adaptors.cell_head import HeadData, fit_cell_head
from opbench.adaptors.let import AnchorData, LetSettings, fit_let_rates
from opbench.config import Config
from opbench.config.benchmark import Campaign, Endpoints
from opbench.discovery.parts import open_parts
from opbench.discovery.reduce import Reduced
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed
from opbench.io.tables import SCORED
from opbench.methods.heads import balanced_sample
from opbench.methods.interface import Output
from opbench.readouts.panel_data import open_panel
from opbench.readouts.probes import Probed
from opbench.readouts.scoring import Scorer, SplitTruth
from opbench.splits.draw import donor_table, draw_splits, eligible_donors
from opbench.splits.views import SplitView, rows, split_views

#: Endpoints that every campaign has, and those of a two-class task.
MULTICLASS = ("branch_balanced_accuracy", "branch_macro_f1", "stage_balanced_accuracy", "stage_macro_f1")
BINARY = ("auroc", "balanced_accuracy")
#: Endpoints of the paper's chain.
N_ENDPOINTS = 8


def default_endpoints(config: Config, campaign: Campaign) -> list[str]:
    """Eight endpoints: branch and stage, then the two-class tasks of the verdict family in their order."""
    tasks = [n for n, task in config.endpoints.binary.items() if task.verdict and campaign.test in task.positive]
    return [*MULTICLASS, *(f"{name}_{metric}" for name in tasks for metric in BINARY)][:N_ENDPOINTS]


def paper_endpoints(config: Config, name: str | None, roles: Mapping[str, Sequence[str]]) -> list[str]:
    """The paper's eight: branch and stage, and of each role (CD4/CD8, mono/macro) the first task that the campaign has.

    A role without a task gives its place to the next task of the verdict family.
    """
    assert name is not None, "A panel without campaign has no chain."
    campaign = config.campaigns[name]
    held = [n for n, task in config.endpoints.binary.items() if campaign.test in task.positive]
    tasks = [next((task for task in named if task in held), "") for named in roles.values()]
    chosen = [f"{task}_{metric}" for task in tasks if task for metric in BINARY]
    return list(dict.fromkeys([*MULTICLASS, *chosen, *default_endpoints(config, campaign)[4:]]))[:N_ENDPOINTS]


@dataclass(frozen=True)
class Fold:
    """One donor fold: truth, rows of the panel that train a cell head, anchors that train an anchor head, its seed.

    Training rows of the truth are those of the probes, at most `discovery.compaction.probe_cells`.
    """

    truth: SplitTruth
    cells: np.ndarray
    anchors: np.ndarray
    seed: int


@dataclass(frozen=True)
class LinearProbe:
    """Probes of one fold as they are: scores (z - mean) / scale @ weights + bias, by task (d, k) and (k,).

    probed: their scores of the tested cells.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: Mapping[str, np.ndarray]
    bias: Mapping[str, np.ndarray]
    probed: Probed


@dataclass(frozen=True)
class Fitted:
    """A head on one fold: encoder (F, d) of features, to which the probes belong."""

    encoder: np.ndarray
    probe: LinearProbe


class Bench:
    """Folds of a panel's campaign, on which heads of reduced operators are fitted and scored."""

    def __init__(
        self,
        config: Config,
        panel: str,
        file: str | Path,
        parts: str | Path,
        ontology: str | Path,
        endpoints: Sequence[str] | None = None,
    ) -> None:
        self.config, self.settings = config, config.discovery.compaction
        self.name = config.discovery.panels[panel].campaign or ""
        if self.name not in config.campaigns:
            raise InputError(f"discovery.panels.{panel}.campaign: '{self.name}' is no campaign; name one of the run's.")
        campaign = config.campaigns[self.name].model_copy(update={"design": "folds", "pseudotime": False})
        self.endpoints = list(endpoints or default_endpoints(config, campaign))
        self.data = open_panel(file, ontology, self._read_by(campaign), campaign)
        n_donors = len(eligible_donors(donor_table(self.data.obs), campaign, f"campaigns.{self.name}"))
        campaign = campaign.model_copy(update={"splits": min(self.settings.folds, n_donors)})
        self.scorer = Scorer(self.data, campaign, config.endpoints, config.endpoints.nulls)
        self._open_anchors(parts, ontology, campaign.train)
        drawn = draw_splits(config.run, panel, self.name, campaign, self.data.obs, set())
        self.folds = [self._fold(view) for view in split_views(drawn)]
        self.donors = [donor for fold in self.folds for donor in fold.truth.donors]
        selection = config.discovery.scan.select_on
        selecting = parts_donors(self.parts.obs, selection, campaign.train)
        both = sum(donor in selecting for donor in self.donors)
        self.two_class = {f"{name}_{metric}" for name in self.config.endpoints.binary for metric in BINARY}
        self.selection = f"selected on {selection} donors; {both} of {len(self.donors)} tested donors took part"

    def _read_by(self, campaign: Campaign) -> Endpoints:
        """Endpoint settings without the two-class tasks that are not asked for: their probes cost as much as others."""
        tasks = {n: task for n, task in self.config.endpoints.binary.items() if campaign.test in task.positive}
        known = {f"{name}_{metric}": name for name in tasks for metric in BINARY}
        if unknown := sorted(set(self.endpoints) - set(known) - set(MULTICLASS)):
            raise InputError(f"compaction: {unknown} are no endpoints of '{self.name}'; choose from {sorted(known)}.")
        asked = {known[name] for name in self.endpoints if name in known}
        return self.config.endpoints.model_copy(update={"binary": {n: t for n, t in tasks.items() if n in asked}})

    def _open_anchors(self, file: str | Path, ontology: str | Path, dataset: str) -> None:
        """Anchors of the campaign's dataset with the panel's codes."""
        self.parts = open_parts(file, ontology)
        if self.parts.genes != self.data.genes:
            raise InputError(f"{file}: its genes are not those of the panel; delete it and run again.")
        code = {label: i for i, label in enumerate(self.data.classes.labels)}
        x, label, donor = [], [], []
        for name in ("internal", "external"):
            if name not in self.parts.parts:
                continue
            part = self.parts.parts[name]
            named = np.array([self.parts.labels[i] for i in part.label], dtype=object)
            mine = np.array([text.partition(":")[0] == dataset and text in code for text in named], bool)
            x.append(part.x[mine])
            label += [code[text] for text in named[mine]]
            donor += part.donor[mine].tolist()
        self.anchors, self.anchor_label, self.anchor_donor = np.concatenate(x), np.array(label, int), np.array(donor)

    def _fold(self, view: SplitView) -> Fold:
        train, test = rows(self.data.obs, view)
        per_stage = self.config.adaptor.cells_per_stage
        cells = train[balanced_sample(self.data.label[train], per_stage, view.seed)]
        anchors = np.flatnonzero(np.isin(self.anchor_donor, view.train_donors))
        assert not set(self.anchor_donor[anchors]) & set(view.test_donors), "An anchor of a tested donor trains."
        probed = train[even_sample(self.data.label[train], self.settings.probe_cells, view.seed)]
        return Fold(SplitTruth(probed, test, view.test_donors, {}), cells, anchors, view.seed)

    def fit(self, reduced: Reduced, fold: Fold, seed: int) -> Fitted:
        """Train adaptor and probes of an operator on one fold, from the head's seed."""
        encoder = self.encoder(reduced, fold, seed)
        onto = reduced.times(encoder)
        train, test = (self.data.log1p[cells] @ onto for cells in (fold.truth.train, fold.truth.test))
        return Fitted(encoder, self.probe(train, test, fold))

    def encoder(self, reduced: Reduced, fold: Fold, seed: int) -> np.ndarray:
        """The head's linear map of features, (F, d); what it subtracts is left to the probes, which standardise."""
        if self.settings.head == "let":
            width, epochs = self.config.adaptor.width, self.config.discovery.gates.epochs
            rates = self.config.discovery.learning_rates
            recipe = LetSettings(width, rates[0], self.config.sweeps.weight_recon)
            features = features_of(reduced, self.anchors[fold.anchors])
            data = AnchorData(features, self.anchor_label[fold.anchors], self.data.classes.ruler)
            head, _ = fit_let_rates(data, recipe, rates, derive_seed(seed, "let", width), epochs)
        else:
            label, branch = (codes[fold.cells].astype(np.int64) for codes in (self.data.label, self.data.branch))
            features = features_of(reduced, self.data.log1p[fold.cells])
            data = HeadData(features, label, branch, self.data.classes.ruler, int(branch.max()) + 1)
            # The seed of methods.heads, so that equal operators have the benchmark's own heads.
            head = fit_cell_head(data, self.config.adaptor, derive_seed(seed, "head", "fixed"))
        return (head.weight / head.scale).T

    def probe(self, train: np.ndarray, test: np.ndarray, fold: Fold) -> LinearProbe:
        """The benchmark's probes on latents (n, d) of a fold's training and test cells, with their weights."""
        mean, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
        scale[scale == 0] = 1
        # Scores of the mean and of one sd along each axis are the bias and the weights.
        shown = np.vstack([test, mean, mean + np.diag(scale)]).astype(np.float32)
        found = self.scorer.probe([Output(representation=(train.astype(np.float32), shown))], [fold.truth])[0]
        scores, weights, bias = {}, {}, {}
        for task, values in found.scores.items():
            scores[task], (level, *axes) = values[: len(test)], values[len(test) :].reshape(len(mean) + 1, -1)
            known = np.isfinite(level)
            weights[task] = np.where(known, np.array(axes) - np.where(known, level, 0), 0)
            bias[task] = level
        return LinearProbe(mean, scale, weights, bias, Probed(scores, None, found.unfinished))

    def probe_all(self, latents: list[tuple[np.ndarray, np.ndarray]], fold: Fold) -> list[Probed]:
        """The same for many latents, without weights."""
        outputs = [Output(representation=pair) for pair in latents]
        return self.scorer.probe(outputs, [fold.truth] * len(outputs))

    def score(self, probed: Probed, fold: Fold) -> np.ndarray:
        """Endpoints of a fold's tested donors, (donors, endpoints); NaN where a donor has no value."""
        from sklearn import config_context

        out = np.full((len(fold.truth.donors), len(self.endpoints)), np.nan)
        # Checks of arguments that are alike a thousand times are a third of a score's time.
        with config_context(skip_parameter_validation=True, assume_finite=True):
            scores = self.scorer.score(Output(), fold.truth, probed)
        for score in scores:
            if score.endpoint in self.endpoints and score.status in SCORED:
                out[fold.truth.donors.index(score.donor), self.endpoints.index(score.endpoint)] = score.value
        return out


def even_sample(label: np.ndarray, n: int, seed: int) -> np.ndarray:
    """At most n positions of labels (cells,), as many of each as there are or the rest allows, at least one; sorted."""
    counts = np.unique(label, return_counts=True)[1]
    each = np.arange(1, counts.max(initial=1) + 1)
    fitting = each[np.minimum(counts[:, None], each).sum(0) <= n]
    return balanced_sample(label, int(fitting[-1]) if len(fitting) else 1, seed)


def parts_donors(obs: pd.DataFrame, part: str, dataset: str) -> set[str]:
    """Donors of one part's anchors of a dataset."""
    return set(obs.loc[(obs["part"] == part) & (obs["dataset"] == dataset), "donor"])


def features_of(reduced: Reduced, x: np.ndarray | sp.csr_matrix) -> np.ndarray:
    """Features (n, F) float32 of cells or anchors (n, G); of low rank without the whole matrix."""
    if reduced.dense is not None:
        return np.ascontiguousarray(x @ reduced.dense, dtype=np.float32)
    return np.ascontiguousarray((x @ reduced.left) @ reduced.right, dtype=np.float32)

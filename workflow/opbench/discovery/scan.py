"""Every attention head as an operator of its own, beside random matrices in its place (spec H.1, L 19).

A head is scored zero-shot on external parts by an anchor head that was trained on all internal anchors, and on the
internal part by heads that were trained without the donors that they are scored on, each donor held out once.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import AnchorData, LetSettings, angle_distances
from opbench.adaptors.let_batch import BLOCK, fit_let_batch_rates
from opbench.config import Config
from opbench.discovery.distances import Pairs, pair_covariates, residualised
from opbench.discovery.parts import Part, Parts, open_parts
from opbench.discovery.random_heads import RANDOM, random_head
from opbench.discovery.scan_table import SCORES, SINGLE, complete
from opbench.discovery.separation import ThreeAxes, two_class_tasks
from opbench.discovery.trust import Trust
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.tables import HEADS, write_table
from opbench.models.attention_file import AttentionSums, load_attention
from opbench.models.device import choose_device
from opbench.operators import coexpression

log = logging.getLogger("opbench.scan_heads")
#: Groups of internal donors, each held out once.
FOLDS = 3
#: Anchors that a side of a two-class task needs.
MIN_SIDE = 2


@dataclass(frozen=True)
class ScanFiles:
    """Files of the stage: anchors of a panel's parts, the ontology's folder, the panel's attention sums."""

    parts: str | Path
    ontology: str | Path
    attention: str | Path


@dataclass(frozen=True)
class Trial:
    """Anchors that heads are trained on, and the part and rows of it that they are scored on."""

    part: str
    fit: np.ndarray
    scored: np.ndarray


def donor_folds(donor: np.ndarray, seed: int) -> list[np.ndarray]:
    """Three groups of donors, or as many as there are donors, drawn by `seed`."""
    donors = keyed_rng(seed, "donor-folds").permutation(np.unique(donor))
    return np.array_split(donors, min(FOLDS, len(donors)))


def single_matrix(arm: str, attention: AttentionSums) -> np.ndarray:
    """The matrix (G, G) of an arm that has one: `uniform` attention, `coexpression`, or the genes themselves."""
    if arm == "identity":
        return np.eye(len(attention.genes), dtype=np.float32)
    return {"uniform": coexpression.uniform, "coexpression": coexpression.coexpression}[arm](attention)


class Scan:
    """The heads of a panel's attention file on the panel's parts."""

    def __init__(self, config: Config, parts: Parts, attention: AttentionSums) -> None:
        self.config, self.settings, self.parts, self.attention = config, config.discovery, parts, attention
        self.recipe = LetSettings(config.adaptor.width, self.settings.learning_rates[0], config.sweeps.weight_recon)
        self.tasks = two_class_tasks(config.endpoints, parts.labels)
        layers, heads = attention.sums.shape[:2]
        self.heads = [(layer, head) for layer in range(layers) for head in range(heads)]
        self.scored = [name for name in ("internal", "external", "zero_shot") if name in parts.parts]
        self.trials = list(self._trials())
        self.device = str(choose_device(config.model.device))

    @property
    def seeds(self) -> list[int]:
        """Head seeds of the real heads and of arms with one matrix."""
        return [self.settings.head_seed + index for index in range(self.settings.seeds)]

    def _trials(self) -> Iterator[Trial]:
        internal = self.parts.parts["internal"]
        for donors in donor_folds(internal.donor, self.settings.seed):
            held = np.isin(internal.donor, donors)
            if held.all():
                continue
            assert not set(internal.donor[held]) & set(internal.donor[~held]), "A donor is trained on and held out."
            yield Trial("internal", np.flatnonzero(~held), np.flatnonzero(held))
        for name in self.scored[1:]:
            yield Trial(name, np.arange(len(internal)), np.arange(len(self.parts.parts[name])))

    def records(self) -> Iterator[dict]:
        """Rows of every arm, draw, head and part, without ranks; blocks of heads bound what is held at a time."""
        start = time.perf_counter()
        for first in range(0, len(self.heads), BLOCK):
            block = self.heads[first : first + BLOCK]
            real = [self.attention.sums[layer, head] for layer, head in block]
            yield from self._fitted("real", block, real, dict(enumerate(self.seeds)))
            for arm in RANDOM:
                for draw in range(self.settings.scan.draws):
                    fakes = [self._random(arm, *head, draw) for head in block]
                    yield from self._fitted(arm, block, fakes, {draw: self.seeds[0]})
            log.info("%d of %d heads, %.0f s", first + len(block), len(self.heads), time.perf_counter() - start)
        for arm in SINGLE:
            matrix = single_matrix(arm, self.attention)
            for row in self._fitted(arm, [(-1, -1)], [matrix], dict(enumerate(self.seeds))):
                yield from (row | {"layer": layer, "index": head} for layer, head in self.heads)

    def _random(self, arm: str, layer: int, head: int, draw: int) -> np.ndarray:
        return random_head(arm, layer, head, self.attention, self.config.operators.seed, draw)

    def _fitted(
        self, arm: str, block: list[tuple[int, int]], matrices: list[np.ndarray], seeds: dict[int, int]
    ) -> Iterator[dict]:
        """Rows of the matrices of a block of heads, by draw and head seed."""
        features = {
            name: np.stack([self.parts.parts[name].x @ matrix.astype(np.float32) for matrix in matrices])
            for name in self.scored
        }
        label = self.parts.parts["internal"].label
        for draw, seed in seeds.items():
            # Heads that are trained on the same anchors are the same.
            trained: dict[bytes, list[CellHead]] = {}
            own = derive_seed(seed, "let", self.recipe.width)
            found: dict[tuple[int, str], list[dict]] = {}
            for trial in self.trials:
                key, fit = trial.fit.tobytes(), features["internal"][:, trial.fit]
                data = AnchorData(fit, label[trial.fit], self.parts.ruler)
                if key not in trained:
                    recipe = self.recipe, self.settings.learning_rates, own, self.settings.scan.epochs
                    trained[key] = fit_let_batch_rates(data, *recipe, self.device)
                for i, head in enumerate(trained[key]):
                    part = self.parts.parts[trial.part].take(trial.scored)
                    scores = self._scores(head, fit[i], data.label, part, features[trial.part][i, trial.scored])
                    found.setdefault((i, trial.part), []).append(scores)
            for (i, name), scores in found.items():
                yield {"arm": arm, "draw": draw, "seed": seed, "part": name} | dict(
                    zip(("layer", "index"), block[i], strict=True), **_averaged(scores)
                )

    def _scores(self, head: CellHead, fit: np.ndarray, label: np.ndarray, part: Part, features: np.ndarray) -> dict:
        """What a head makes of anchors (a, F) that it was not trained on."""
        pairs = Pairs.of(part.label, self.parts.ruler)
        z = head.transform(features)
        angle, axes = angle_distances(z), ThreeAxes.fit(head.transform(fit), label)
        trust = Trust(features, head.mean, head.scale, self.settings.gates.neighbours, 0)
        return {
            "residualised": residualised(pairs, angle, pair_covariates(part.donor, part.tissue)),
            "correlation": pairs.correlation(angle),
            "trust": trust.of(z),
            "auroc3": _mean([axes.auroc(z, part.label, sides, MIN_SIDE) for sides in self.tasks.values()]),
            "n": len(part),
        }


def _mean(values: list[float]) -> float:
    """Mean of the values that there are, NaN of none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _averaged(scores: list[dict]) -> dict:
    """Mean over groups of held-out donors; `n` is the sum of their anchors."""
    return {name: _mean([one[name] for one in scores]) for name in SCORES} | {"n": sum(one["n"] for one in scores)}


def scan_heads(config: Config, panel: str, files: ScanFiles, output: str | Path) -> None:
    """Stage: write every head of a panel's attention and its controls (contract `HEADS`).

    Raises InputError when the attention file is over other genes than the anchors.
    """
    parts, attention = open_parts(files.parts, files.ontology), load_attention(files.attention, stored=True)
    if tuple(attention.genes) != parts.genes:
        raise InputError(f"{files.attention}: its genes are not those of {files.parts}; delete it and run again.")
    scan = Scan(config, parts, attention)
    rows = pd.DataFrame(scan.records())
    frame = complete(rows, config.discovery).assign(run=config.run, panel=panel, width=scan.recipe.width)
    write_table(frame[HEADS.names], output, HEADS)

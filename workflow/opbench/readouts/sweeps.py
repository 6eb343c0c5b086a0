"""Stage: cheap heads of one arm's operators over width, budget, seed, rate and convention.

Decision 19; spec K4 to K7, L 26 to 28.

Every donor fold is one task. Heads are fitted on anchors or cells of training donors less `adaptor.validation_donors`
of them; anchors of these give the plateau and the paper's selection score, so that nothing is chosen on a tested donor.
Probes are trained on the cells of all training donors and scored on each tested one, by the benchmark's own readouts.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.adaptors.let import PLATEAU
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.io.errors import InputError
from opbench.io.tables import SWEEPS, write_table
from opbench.methods.heads import balanced_sample, stopping_donors
from opbench.operators.controls import gaussian_halves
from opbench.operators.operator import Operator, from_blocks, read_operator
from opbench.panels.anchors import read_anchors
from opbench.readouts.cheap_heads import Anchors, CheapHeads, Fitted, Fold, Point
from opbench.readouts.panel_data import PanelData, open_panel
from opbench.readouts.probes import Probed
from opbench.readouts.scoring import Score, Scorer, SplitTruth
from opbench.splits.draw import donor_table, draw_splits, eligible_donors
from opbench.splits.views import SplitView, rows, split_views

log = logging.getLogger("opbench.sweep_heads")
#: Donors with fewer anchors are not held out to stop on.
MIN_DONOR_ANCHORS = 5
#: Seconds of an epoch, and more by width x entries of the anchors; of probing and scoring a head, and more by width and
#: cell; of the full-width probes by cell; and epochs to a plateau (marrow, one thread).
EPOCH, EPOCH_ENTRY, PROBE, PROBE_CELL, FULL_CELL, TO_PLATEAU = 2e-4, 9e-11, 0.07, 9e-7, 1.2e-3, 500


@dataclass(frozen=True)
class SweepFiles:
    """Files of a job: panel, its anchors, the ontology's folder, and the operators of one arm."""

    panel: str
    anchors: str
    ontology: str | Path
    operators: Sequence[str]


@dataclass(frozen=True)
class Item:
    """An operator as rows name it; draw -1 means that it has none."""

    operator: Operator
    name: str
    arm: str
    draw: int
    convention: str


class Sweep:
    """The operators of one arm on one panel; `arm` is `drift`, a control, `heads` or `conventions`."""

    def __init__(self, config: Config, panel: str, arm: str, files: SweepFiles) -> None:
        name = config.sweeps.campaign_of(panel, config.campaigns)
        if name is None:
            raise InputError(f"sweeps.panels: '{panel}' has no campaign that leaves donors out; take it out.")
        self.config, self.arm, self.files, self.settings = config, arm, files, config.sweeps
        campaign = config.campaigns[name].model_copy(update={"design": "folds", "pseudotime": False})
        self.data = open_panel(files.panel, files.ontology, config.endpoints, campaign)
        n_donors = len(eligible_donors(donor_table(self.data.obs), campaign, f"campaigns.{name}"))
        campaign = campaign.model_copy(update={"splits": min(config.sweeps.folds, n_donors)})
        self.scorer = Scorer(self.data, campaign, config.endpoints, config.endpoints.nulls)
        named = [name for name in self.scorer.endpoint_names() if name.endswith("_auroc")]
        self.endpoints = {"branch_balanced_accuracy", "stage_balanced_accuracy", *named}
        self.anchors = _open_anchors(files.anchors, self.data, campaign.train)
        self.heads = CheapHeads(config, self.data, self.anchors)
        drawn = draw_splits(config.run, panel, name, campaign, self.data.obs, set())
        self.folds = [self._fold(view) for view in split_views(drawn)]

    def _fold(self, view: SplitView) -> Fold:
        donor, label = self.anchors.donor, self.anchors.label
        mine = np.isin(donor, view.train_donors)
        assert not set(donor[mine]) & set(view.test_donors), f"Fold {view.index} fits on anchors of a tested donor."
        enough = [name for name in np.unique(donor[mine]) if (donor == name).sum() >= MIN_DONOR_ANCHORS]
        n_held = self.config.adaptor.validation_donors
        held_donors = stopping_donors(np.array(enough), n_held, view.seed).tolist() if enough else []
        fit = np.flatnonzero(mine & ~np.isin(donor, held_donors))
        # A label that only the held-out donors have was never trained.
        held = np.flatnonzero(mine & np.isin(donor, held_donors) & np.isin(label, label[fit]))
        train, test = rows(self.data.obs, view)
        cells = train[~np.isin(self.data.obs["donor"].to_numpy()[train], held_donors)]
        cells = cells[balanced_sample(self.data.label[cells], self.config.adaptor.cells_per_stage, view.seed)]
        return Fold(view.index, SplitTruth(train, test, view.test_donors, {}), fit, held, cells)

    def items(self) -> Iterator[Item]:
        """Operators with their names; each convention's own Gaussian draws are made here."""
        operators = self.config.operators
        for file in self.files.operators:
            operator = read_operator(file, self.data.genes)
            if operator.encoding != "log1p":
                raise InputError(f"{file}: reads '{operator.encoding}', not expression; take it out of sweeps.arms.")
            convention = str(operator.meta.get("convention", operators.convention))
            arm, draw = str(operator.meta["arm"]), int(operator.meta.get("draw", -1))  # type: ignore[call-overload]
            if self.arm != "conventions":
                yield Item(operator, Path(file).stem, "head" if self.arm == "heads" else arm, draw, convention)
                continue
            yield Item(operator, "drift", arm, draw, convention)
            for draw in range(self._convention_draws):
                halves = gaussian_halves(list(operator.blocks), operator.support, operators.seed, draw)
                random = from_blocks(halves, operator.support, operator.genes)
                yield Item(random, f"gaussian-{draw}", "gaussian_halves", draw, convention)

    @property
    def _convention_draws(self) -> int:
        return min(self.settings.width_draws, self.config.operators.gaussian_draws)

    @property
    def draws(self) -> list[int]:
        """Draws of the operators to come, -1 for those without."""
        n = len(self.files.operators)
        if self.arm == "conventions":
            return [-1, *range(self._convention_draws)] * n
        return [-1] * n if self.arm in ("drift", "heads", *FIXED_ARMS) else list(range(n))

    @property
    def _seeded(self) -> bool:
        """Whether the null floor of this arm comes from head seeds (decision 18)."""
        return self.arm in ("drift", *FIXED_ARMS)

    def points(self, draw: int) -> list[Point]:
        """Heads of one operator of this arm."""
        s, width, first = self.settings, self.config.adaptor.width, self.config.adaptor.seed
        wide = draw < s.width_draws and self.arm not in ("heads", "conventions")
        widths = sorted({*s.widths, width}) if wide else [width]
        out = []
        if "let" in s.heads:
            seeds = range(first, first + (s.seeds if self._seeded else 1))
            rate, *other_rates = s.learning_rates
            out += [Point("let", width, seed, str(budget), rate) for seed in seeds for budget in s.budgets]
            out += [Point("let", other, first, str(s.width_budget), rate) for other in widths if other != width]
            other_rates = other_rates if wide else []
            out += [Point("let", width, first, str(budget), other) for other in other_rates for budget in s.budgets]
        if "closed_form" in s.heads:
            out += [Point("closed_form", each, first) for each in widths]
        return [*out, *([Point("none", 0, first)] if wide and s.full_width else [])]

    def sweeps_of(self, point: Point, draw: int) -> list[str]:
        """Sweeps that a head belongs to; one at the standard width, budget and seed belongs to several."""
        if self.arm in ("heads", "conventions"):
            return [{"heads": "heads", "conventions": "convention"}[self.arm]]
        standard, first = point.width == self.config.adaptor.width, point.seed == self.config.adaptor.seed
        let, usual = point.head == "let", point.learning_rate in (0, self.settings.learning_rates[0])
        compared = self.arm == "drift" or (self.arm == "gaussian" and draw < self.settings.width_draws)
        members = {
            "budget": let and standard and first and usual,
            "width": first and usual and (not let or point.budget == str(self.settings.width_budget)),
            "seed": let and standard and usual and self._seeded,
            "rate": let and standard and first and draw < self.settings.width_draws,
            "convention": standard and first and usual and compared and self._other_conventions,
        }
        return [name for name, member in members.items() if member]

    @property
    def _other_conventions(self) -> bool:
        return bool(self.settings.other_conventions(self.config.operators))

    def run(self, item: Item) -> list[dict]:
        """Rows of one operator."""
        fitted = list(self.heads.fit(item.operator, self.folds, self.points(item.draw)))
        probed = self.scorer.probe([one.output for one in fitted], [one.fold.truth for one in fitted])
        about = {"operator": item.name, "arm": item.arm, "draw": item.draw, "convention": item.convention}
        out = []
        for one, found in zip(fitted, probed, strict=True):
            scores = [score.__dict__ for score in (*self._scores(one, found), *one.selection)]
            for sweep in self.sweeps_of(one.point, item.draw):
                where = about | one.point.__dict__ | {"sweep": sweep, "split": one.fold.split}
                out += [where | score for score in scores]
        return out

    def _scores(self, one: Fitted, probed: Probed) -> list[Score]:
        truth, output = one.fold.truth, one.output
        if output.representation is None and output.projection is None:
            scores = self.scorer.unavailable(truth, "not_applicable", output.reason)
        else:
            scores = self.scorer.score(output, truth, probed)
        return [score for score in scores if score.endpoint in self.endpoints]

    def estimate(self) -> float:
        """Seconds that the operators will take on one thread, to a factor of about 2."""
        s, width, entries, cells = self.settings, self.config.adaptor.width, self.anchors.x.size * 2, len(self.data.obs)
        longest = max(TO_PLATEAU if budget == PLATEAU else int(budget) for budget in s.budgets)
        total = 0.0
        for draw in self.draws:
            points = self.points(draw)
            for point in points:
                total += FULL_CELL * cells if point.head == "none" else PROBE + PROBE_CELL * cells * point.width
            for each, _, _ in {(p.width, p.seed, p.learning_rate) for p in points if p.head == "let"}:
                total += (longest if each == width else TO_PLATEAU) * (EPOCH + EPOCH_ENTRY * each * entries)
        return total * len(self.folds)


def _open_anchors(path: str, data: PanelData, dataset: str) -> Anchors:
    """Anchors of one dataset with the codes of an opened panel."""
    found = read_anchors(path)
    if tuple(found.var_names) != data.genes:
        raise InputError(f"{path}: its genes are not those of the panel; delete it and run again.")
    found = found[(found.obs["dataset"] == dataset).to_numpy()]
    code = {label: index for index, label in enumerate(data.classes.labels)}
    label = (found.obs["dataset"] + ":" + found.obs["label"]).map(code).to_numpy(dtype=np.int64)
    return Anchors(np.asarray(found.X), label, found.obs["donor"].to_numpy())


def sweep_heads(config: Config, panel: str, arm: str, files: SweepFiles, output: str | Path) -> None:
    """Stage: write the sweeps of one arm's operators on one panel (contract `SWEEPS`)."""
    sweep = Sweep(config, panel, arm, files)
    count, minutes = len(sweep.draws), sweep.estimate() / 60
    log.info("%s, %s: %d operators on %d folds, about %.1f min", panel, arm, count, len(sweep.folds), minutes)
    records, start = [], time.perf_counter()
    for number, item in enumerate(sweep.items(), 1):
        records += sweep.run(item)
        log.info("%s %s (%d of %d), %.0f s", item.name, item.convention, number, count, time.perf_counter() - start)
    frame = pd.DataFrame(records).assign(run=config.run, panel=panel)
    write_table(frame[SWEEPS.names], output, SWEEPS)

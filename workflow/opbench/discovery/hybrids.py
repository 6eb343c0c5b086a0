"""Anchor, cell and hybrid heads of one arm's operators side by side (spec C.2; decisions 15 and 24).

All heads are trained on internal donors less a third of them, on which the hybrid is selected unless the run names
another part; every part is then scored by the same heads.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.adaptors.cell_head import CellHead, HeadData, fit_cell_head
from opbench.adaptors.hybrid import Topology, fit_hybrid
from opbench.adaptors.let import AnchorData, LetSettings, fit_let_rates
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.discovery.hybrid_scores import PARTIAL, WHOLE, Cells, anchor_quantities, cell_quantities, selection_score
from opbench.discovery.parts import Parts, open_parts
from opbench.discovery.scan import donor_folds
from opbench.discovery.separation import ThreeAxes, two_class_tasks
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed
from opbench.io.tables import HYBRIDS, write_table
from opbench.methods.heads import balanced_sample
from opbench.operators.operator import Operator, read_operator

log = logging.getLogger("opbench.fit_hybrids")
#: Cells of a donor and label that are scored.
PER_GROUP = 50


@dataclass(frozen=True)
class HybridFiles:
    """Files of a job: panel, anchors of its parts, the ontology's folder, and the operators of one arm, in order."""

    panel: str | Path
    parts: str | Path
    ontology: str | Path
    operators: Sequence[str]


@dataclass(frozen=True)
class Kind:
    """A head: `anchor`, `cell` or `hybrid`, the latter of a sweep and with weights."""

    head: str
    sweep: str = ""
    weight_topo: float = 0.0
    weight_compact: float = 0.0


class Hybrids:
    """Heads of operators on a panel's parts. roles: see `hybrid_scores.selection_score`."""

    def __init__(self, config: Config, parts: Parts, panel: str | Path, roles: Mapping[str, list[str]]) -> None:
        self.config, self.settings, self.parts, self.roles = config, config.discovery, parts, roles
        self.tasks = two_class_tasks(config.endpoints, parts.labels)
        internal = parts.parts["internal"]
        held = donor_folds(internal.donor, self.settings.seed)[0]
        self.fit = np.flatnonzero(~np.isin(internal.donor, held))
        self.anchors = {"internal": np.flatnonzero(np.isin(internal.donor, held))}
        self.anchors |= {
            name: np.arange(len(parts.parts[name])) for name in ("external", "zero_shot") if name in parts.parts
        }
        cells = self._cells(panel)
        train = np.flatnonzero(~np.isin(cells["internal"].donor, held))
        chosen = balanced_sample(cells["internal"].label[train], config.adaptor.cells_per_stage, self.settings.seed)
        self.train = cells["internal"].take(train[chosen])
        cells["internal"] = cells["internal"].take(np.flatnonzero(np.isin(cells["internal"].donor, held)))
        assert not set(self.train.donor) & set(held), "A donor is trained on and held out."
        self.cells = {name: self._sampled(part) for name, part in cells.items()}

    @property
    def problem(self) -> str:
        """Why there is no head; '' when there is."""
        fewest = self.settings.gates.min_anchors
        few = len(self.fit) < fewest
        return f"{len(self.fit)} anchors to train on, fewer than {fewest}" if few else ""

    def kinds(self) -> list[Kind]:
        """The heads of an operator, the anchor head first."""
        s = self.settings.hybrids
        strong = [Kind("hybrid", "strong", weight, s.strong_compact) for weight in s.strong]
        return [Kind("anchor"), Kind("cell"), *strong, *(Kind("hybrid", "conservative", w) for w in s.conservative)]

    def _cells(self, panel: str | Path) -> dict[str, Cells]:
        log1p, obs = self.parts.cells(panel)
        named = np.array(self.parts.labels)[obs["code"].to_numpy()]
        columns = [obs[name].to_numpy() for name in ("code", "branch_code", "donor")]
        whole = Cells(log1p, obs.index.to_numpy(), named, *columns)
        return {name: whole.take(np.flatnonzero((obs["part"] == name).to_numpy())) for name in self.anchors}

    def _sampled(self, cells: Cells) -> Cells:
        group = pd.Series(cells.donor).str.cat(cells.named, sep="\x1f")
        return cells.take(balanced_sample(group.to_numpy(), PER_GROUP, self.settings.seed))

    def heads(self, operator: Operator) -> Iterator[tuple[Kind, CellHead]]:
        """Fit every head of an operator; cell and hybrid heads have the same start and batches."""
        s, width, parts = self.settings, self.config.adaptor.width, self.parts
        anchors, label = parts.features(operator, "internal")[self.fit], parts.parts["internal"].label[self.fit]
        recipe = LetSettings(width, s.learning_rates[0], self.config.sweeps.weight_recon)
        data, seed = AnchorData(anchors, label, parts.ruler), derive_seed(s.head_seed, "let", width)
        anchor, _ = fit_let_rates(data, recipe, s.learning_rates, seed, s.gates.epochs)
        topology = Topology.of(anchor, anchors)
        codes = self.train.label.astype(np.int64), self.train.branch.astype(np.int64)
        cells = HeadData(self.train.features(operator), *codes, parts.ruler, len(parts.branches))
        own = derive_seed(s.head_seed, "head", "fixed")
        for kind in self.kinds():
            if kind.head == "anchor":
                yield kind, anchor
            elif kind.head == "cell":
                yield kind, fit_cell_head(cells, self.config.adaptor, own)
            else:
                weights = kind.weight_topo, kind.weight_compact
                yield kind, fit_hybrid(cells, self.config.adaptor, own, topology, *weights)

    def quantities(self, operator: Operator, head: CellHead) -> Iterator[tuple[str, str, float, int]]:
        """Part, quantity, value and n of a head on every part, the selection score last."""
        axes = ThreeAxes.fit(self.train.latent(operator, head), self.train.label)
        gates, fewest = self.settings.gates, self.config.endpoints.min_class_cells
        for name, rows in self.anchors.items():
            part = self.parts.parts[name].take(rows)
            features = self.parts.features(operator, name)[rows]
            found = anchor_quantities(head, features, part, self.parts.ruler, gates.neighbours)
            cells = self.cells[name]
            found |= cell_quantities(cells.latent(operator, head), cells, axes, self.tasks, fewest)
            score, value = selection_score(found, self.roles)
            for quantity, (each, n) in (found | {score: (value, len(part))}).items():
                yield name, quantity, each, n

    def rows(self, operator: Operator) -> list[dict]:
        """Rows of an operator's heads; of heads that cannot be trained one row each, with the reason."""
        if self.problem:
            empty = {"part": "internal", "quantity": PARTIAL, "value": np.nan, "n": len(self.fit)}
            return [kind.__dict__ | empty | {"status": "not_testable", "reason": self.problem} for kind in self.kinds()]
        out = []
        for kind, head in self.heads(operator):
            for part, quantity, value, n in self.quantities(operator, head):
                status, reason = ("ok", "") if np.isfinite(value) else ("not_testable", _reason(quantity))
                where = {"part": part, "quantity": quantity, "value": value, "n": n}
                out.append(kind.__dict__ | where | {"status": status, "reason": reason})
        return out


def _reason(quantity: str) -> str:
    """Why a quantity has no value."""
    if quantity.endswith("_auroc3"):
        return "no donor has enough cells of both classes, or no training cell is of one"
    if quantity in ("silhouette_branch", "spread_norm"):
        return "no donor has enough cells of two branches or labels"
    return "too few anchors, or one value of the ruler among them"


def select(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Mark the hybrid with the best selection score on `part`, and what that makes of each hybrid's rows (decision 15).

    label: `selected_and_tested` on the part that the hybrid is selected on; elsewhere `nested` when that part are
    held-out training donors, else `selected_elsewhere`; '' for heads that nothing is selected among.
    """
    hybrid = rows["head"] == "hybrid"
    scores = rows[hybrid & (rows["part"] == part) & rows["quantity"].isin((WHOLE, PARTIAL)) & rows["value"].notna()]
    selected = np.zeros(len(rows), bool)
    if len(scores):
        best = scores.loc[scores["value"].idxmax()]
        same = [rows[name] == best[name] for name in ("sweep", "weight_topo", "weight_compact")]
        selected = (hybrid & np.logical_and.reduce(same)).to_numpy()
    elsewhere = "nested" if part == "internal" else "selected_elsewhere"
    label = np.where(rows["part"] == part, "selected_and_tested", elsewhere)
    return rows.assign(selected=selected, label=np.where(hybrid, label, ""))


def fit_hybrids(
    config: Config, panel: str, arm: str, files: HybridFiles, roles: Mapping[str, list[str]], output: str | Path
) -> None:
    """Stage: write the heads of one arm's first operators (contract `HYBRIDS`).

    roles: `cd4_cd8` and `mono_macro` -> two-class tasks of the run that may stand for them. Raises InputError when an
    operator is over other genes than the parts.
    """
    parts = open_parts(files.parts, files.ontology)
    hybrids, frames, part = Hybrids(config, parts, files.panel, roles), [], config.discovery.hybrids.select_on
    for file in files.operators[: config.discovery.hybrids.draws]:
        operator = read_operator(file, parts.genes)
        rows = select(pd.DataFrame(hybrids.rows(operator)), part)
        if not rows["selected"].any():
            log.warning("%s, %s: no hybrid has a score on part %s", panel, Path(file).stem, part)
        single = arm == "drift" or arm in FIXED_ARMS
        draw = 0 if single else int(operator.meta["draw"])  # type: ignore[call-overload]
        frames.append(rows.assign(arm=str(operator.meta["arm"]), operator=Path(file).stem, draw=draw))
        log.info("%s, %s: %d heads", panel, Path(file).stem, len(hybrids.kinds()))
    if not frames:
        raise InputError(f"operators: arm '{arm}' has no operator; take it out of discovery.arms.")
    frame = pd.concat(frames).assign(run=config.run, panel=panel, seed=config.discovery.head_seed)
    write_table(frame[HYBRIDS.names], output, HYBRIDS)

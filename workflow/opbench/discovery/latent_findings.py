"""Stage: findings on the latent of anchor heads fitted on the internal part, each with its null (spec C.3).

What the internal part's own anchors and cells give is in-sample; external and zero-shot parts were not fitted on.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import PLATEAU
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.discovery.anchor_heads import divide, fit_heads
from opbench.discovery.latent_shape import (
    DepthAxis,
    Found,
    Frame,
    Points,
    axis_correlations,
    depth_rows,
    plane_rows,
    residual_rows,
    ripple_rows,
)  # fmt: skip
from opbench.discovery.parts import Parts, open_parts
from opbench.discovery.t_lens import Lens, TCells, t_sides
from opbench.io.tables import LATENT_FINDINGS, PART_VIEWS, write_table
from opbench.operators.features import cell_features
from opbench.operators.operator import Operator, read_operator
from opbench.panels.ontology import ROOT, Ontology

log = logging.getLogger("opbench.find_latents")
#: Parts that findings are read on, in this order.
READ_ON = ("internal", "external", "zero_shot")
HEAD = "let"
#: Branch without which depth from HSC is no axis of a part, and the end of the erythroid path.
PROGENITORS, ERYTHROCYTE = "stem_progenitor", "Erythrocyte"
#: Distinct depths that a path needs, and cells whose features are held at a time.
MIN_DEPTHS, BATCH = 3, 4096
#: First quantity of each finding: the row that says why there is none.
FINDINGS = {
    "axis_correlation": "mean_abs_r", "temporal_axis": "spearman", "plane": "plane_share",
    "t_lens": "lens", "erythroid": "spearman",
}  # fmt: skip


@dataclass(frozen=True)
class LatentFiles:
    """Files of a job: panel, parts, the ontology's folder, and the operators of one arm."""

    panel: str | Path
    parts: str | Path
    ontology: str | Path
    operators: Sequence[str]


@dataclass(frozen=True)
class Fit:
    """One head as rows name it: `real` or the arm of the operator's record, draw or seed index, and the seed; no head
    where the internal part has too few anchors.
    """

    operator: str
    arm: str
    draw: int
    seed: int
    head: CellHead | None


class Finder:
    """One panel's parts, cells of T subtypes and erythroid path."""

    def __init__(self, config: Config, panel: str, files: LatentFiles, tasks: list[str] | None = None) -> None:
        self.config, self.panel, self.files = config, panel, files
        self.parts, self.draws = open_parts(files.parts, files.ontology), config.discovery.gates.permutations
        self.reasons, least = dict[str, str](), config.discovery.gates.min_anchors
        self.division = divide(self.parts.parts["internal"], np.empty(0, int), config)
        reason = f"the internal part has {self.division.reason}" if self.division.reason else ""
        for name in READ_ON:
            n, wanted = len(self.parts.parts.get(name, ())), getattr(config.discovery.panels[panel], name)
            if name in self.parts.parts or name == "external" or wanted:
                self.reasons[name] = reason or (f"part {name} has {n} anchors, fewer than {least}" if n < least else "")
        self.names = [name for name, why in self.reasons.items() if not why]
        self.path = _erythroid_codes(self.parts, Ontology.read(files.ontology))
        self.sides = t_sides(config, self.parts, tasks)
        self.cells = self._cells() if self.sides else None

    def _cells(self):  # type: ignore[no-untyped-def]
        log1p, obs = self.parts.cells(self.files.panel)
        rows = np.flatnonzero((obs["code"].isin(self.sides) & obs["part"].isin(self.names)).to_numpy())
        obs = obs.iloc[rows]
        return log1p[rows], obs.assign(positive=obs["code"].map(self.sides).astype(bool))

    def fit(self, operator: Operator, name: str, arm: str) -> Iterator[Fit]:
        """Heads of one operator: every seed of the real one and of arms with one operator, else the first."""
        d, width, inside = self.config.discovery, self.config.adaptor.width, self.parts.parts["internal"]
        features = self.parts.features(operator, "internal") if self.names else None
        one = arm in ("drift", *FIXED_ARMS)
        draw = int(operator.meta.get("draw", -1))  # type: ignore[call-overload]
        own = "real" if arm == "drift" else str(operator.meta["arm"])
        for index in range(d.seeds if one else 1):
            seed, head = d.head_seed + index, None
            if features is not None:
                ruler = self.parts.ruler
                head = fit_heads(features, inside, ruler, self.division, width, seed, self.config)[PLATEAU]
            yield Fit(name, own, index if one else draw, seed, head)

    def latents(self, operator: Operator, heads: list[CellHead]) -> list[dict[str, np.ndarray]]:
        """Latent anchors of the parts, by head."""
        features = {name: self.parts.features(operator, name) for name in READ_ON if name in self.parts.parts}
        return [{name: head.transform(found) for name, found in features.items()} for head in heads]

    def t_cells(self, operator: Operator, heads: list[CellHead]) -> list[dict[str, TCells]]:
        """Latent T cells of every part, by head; features are made a batch at a time."""
        if self.cells is None:
            return [{} for _ in heads]
        log1p, obs = self.cells
        labels = [self.parts.labels[code] for code in obs["code"]]
        found: list[list[np.ndarray]] = [[np.empty((0, len(head.weight)), np.float32)] for head in heads]
        for start in range(0, len(obs), BATCH):
            part = slice(start, start + BATCH)
            features = cell_features(operator, log1p[part], obs.index[part].tolist(), labels[part])
            for mine, head in zip(found, heads, strict=True):
                mine.append(head.transform(features))
        positive, donor, name = (obs[column].to_numpy() for column in ("positive", "donor", "part"))
        whole = [np.concatenate(mine) for mine in found]
        return [
            {part: TCells(z[name == part], positive[name == part], donor[name == part]) for part in np.unique(name)}
            for z in whole
        ]

    def rows(self, z: dict[str, np.ndarray], cells: dict[str, TCells]) -> Iterator[Found]:
        """Findings of one head on every part."""
        seed = self.config.discovery.seed
        for part, reason in self.reasons.items():
            if reason:
                yield from (_untested(part, finding, reason) for finding in FINDINGS)
        if not self.names:
            return
        points = {name: self._points(name, z[name]) for name in self.names}
        inside, frame = points["internal"], Frame(points["internal"].z)
        axis, lens = DepthAxis(frame, inside), self._lens(frame, cells)
        for part, here in points.items():
            yield from _named(part, "axis_correlation", axis_correlations(here, seed))
            yield from self._plane(part, frame, inside, here)
            if self._has_progenitors(part):
                yield from _named(part, "temporal_axis", axis.rows(here, self.draws, seed))
            else:
                yield _untested(part, "temporal_axis", "it has no progenitors")
            yield from self._lens_rows(part, lens, cells)
            yield from self._erythroid(part, axis, inside, here)

    def _points(self, name: str, z: np.ndarray) -> Points:
        part = self.parts.parts[name]
        return Points(z, part.label, part.donor, part.depth)

    def _has_progenitors(self, name: str) -> bool:
        branches = {self.parts.branches[code] for code in np.unique(self.parts.parts[name].branch)}
        return PROGENITORS in branches

    def _plane(self, part: str, frame: Frame, inside: Points, here: Points) -> Iterator[Found]:
        seed = self.config.discovery.seed
        if inside.z.shape[1] < 3:
            yield _untested(part, "plane", f"a latent of {inside.z.shape[1]} axes has no plane to leave")
            return
        rows = plane_rows(frame, here, seed, here is inside) + ripple_rows(frame, inside, here, self.draws, seed)
        if self._has_progenitors(part):
            rows += residual_rows(frame, here, self.draws, seed)
        yield from _named(part, "plane", rows)
        if not self._has_progenitors(part):
            yield _untested(part, "plane", "it has no progenitors", "residual_axes_significant")

    def _lens(self, frame: Frame, cells: dict[str, TCells]) -> Lens | None:
        inside = cells.get("internal")
        if inside is None or min(inside.positive.sum(), (~inside.positive).sum()) < 2 * frame.axes.shape[1]:
            return None
        return Lens(frame, inside, self.config.discovery.seed)

    def _lens_rows(self, part: str, lens: Lens | None, cells: dict[str, TCells]) -> Iterator[Found]:
        least = self.config.endpoints.min_class_cells
        if not self.sides:
            yield _untested(part, "t_lens", "no two-class task stands for CD4 and CD8 T cells")
        elif lens is None:
            yield _untested(part, "t_lens", "the internal part has too few cells of the two T subtypes")
        elif part not in cells or not (rows := lens.rows(cells[part], least)):
            yield _untested(part, "t_lens", f"no donor has {least} cells of both T subtypes")
        else:
            yield from _named(part, "t_lens", rows)

    def _erythroid(self, part: str, axis: DepthAxis, inside: Points, here: Points) -> Iterator[Found]:
        """Spearman with depth on the path from HSC to erythrocytes: of the axis of depth, and of the path's own PC1."""
        seed, known, mine = self.config.discovery.seed, np.isin(inside.label, self.path), np.isin(here.label, self.path)
        for name, rows, points in (("internal", known, inside), (part, mine, here)):
            if (n := len(np.unique(points.depth[rows]))) < MIN_DEPTHS:
                yield _untested(part, "erythroid", f"part {name} has {n} depths on the path, fewer than {MIN_DEPTHS}")
                return
        path = Points(here.z[mine], here.label[mine], here.donor[mine], here.depth[mine])
        own = Frame(inside.z[known])
        sign = np.sign(np.corrcoef(own.view(inside.z[known], 1)[:, 0], inside.depth[known])[0, 1]) or 1
        rows = depth_rows(axis(path.z), path, self.draws, seed)
        rows += depth_rows(sign * own.view(path.z, 1)[:, 0], path, self.draws, seed, name="spearman_pc1")
        yield from _named(part, "erythroid", rows)

    def view(self, z: dict[str, np.ndarray]) -> pd.DataFrame:
        """Anchors of the parts in the first three principal axes of the internal ones, (anchors, PART_VIEWS)."""
        frame, out = Frame(z["internal"]), []
        for name, values in z.items():
            found = np.full((len(values), 3), np.nan)
            view = frame.view(values, 3)
            found[:, : view.shape[1]] = view
            obs = self.parts.obs.loc[self.parts.parts[name].ids]
            out.append(obs.assign(anchor=obs.index, part=name, x=found[:, 0], y=found[:, 1], z=found[:, 2]))
        return pd.concat(out, ignore_index=True)


def _erythroid_codes(parts: Parts, ontology: Ontology) -> np.ndarray:
    """Codes of labels all of whose stages lie on a shortest path from HSC to erythrocytes."""
    if ERYTHROCYTE not in ontology.stages:
        return np.empty(0, int)
    start, end = ontology.stages.index(ROOT), ontology.stages.index(ERYTHROCYTE)
    on_path = ontology.distance[start] + ontology.distance[:, end] == ontology.distance[start, end]
    named = parts.obs["dataset"] + ":" + parts.obs["label"]
    stages = dict(zip(named, parts.obs["stages"], strict=True))
    return np.array([i for i, label in enumerate(parts.labels) if on_path[ontology.members(stages[label])].all()], int)


def _named(part: str, finding: str, rows: list[Found]) -> Iterator[Found]:
    empty = dict.fromkeys(("p", "p_floor", "null_mean", "null_q95"), float("nan"))
    about = {"part": part, "finding": finding, "i": -1, "j": -1, "status": "ok", "reason": ""}
    return (about | empty | row for row in rows)


def _untested(part: str, finding: str, reason: str, quantity: str = "") -> Found:
    row = {"quantity": quantity or FINDINGS[finding], "value": float("nan"), "n": 0}
    return next(_named(part, finding, [row])) | {"status": "not_testable", "reason": reason}


def _capped(row: Found, head: CellHead | None, config: Config) -> Found:
    if head is None or head.status != "cap" or row["status"] != "ok":
        return row
    return row | {"status": "cap", "reason": f"no plateau within {config.adaptor.max_epochs} epochs"}


def find_latents(
    config: Config, panel: str, arm: str, files: LatentFiles, findings: str | Path, views: str | Path,
    tasks: list[str] | None = None,
) -> None:  # fmt: skip
    """Stage: write the findings of one arm's heads (`LATENT_FINDINGS`), and the view of the first (`PART_VIEWS`).

    tasks: two-class tasks that may stand for CD4 and CD8 T cells, the first of each dataset does; None: those whose
    labels are all of the T branch.
    """
    finder, records, view, start = Finder(config, panel, files, tasks), list[Found](), None, time.perf_counter()
    for file in files.operators[: config.discovery.finding_draws]:
        operator, name = read_operator(file, finder.parts.genes), Path(file).stem
        fits = list(finder.fit(operator, name, arm))
        heads = [fit.head for fit in fits if fit.head is not None]
        latents, cells = finder.latents(operator, heads), finder.t_cells(operator, heads)
        for index, fit in enumerate(fits):
            about = {"operator": fit.operator, "arm": fit.arm, "draw": fit.draw, "seed": fit.seed}
            found = finder.rows(latents[index], cells[index]) if fit.head else finder.rows({}, {})
            records += [about | _capped(row, fit.head, config) for row in found]
            if view is None and fit.head:
                view = finder.view(latents[index]).assign(arm=fit.arm)
        log.info("%s: %d heads, %.1f s", name, len(fits), time.perf_counter() - start)
    named = {"run": config.run, "panel": panel, "head": HEAD}
    frame = pd.DataFrame(records, columns=[c for c in LATENT_FINDINGS.names if c not in (*named, "width")])
    write_table(frame.assign(**named, width=config.adaptor.width)[LATENT_FINDINGS.names], findings, LATENT_FINDINGS)
    shown = PART_VIEWS.empty_table().to_pandas() if view is None else view.assign(**named)[PART_VIEWS.names]
    write_table(shown, views, PART_VIEWS)

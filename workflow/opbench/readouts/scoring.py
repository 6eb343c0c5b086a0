"""From a method's output to typed score rows: one per donor and endpoint, whatever happened."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from opbench.config.benchmark import Campaign, Endpoints
from opbench.io.seeds import derive_seed
from opbench.methods.interface import Output
from opbench.readouts import endpoints as ep
from opbench.readouts.logistic import MAX_ITERATIONS, Labels
from opbench.readouts.panel_data import PanelData
from opbench.readouts.probes import Part, Probed, probe_dense, probe_shared
from opbench.readouts.pseudotime import DiffusionPseudotime, null_correlations, spearman, within_lineage

#: A donor needs this many distinct depths for a rank correlation with depth to mean anything.
MIN_DEPTHS = 3
PSEUDOTIME = ("pseudotime_spearman", "pseudotime_spearman_abs", "pseudotime_within_lineage")
NULLS = tuple(f"pseudotime_null_{kind}_{what}" for kind in ("permuted", "random", "cells") for what in ("mean", "q95"))
DEPTH = "depth_ridge_spearman"


@dataclass(frozen=True)
class Score:
    """One value of one endpoint on one donor; `status` is ok, cap, not_applicable, failed or oom."""

    donor: str
    endpoint: str
    value: float
    n: int
    status: str
    reason: str = ""


@dataclass(frozen=True)
class SplitTruth:
    """What the readouts know of a split: row positions, test donors and their root cells."""

    train: np.ndarray
    test: np.ndarray
    donors: tuple[str, ...]
    roots: dict[str, str]


class Scorer:
    """Scores outputs on one campaign; remembers diffusion pseudotimes by content."""

    def __init__(self, panel: PanelData, campaign: Campaign, endpoints: Endpoints, draws: int) -> None:
        self.panel, self.campaign, self.settings, self.draws = panel, campaign, endpoints, draws
        self.diffusion = DiffusionPseudotime(endpoints.neighbours)

    def endpoint_names(self) -> list[str]:
        """Every endpoint of this campaign, in table order."""
        names = [f"{task}_{m}" for task in ("branch", "stage") for m in ("balanced_accuracy", "macro_f1")]
        names += [f"{task}_{m}" for task in self.panel.classes.binary for m in ("auroc", "balanced_accuracy")]
        return [*names, *PSEUDOTIME, *(NULLS if self.campaign.pseudotime else ()), DEPTH]

    def unavailable(self, split: SplitTruth, status: str, reason: str) -> list[Score]:
        """Rows for a method that gave nothing on this split."""
        return [Score(d, e, np.nan, 0, status, reason) for d in split.donors for e in self.endpoint_names()]

    def probe(self, outputs: list[Output], splits: list[SplitTruth]) -> list[Probed]:
        """Linear probes of every output on its split, for the tasks that it gives no scores of its own for.

        Representations that are linear in the panel's expression are probed together, in shared passes.
        """
        probed = [Probed({}, None) for _ in outputs]
        shared: dict[tuple[str, ...], list[int]] = {}
        for i, (output, split) in enumerate(zip(outputs, splits, strict=True)):
            tasks = self._tasks(output)
            if output.projection is not None:
                shared.setdefault(tuple(tasks), []).append(i)
            elif output.representation is not None:
                mine = {name: Labels(task.codes[split.train], task.n_classes) for name, task in tasks.items()}
                depth = self._shown_depth(output)
                found = probe_dense(*output.representation, mine, None if depth is None else depth[split.train])
                probed[i] = self._known(found, split)
        for members in shared.values():
            parts = [
                Part(splits[i].train, splits[i].test, _matrix(outputs[i]), outputs[i].correlated) for i in members
            ]  # fmt: skip
            tasks, depth = self._tasks(outputs[members[0]]), self._shown_depth(outputs[members[0]])
            for i, found in zip(members, probe_shared(self.panel.log1p, tasks, depth, parts), strict=True):
                probed[i] = self._known(found, splits[i])
        return probed

    def score(self, output: Output, split: SplitTruth, probed: Probed) -> list[Score]:
        """Score one output, and the probes of its representation, on every test donor of a split."""
        scores = probed.scores | output.scores
        depth = output.depth if output.depth is not None else probed.depth
        donor_of = self.panel.obs["donor"].to_numpy()[split.test]
        rows: list[Score] = []
        for donor in split.donors:
            mine = np.flatnonzero(donor_of == donor)
            rows += self._multiclass(donor, mine, scores, split)
            rows += self._binary(donor, mine, scores, split)
            rows += self._pseudotime(donor, mine, output, split)
            rows += self._depth(donor, mine, depth, split)
        rows = [_noted(row, output.notes.get(row.donor, "")) for row in rows]
        rows = [_moving(row, probed.unfinished) for row in rows]
        if output.status != "ok":
            rows = [replace(r, status=output.status, reason=output.reason) if r.status == "ok" else r for r in rows]
        return rows

    def _tasks(self, output: Output) -> dict[str, Labels]:
        """Codes of every row of the panel, by task that the output leaves to the probes."""
        panel, classes = self.panel, self.panel.classes
        out = {
            "branch": Labels(panel.branch, len(classes.branches)),
            "stage": Labels(panel.label, len(classes.labels)),
        }
        for name, (positive, negative) in classes.binary.items():
            codes = np.where(np.isin(panel.label, list(positive)), 1, 0)
            out[name] = Labels(np.where(codes | np.isin(panel.label, list(negative)), codes, -1), 2)
        return {name: task for name, task in out.items() if name not in output.scores}

    def _shown_depth(self, output: Output) -> np.ndarray | None:
        return self.panel.depth if self.campaign.pseudotime and output.depth is None else None

    def _known(self, probed: Probed, split: SplitTruth) -> Probed:
        """Two-class scores as one number; none where the training cells lack a side."""
        label, scores = self.panel.label[split.train], dict(probed.scores)
        for name, sides in self.panel.classes.binary.items():
            if name in scores:
                both = all(np.isin(label, list(side)).any() for side in sides)
                scores[name] = scores[name][:, 1]
                if not both:
                    del scores[name]
        return replace(probed, scores=scores)

    def _multiclass(self, donor: str, mine: np.ndarray, scores: dict, split: SplitTruth) -> list[Score]:
        panel, rows = self.panel, []
        known = np.unique(panel.label[split.train])
        for task, codes, compatible in (
            ("branch", panel.branch, np.eye(len(panel.classes.branches), dtype=bool)),
            ("stage", panel.label, panel.compatible),
        ):
            if task not in scores:
                rows += self._none(donor, [f"{task}_balanced_accuracy", f"{task}_macro_f1"], "no class scores")
                continue
            truth = codes[split.test][mine]
            trained = known if task == "stage" else np.unique(panel.branch[split.train])
            reachable = compatible[:, trained].any(1)[truth]
            lost = sorted({panel.classes.labels[c] for c in panel.label[split.test][mine][~reachable]})
            predicted = scores[task][mine].argmax(1)
            predicted = ep.compatible_prediction(predicted[reachable], truth[reachable], compatible)
            values, n = ep.multiclass(truth[reachable], predicted, self.settings.min_class_cells)
            note = f"not scored, no such training stage: {', '.join(lost)}" if lost else ""
            rows += [self._row(donor, f"{task}_{key}", value, n, note, "one class") for key, value in values.items()]
        return rows

    def _binary(self, donor: str, mine: np.ndarray, scores: dict, split: SplitTruth) -> list[Score]:
        rows = []
        truth = self.panel.label[split.test][mine]
        for name, sides in self.panel.classes.binary.items():
            keys = [f"{name}_auroc", f"{name}_balanced_accuracy"]
            if name not in scores:
                rows += self._none(donor, keys, "the training donors, or a released model, lack a class")
                continue
            positive, negative = (np.isin(truth, list(side)) for side in sides)
            used = positive | negative
            values, n = ep.binary(positive[used], scores[name][mine][used], self.settings.min_class_cells)
            why = f"fewer than {self.settings.min_class_cells} cells in a class"
            rows += [self._row(donor, f"{name}_{key}", value, n, "", why) for key, value in values.items()]
        return rows

    def _pseudotime(self, donor: str, mine: np.ndarray, output: Output, split: SplitTruth) -> list[Score]:
        names = [*PSEUDOTIME, *NULLS] if self.campaign.pseudotime else list(PSEUDOTIME)
        problem = self._depth_problem(mine, split)
        rows = split.test[mine]
        if not problem and donor in output.problems:
            return [Score(donor, name, np.nan, len(mine), "failed", output.problems[donor]) for name in names]
        if not problem and output.pseudotime is not None:
            values, note = output.pseudotime[mine], ""  # the method's own notes say what it left out
        elif not problem and (output.representation is not None or output.projection is not None):
            root = int(np.flatnonzero(self.panel.obs.index[rows] == split.roots[donor])[0])
            found = self.diffusion(self._test_cells(output, rows, mine), root)
            values, note = found.values, found.note
            if found.problem:
                return [Score(donor, name, np.nan, len(mine), "failed", found.problem) for name in names]
        else:
            return self._none(donor, names, problem or "no pseudotime")
        kept = np.isfinite(values)
        rows, values = rows[kept], values[kept]
        depth, n = self.panel.depth[rows], len(rows)
        rho = spearman(values, depth)
        inside = within_lineage(values, depth, self.panel.branch[rows], 2 * self.settings.min_class_cells)
        results = dict(zip(PSEUDOTIME, (rho, abs(rho), inside), strict=True))
        if np.isfinite(rho):
            seed = derive_seed("null", donor, self.campaign.seed)
            results |= null_correlations(values, depth, self.panel.label[rows], self.draws, seed)
        return [self._row(donor, name, results.get(name, np.nan), n, note, "constant values") for name in names]

    def _test_cells(self, output: Output, rows: np.ndarray, mine: np.ndarray) -> np.ndarray:
        """Representation of one donor's test cells, (n, d)."""
        if output.representation is not None:
            return output.representation[1][mine]
        cells, projection = self.panel.log1p[rows], _matrix(output)
        return cells.toarray() if projection is None else cells @ projection

    def _depth(self, donor: str, mine: np.ndarray, depth: np.ndarray | None, split: SplitTruth) -> list[Score]:
        problem = self._depth_problem(mine, split)
        if problem or depth is None:
            return self._none(donor, [DEPTH], problem or "no supervised depth")
        rho = spearman(depth[mine], self.panel.depth[split.test[mine]])
        return [self._row(donor, DEPTH, rho, len(mine), "", "constant values")]

    def _depth_problem(self, mine: np.ndarray, split: SplitTruth) -> str:
        if not self.campaign.pseudotime:
            return "no progenitors in this dataset"
        n_depths = len(np.unique(self.panel.depth[split.test[mine]]))
        return "" if n_depths >= MIN_DEPTHS else f"only {n_depths} distinct depths in this donor"

    def _none(self, donor: str, names: list[str], reason: str) -> list[Score]:
        return [Score(donor, name, np.nan, 0, "not_applicable", reason) for name in names]

    def _row(self, donor: str, endpoint: str, value: float, n: int, note: str, why_nan: str) -> Score:
        if np.isfinite(value):
            return Score(donor, endpoint, float(value), n, "ok", note)
        return Score(donor, endpoint, np.nan, n, "not_applicable", why_nan)


def _matrix(output: Output) -> np.ndarray | None:
    """An output's projection, or None for the identity, which is given as a sparse matrix."""
    return None if sp.issparse(output.projection) else output.projection


def _moving(row: Score, unfinished: frozenset[str]) -> Score:
    """A row whose probe had not converged says so: its value is that of the last pass."""
    mine = row.status == "ok" and any(row.endpoint.startswith(f"{task}_") for task in unfinished)
    return replace(row, status="cap", reason=f"probe not converged in {MAX_ITERATIONS} passes") if mine else row


def _noted(row: Score, note: str) -> Score:
    """A row whose value counts, with the method's remark on the donor."""
    return replace(row, reason="; ".join(filter(None, [note, row.reason]))) if note and row.status == "ok" else row

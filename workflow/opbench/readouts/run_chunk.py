"""Stage: one method on one chunk of splits, to score, cost and latent rows."""

import logging
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config import Config
from opbench.io.tables import COSTS, LATENT, ROOTS, SCORES, SPLITS, read_table, write_table
from opbench.methods import registry
from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.readouts.panel_data import PanelData, open_panel
from opbench.readouts.scoring import Score, Scorer, SplitTruth
from opbench.splits.views import SplitView, chunk_of, rows, split_views

log = logging.getLogger("opbench.run_method")
#: Wider representations are not drawn as a latent.
MAX_LATENT_WIDTH = 50
#: Training cells drawn beside the test cells in the latent view.
LATENT_TRAIN_CELLS = 2000


@dataclass(frozen=True)
class Job:
    """What a run_method job is about; `ontology` is the folder of the stage graph."""

    config: Config
    ontology: Path
    campaign: str
    method: str
    chunk: int


def make_plan(config: Config, campaign: str) -> Plan:
    """Settings that a method's variants are made from in this campaign."""
    chosen = config.campaigns[campaign]
    draws = config.operators.gaussian_draws
    return Plan(
        adaptor=config.adaptor,
        budgets=tuple(chosen.budgets or config.adaptor.budgets),
        gaussian_draws=draws if chosen.gaussian_draws is None else chosen.gaussian_draws,
        gaussian_arm=config.operators.gaussian_arm,
        frozen=chosen.design == "frozen",
        model=config.model.name,
    )


def run_chunk(
    job: Job, panel: str, splits: str, roots: str, features: list[str], scores: str, costs: str, latent: str
) -> None:
    """Run `job.method` on its splits and write its three tables; a failure becomes typed rows."""
    config, campaign = job.config, job.config.campaigns[job.campaign]
    data = open_panel(panel, job.ontology, config.endpoints, campaign, features)
    scorer = Scorer(data, campaign, config.endpoints, config.endpoints.nulls)
    table, root_table = read_table(splits, SPLITS), read_table(roots, ROOTS)
    plan = make_plan(config, job.campaign)
    method, variants, gap = open_method(job.method, plan)
    runner = _Runner(job, data, scorer, method, plan, variants)
    views = chunk_of(split_views(table), job.chunk, campaign.splits_per_job)
    for number, view in enumerate(views, 1):
        train, test = rows(data.obs, view)
        mine = root_table[root_table["split"] == view.index]
        truth = SplitTruth(train, test, view.test_donors, dict(zip(mine["donor"], mine["cell_id"], strict=True)))
        runner.split(view, truth, variants, gap)
        log.info("split %d (%d of %d): donors %s", view.index, number, len(views), ", ".join(view.test_donors))
    write_table(runner.score_table(table), scores, SCORES)
    write_table(runner.cost_table(len(views)), costs, COSTS)
    write_table(runner.latent_table(), latent, LATENT)


@dataclass(frozen=True)
class Gap:
    """Why a method gives nothing: a status and its reason."""

    status: str
    reason: str


def _failure(error: Exception) -> Gap:
    """Status of an exception; PyTorch reports a failed allocation as a RuntimeError."""
    out_of_memory = isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)
    lines = f"{type(error).__name__}: {error}".splitlines()
    return Gap("oom" if out_of_memory else "failed", lines[0][:200])


class _Missing(Method):
    """Stands for a method whose file cannot be imported."""

    def run(self, task: Task, variant: Variant) -> Output:
        """Never called."""
        raise NotImplementedError


def open_method(name: str, plan: Plan) -> tuple[Method, list[Variant], Gap | None]:
    """Load a method and ask for its variants; whatever goes wrong is a gap, so that its rows are typed."""
    method: Method = _Missing()
    try:
        method = registry.load(name)
        reason = method.skip(plan)
        if reason is None:
            return method, method.variants(plan), None
        return method, [Variant()], Gap("not_applicable", reason)
    except Exception as error:
        log.exception("method %s cannot be set up", name)
        return method, [Variant()], _failure(error)


class _Runner:
    def __init__(
        self, job: Job, data: PanelData, scorer: Scorer, method: Method, plan: Plan, variants: list[Variant]
    ) -> None:
        self.job, self.data, self.scorer, self.method, self.plan = job, data, scorer, method, plan
        self.panel_name = job.config.campaigns[job.campaign].panel
        self.records: list[dict] = []
        self.costs = {v: {"fits": 0, "wall_s": 0.0, "cpu_s": 0.0, "parameters": 0, "status": "ok"} for v in variants}
        self.latents: list[pd.DataFrame] = []
        self.display = [v for v in variants if v.draw <= 0]

    def split(self, view: SplitView, truth: SplitTruth, variants: list[Variant], gap: Gap | None) -> None:
        """Run and score every variant on one split; the cells are sliced once."""
        task = None if gap else self._task(view, truth)
        for variant in variants:
            wall, cpu = time.perf_counter(), time.process_time()
            scores = gap if task is None else self._attempt(task, view, truth, variant)
            cost = self.costs[variant]
            if isinstance(scores, Gap):
                cost["status"] = scores.status
                scores = self.scorer.unavailable(truth, scores.status, scores.reason)
            cost["wall_s"] += time.perf_counter() - wall
            cost["cpu_s"] += time.process_time() - cpu
            self.records += [self._record(view, variant, score) for score in scores or []]

    def _attempt(self, task: Task, view: SplitView, truth: SplitTruth, variant: Variant) -> list[Score] | Gap:
        try:
            output = self.method.run(task, variant)
            scores = self.scorer.score(output, truth)
        except Exception as error:
            # A failed method is typed rows and the campaign goes on; the traceback is in the job's log.
            log.exception("method %s failed on split %d", self.job.method, view.index)
            return _failure(error)
        self.costs[variant]["fits"] += output.fits
        self.costs[variant]["parameters"] = output.parameters
        if view.index == 0 and variant in self.display:
            self._keep_latent(output, truth, variant)
        return scores

    def _task(self, view: SplitView, truth: SplitTruth) -> Task:
        train = self.data.cells(truth.train, with_truth=self.method.needs_labels)
        test = self.data.cells(truth.test, with_truth=self.method.reads_test_labels)
        starts = truth.roots if self.method.uses_start_cell else {}
        return Task(train, test, self.data.classes, view.seed, self.plan, starts)

    def _record(self, view: SplitView, variant: Variant, score: Score) -> dict:
        zero_shot = self.plan.frozen and self.method.protocol == "inductive"
        return {
            "run": self.job.config.run,
            "panel": self.panel_name,
            "campaign": self.job.campaign,
            "split": view.index,
            "method": self.job.method,
            "protocol": "zero-shot" if zero_shot else self.method.protocol,
            "model": self.plan.model if self.method.operator_kinds else "",
            "leaking": self.method.protocol == "leaking",
            **variant.__dict__,
            **score.__dict__,
        }

    def score_table(self, splits: pd.DataFrame) -> pd.DataFrame:
        """Score rows joined with each test donor's condition and pre-training overlap."""
        keys = ["split", "donor"]
        test = splits.loc[splits["role"] == "test", [*keys, "condition", "pretraining_overlap"]]
        frame = pd.DataFrame(self.records, columns=[n for n in SCORES.names if n not in test.columns[2:]])
        return frame.merge(test, on=keys, how="left", validate="many_to_one")[SCORES.names]

    def cost_table(self, n_splits: int) -> pd.DataFrame:
        """One row per budget and draw; peak memory is the whole job's."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        common = {
            "run": self.job.config.run, "panel": self.panel_name, "campaign": self.job.campaign,
            "method": self.job.method, "chunk": self.job.chunk, "splits": n_splits, "peak_mb": peak,
        }  # fmt: skip
        rows_ = [common | {"budget": v.budget, "draw": v.draw} | cost for v, cost in self.costs.items()]
        return pd.DataFrame(rows_)[COSTS.names]

    def _keep_latent(self, output: Output, truth: SplitTruth, variant: Variant) -> None:
        if output.representation is None or output.representation[0].shape[1] > MAX_LATENT_WIDTH:
            return
        train, test = output.representation
        centre = train.mean(0)
        axes = np.linalg.svd(train - centre, full_matrices=False)[2][:3]
        step = -(-len(train) // LATENT_TRAIN_CELLS)
        for role, side, positions in (("train", train[::step], truth.train[::step]), ("test", test, truth.test)):
            xyz = np.zeros((len(side), 3))
            xyz[:, : len(axes)] = (side - centre) @ axes.T
            obs = self.data.obs.iloc[positions]
            columns = obs[["donor", "condition", "label", "branch", "depth"]].reset_index(drop=True)
            name = f"{self.job.method} [{variant.budget}]" if variant.budget else self.job.method
            frame = columns.assign(
                panel=self.panel_name, campaign=self.job.campaign, split=0, method=name, role=role,
                cell_id=obs.index.to_numpy(), x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2],
            )  # fmt: skip
            self.latents.append(frame)

    def latent_table(self) -> pd.DataFrame:
        """First three principal axes of the latent on split 0, or an empty table."""
        empty = LATENT.empty_table().to_pandas()
        return pd.concat(self.latents, ignore_index=True)[LATENT.names] if self.latents else empty

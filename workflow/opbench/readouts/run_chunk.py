"""Stage: one method on one chunk of splits, to score, cost and latent rows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opbench.config import Config
from opbench.io.errors import NotApplicable
from opbench.io.store import Store
from opbench.io.tables import COSTS, LATENT, ROOTS, SCORES, SPLITS, read_table, write_table
from opbench.methods import registry
from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.readouts.panel_data import open_panel
from opbench.readouts.runner import Gap, Runner, View
from opbench.readouts.scoring import Scorer, SplitTruth
from opbench.splits.views import chunk_of, rows, split_views

log = logging.getLogger("opbench.run_method")


@dataclass(frozen=True)
class Job:
    """What a run_method job is about; `source` is the digest of the code that its results depend on."""

    config: Config
    campaign: str
    method: str
    chunk: int
    source: str


@dataclass(frozen=True)
class Inputs:
    """Files that a job reads: `ontology` is a folder, `store` that of the run's content-addressed results."""

    panel: str
    splits: str
    roots: str
    ontology: str | Path
    store: str | Path
    features: Sequence[str] = ()
    all_genes: str | None = None


def make_plan(config: Config, campaign: str) -> Plan:
    """Settings that a method's variants are made from in this campaign."""
    chosen = config.campaigns[campaign]
    draws, cap = config.operators.gaussian_draws, chosen.max_epochs
    return Plan(
        adaptor=config.adaptor.model_copy(update={"max_epochs": cap} if cap else {}),
        budgets=tuple(chosen.budgets or config.adaptor.budgets),
        gaussian_draws=draws if chosen.gaussian_draws is None else chosen.gaussian_draws,
        gaussian_arm=config.operators.gaussian_arm,
        frozen=chosen.design == "frozen",
        model=config.model.name,
        baselines=config.baselines,
        device=config.model.device,
        seeds=chosen.seeds,
        controls=dict(config.operators.controls),
    )


def run_chunk(job: Job, inputs: Inputs, scores: str, costs: str, latent: str) -> None:
    """Run `job.method` on its splits and write its three tables; a failure becomes typed rows."""
    config, campaign = job.config, job.config.campaigns[job.campaign]
    data = open_panel(
        inputs.panel, inputs.ontology, config.endpoints, campaign, inputs.features, inputs.all_genes
    )  # fmt: skip
    scorer = Scorer(data, campaign, config.endpoints, config.endpoints.nulls)
    table, roots = read_table(inputs.splits, SPLITS), read_table(inputs.roots, ROOTS)
    views = []
    for view in chunk_of(split_views(table), job.chunk, campaign.splits_per_job):
        mine = roots[roots["split"] == view.index]
        starts = dict(zip(mine["donor"], mine["cell_id"], strict=True))
        views.append(View(view, SplitTruth(*rows(data.obs, view), view.test_donors, starts)))
    plan = make_plan(config, job.campaign)
    method, variants, gap = open_method(job.method, plan, config.method_folders)
    runner = Runner(method, plan.shown_to(method), data, scorer, Store(inputs.store), job.source)
    for number, variant in enumerate(variants, 1):
        runner.run(variant, views, gap)
        log.info("variant %d of %d on %d splits: %s", number, len(variants), len(views), variant)
    about = {"run": config.run, "panel": campaign.panel, "campaign": job.campaign, "method": job.method}
    write_table(runner.score_table(about, table), scores, SCORES)
    write_table(runner.latent_table(about), latent, LATENT)
    write_table(runner.cost_table(about | {"chunk": job.chunk}), costs, COSTS)


class _Missing(Method):
    """Stands for a method whose file cannot be imported."""

    def run(self, task: Task, variant: Variant) -> Output:
        """Never called."""
        raise NotImplementedError


def open_method(name: str, plan: Plan, folders: Sequence[str] = ()) -> tuple[Method, list[Variant], Gap | None]:
    """Load a method and ask for its variants; whatever goes wrong is a gap, so that its rows are typed."""
    method: Method = _Missing()
    try:
        method = registry.load(name, folders)
        plan = plan.shown_to(method)
        reason = method.skip(plan)
        if reason is None:
            return method, method.variants(plan), None
        return method, [Variant()], Gap("not_applicable", reason)
    except NotApplicable as error:
        return method, [Variant()], Gap("not_applicable", str(error))
    except Exception as error:
        log.exception("method %s cannot be set up", name)
        return method, [Variant()], Gap.of(error)

"""`opbench check`: before a run, say what it would do, show and cost, and everything that would stop it."""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from opbench.check.cost import Work, stage_costs
from opbench.check.cost_discovery import discovery_costs
from opbench.check.cost_geometry import geometry_costs
from opbench.check.cost_methods import method_costs, previous_costs
from opbench.check.cost_sweeps import sweep_costs
from opbench.check.data import describe_dataset
from opbench.check.discovery import check_discovery
from opbench.check.donors import check_endpoint_labels, describe_campaigns
from opbench.check.endpoints import describe_endpoints
from opbench.check.findings import Findings
from opbench.check.genes import describe_panel
from opbench.check.jobs import read_dry_runs, start_dry_runs
from opbench.check.knowledge import check_names, describe_knowledge, geometry_symbols
from opbench.check.machine import total_costs
from opbench.check.model import describe_model
from opbench.check.operators import operator_files
from opbench.check.power import previous_spread
from opbench.check.references import idle_controls, reference_problems
from opbench.check.report import Report, write_report
from opbench.check.settings import Arms, campaign_arms, competitors, read_settings
from opbench.check.text import render
from opbench.config import Config
from opbench.io.errors import InputError
from opbench.io.jobs import check_writable
from opbench.io.locate import HOME, locate
from opbench.panels.ontology import Ontology

Key, Value = TypeVar("Key"), TypeVar("Value")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--configfile", nargs="+", default=["config/config.yaml"], metavar="YAML", help="the run")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="jobs at once, for time and memory")
    parser.add_argument("--no-jobs", action="store_true", help="do not ask Snakemake for the jobs")
    parser.add_argument("--digest", action="store_true", help="check the sha256 of large files too")
    parser.add_argument("--json", metavar="FILE", help="write the same as JSON")


def run(options: argparse.Namespace) -> int:
    """Check, print, and return 0 or, when something would stop the run, 1."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="anndata")
    report = check(options.configfile, max(1, options.cores), not options.no_jobs, options.digest)
    print(render(report), end="")
    if options.json:
        try:
            write_report(report, options.json)
        except OSError as error:
            raise InputError(f"--json: '{options.json}' cannot be written ({error.strerror}); correct it.") from error
    return report.status


def check(configs: list[str], cores: int, with_jobs: bool = True, digest: bool = False) -> Report:
    """Check a configuration from the working folder in which the run would start."""
    configs = [path if Path(path).exists() else str(_beside_workflow(path)) for path in configs]
    findings = Findings()
    report = Report(configs, findings)
    report.config = config = read_settings(configs, findings)
    if config is None:
        return report
    started = start_dry_runs(configs, cores) if with_jobs else []
    report.arms = campaign_arms(config, findings)
    for sentence in reference_problems(config):
        findings.problem(sentence)
    for sentence in idle_controls(config, report.arms):
        findings.warn(sentence)
    folder = Path("results") / config.run
    _files(report, config, digest)
    _donors(report, config, folder)
    _costs(report, config, folder, cores)
    if started:
        report.jobs = read_dry_runs(started)
        if report.jobs.error and not findings.problems:
            named = " and ".join(configs)
            findings.problem(f"{named}: Snakemake refuses it ({report.jobs.error}); correct what it names.")
    return report


def _beside_workflow(path: str) -> Path:
    """The shipped configurations are found from any working folder."""
    return HOME / path if (HOME / path).exists() else Path(path)


def _files(report: Report, config: Config, digest: bool) -> None:
    findings = report.findings
    ontology = None
    if (folder := findings.attempt(locate, config.ontology, True)) is not None:
        ontology = findings.attempt(Ontology.read, folder)
    report.model = describe_model(config, findings)
    vocabulary = report.model.vocabulary if report.model else None
    for name, dataset in config.datasets.items():
        report.datasets[name] = describe_dataset(name, config, ontology, digest, findings)
        if dataset.library_is_partial:
            findings.warn(
                f"datasets.{name}: holds only some genes (library_is_partial), so its counts per 10,000 are not those "
                "of whole cells."
            )
    for name, panel in config.panels.items():
        needed = {*panel.datasets, *filter(None, [panel.genes.corpus])}
        if all(report.datasets[key].genes for key in needed):
            report.panels[name] = describe_panel(name, config, report.datasets, vocabulary, findings)
    corpus = report.datasets[config.model.corpus]
    held = len(corpus.role("corpus"))
    if corpus.cells is not None and held < config.operators.cells:
        findings.problem(
            f"operators.cells: is {config.operators.cells} but the corpus of '{corpus.name}' has {held} cells; lower "
            f"it or widen datasets.{corpus.name}.corpus."
        )
    report.knowledge = describe_knowledge(config, vocabulary, findings)
    # A model that the run trains may know fewer than the corpus holds.
    shared = set(corpus.genes) & vocabulary if corpus.genes and vocabulary else corpus.genes or vocabulary or ()
    check_names(config, report.knowledge, shared, findings)


def _donors(report: Report, config: Config, folder: Path) -> None:
    findings = report.findings
    report.anchors = check_discovery(config, report.datasets, findings)
    endpoints = check_endpoint_labels(config, report.datasets, findings)
    if (ontology := locate(config.ontology)) is not None:
        report.campaigns = describe_campaigns(config, endpoints, report.datasets, ontology, findings)
    for name, facts in report.campaigns.items():
        labels = {(item.method, variant.budget) for item in report.arms[name] for variant in item.variants}
        facts.pairs = len(labels) * (len(labels) - 1) // 2
    path = folder / "tables" / "scores.parquet"
    measured = _earlier(previous_spread, path, findings)
    report.endpoints = describe_endpoints(
        config, report.campaigns, competitors(report.arms), measured, str(path), findings
    )


def _earlier(read: Callable[[Path], dict[Key, Value]], path: Path, findings: Findings) -> dict[Key, Value]:
    """What an earlier run measured; nothing when there is none, or, with a warning, when its table is unreadable."""
    try:
        return read(path) if path.is_file() else {}
    except InputError as error:
        findings.warn(str(error))
        return {}


def _costs(report: Report, config: Config, folder: Path, cores: int) -> None:
    report.findings.attempt(check_writable, folder)
    campaigns = {
        name: facts for name, facts in report.campaigns.items() if config.campaigns[name].panel in report.panels
    }
    read = {
        "embedded": _panels_of(report, config, lambda item: "embedding" in item.operator_kinds),
        "whole": _panels_of(report, config, lambda item: item.needs_all_genes)
        | set(config.discovery.panels if config.discovery.manifold.interactions else ()),
    }
    operators = operator_files(config, report.arms)
    work = Work(config, report.datasets, report.panels, report.model, campaigns, operators, **read)
    named = geometry_symbols(config, report.knowledge)
    path = folder / "tables" / "costs.parquet"
    previous = _earlier(previous_costs, path, report.findings)
    report.costs = [
        *stage_costs(work), *sweep_costs(work), *discovery_costs(work), *geometry_costs(work, named),
        *method_costs(work, report.arms, previous, str(path)),
    ]  # fmt: skip
    complete = len(campaigns) == len(config.campaigns) and report.model is not None
    report.totals = total_costs(report.costs, cores, folder, complete, report.findings)


def _panels_of(report: Report, config: Config, asks: Callable[[Arms], bool]) -> set[str]:
    """Panels with a campaign that runs a method which asks for something."""
    return {config.campaigns[name].panel for name, found in report.arms.items() if any(map(asks, found))}

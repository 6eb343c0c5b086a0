"""Everything that was found, and its JSON form."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from opbench.check.cost import Cost
from opbench.check.data import Facts
from opbench.check.donors import CampaignFacts
from opbench.check.endpoints import EndpointFacts
from opbench.check.findings import Findings
from opbench.check.genes import PanelFacts, gene_ids
from opbench.check.jobs import Jobs
from opbench.check.knowledge import KnowledgeFacts
from opbench.check.machine import Totals
from opbench.check.model import ModelFacts
from opbench.check.settings import Arms
from opbench.config import Config
from opbench.io.atomic import write_text


@dataclass
class Report:
    """What a check found; parts that could not be read stay empty."""

    files: list[str]
    findings: Findings
    config: Config | None = None
    arms: dict[str, list[Arms]] = field(default_factory=dict)
    datasets: dict[str, Facts] = field(default_factory=dict)
    panels: dict[str, PanelFacts] = field(default_factory=dict)
    model: ModelFacts | None = None
    knowledge: dict[str, KnowledgeFacts] = field(default_factory=dict)
    campaigns: dict[str, CampaignFacts] = field(default_factory=dict)
    anchors: dict[str, dict[str, int]] = field(default_factory=dict)
    endpoints: list[EndpointFacts] = field(default_factory=list)
    jobs: Jobs | None = None
    costs: list[Cost] = field(default_factory=list)
    totals: Totals | None = None

    @property
    def status(self) -> int:
        """Exit status: 1 when something would stop the run."""
        return 1 if self.findings.problems else 0


def dataset_record(facts: Facts, config: Config) -> dict[str, Any]:
    """A dataset in plain values; cells by role, donors that are benchmarked, and labels that drop their cells."""
    dataset = config.datasets[facts.name]
    record: dict[str, Any] = {
        "file": facts.file,
        "state": facts.state,
        "counts": dataset.counts,
        "layout": asdict(facts.layout) if facts.layout else None,
        "gene_ids": gene_ids(facts.genes),
        "gene_notes": facts.gene_notes,
        "sha256": facts.digest,
        "library_is_partial": dataset.library_is_partial,
    }
    if facts.cells is None:
        return record
    evaluation = facts.role("evaluation")
    dropped = facts.cells.loc[facts.cells["unmapped"], "label"].value_counts().sort_index()
    return record | {
        "cells": {role: int((facts.cells["role"] == role).sum()) for role in ("evaluation", "corpus", "dropped")},
        "dropped_labels": {str(label): int(n) for label, n in dropped.items()},
        "donors": int(evaluation["donor"].nunique()),
        "corpus_donors": int(facts.role("corpus")["donor"].nunique()),
        "labels": int(evaluation["label"].nunique()),
    }


def as_record(report: Report) -> dict[str, Any]:
    """The whole report in plain values."""
    out: dict[str, Any] = {
        "files": report.files,
        "valid": report.config is not None,
        "problems": report.findings.problems,
        "warnings": report.findings.warnings,
    }
    if (config := report.config) is None:
        return out
    model = report.model
    return out | {
        "run": config.run,
        "methods": {
            campaign: {item.method: item.reason or f"{len(item.variants)} variants" for item in found}
            for campaign, found in report.arms.items()
        },
        "datasets": {name: dataset_record(facts, config) for name, facts in report.datasets.items()},
        "panels": {name: asdict(panel) for name, panel in report.panels.items()},
        "model": model
        and {k: v for k, v in asdict(model).items() if k != "vocabulary"}
        | {"genes": model.vocabulary and len(model.vocabulary)},
        "knowledge": {
            name: {
                "kind": table.kind,
                "file": table.file,
                "rows": table.rows,
                "symbols": len(table.symbols),
                "known": table.known,
            }
            for name, table in report.knowledge.items()
        },
        "campaigns": {
            name: {"splits": facts.splits, "testable_donors": facts.eligible}
            for name, facts in report.campaigns.items()
        },
        "anchors": report.anchors,
        "endpoints": [asdict(row) for row in report.endpoints],
        "jobs": report.jobs and asdict(report.jobs),
        "costs": [asdict(cost) for cost in report.costs],
        "totals": report.totals and asdict(report.totals),
    }


def write_report(report: Report, path: str | Path) -> None:
    """Write the JSON form."""
    write_text(json.dumps(_finite(as_record(report)), indent=1, default=str) + "\n", path)


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

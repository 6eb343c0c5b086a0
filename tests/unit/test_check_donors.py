"""Donors that an endpoint counts before the run are those that the run scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from check_cohort import ROOT, edited, put, write_cohort

from opbench.check.data import describe_dataset
from opbench.check.donors import CampaignFacts, check_endpoint_labels, describe_campaigns
from opbench.check.endpoints import describe_endpoints
from opbench.check.findings import Findings
from opbench.config import Config, parse_config
from opbench.io.tables import SCORED, SCORES, read_table
from opbench.panels.build import build_panel
from opbench.panels.cells import select_cells
from opbench.panels.genes import select_genes
from opbench.panels.ontology import Ontology
from opbench.readouts.roots import find_roots
from opbench.readouts.run_chunk import Inputs, Job, run_chunk
from opbench.splits.draw import write_splits
from opbench.statistics.family import is_null

ONTOLOGY = ROOT / "resources" / "ontology"
TASKS = {
    "t_vs_ctl": {"positive": {"mine": ["CTL"]}, "negative": {"mine": ["T"]}},
    "pdc_vs_cdc": {"positive": {"mine": ["pDC"]}, "negative": {"mine": ["cDC"]}},
}
DESIGNS = {
    "leave_one_donor_out": {"splits": 6, "min_cells": 50, "never_tested": ["D02", "D05", "D09"]},
    "grouped": {"splits": 3, "test_donors": 2, "min_cells": 50},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("donors")
    write_cohort(folder)
    (folder / "genes.txt").write_text("".join(f"G{gene:04d}\n" for gene in range(1, 31)))
    return folder


def configuration(folder: Path, design: str) -> Config:
    """The cohort under a design, with a rare two-class endpoint."""
    campaign = {"panel": "mine", "design": design, "train": "mine", "test": "mine"} | DESIGNS[design]
    genes = {"kind": "file", "file": str(folder / "genes.txt")}
    dataset = {"path": str(folder / "cells.h5ad"), "labels": str(folder / "labels.tsv")}
    return parse_config(
        edited(put("campaigns.lodo", campaign), put("endpoints.binary", TASKS), put("panels.mine.genes", genes),
               lambda raw: raw["datasets"]["mine"].update(dataset))
    )  # fmt: skip


def before(config: Config) -> tuple[CampaignFacts, Findings]:
    """What the check says."""
    findings = Findings()
    facts = {"mine": describe_dataset("mine", config, Ontology.read(ONTOLOGY), False, findings)}
    endpoints = check_endpoint_labels(config, facts, findings)
    return describe_campaigns(config, endpoints, facts, ONTOLOGY, findings)["lodo"], findings


def scored(config: Config, folder: Path) -> pd.DataFrame:
    """The valid scores that the run gives for one method, stage by stage."""
    dataset, panel, campaign = config.datasets["mine"], config.panels["mine"], config.campaigns["lodo"]
    out = {
        name: folder / name for name in ("cells", "genes", "panel.h5ad", "splits", "roots", "scores", "costs", "latent")
    }
    source = (str(dataset.path), dataset, out["cells"])
    select_cells("mine", str(dataset.path), dataset, ONTOLOGY, out["cells"])
    select_genes("mine", panel, {"mine": source}, None, out["genes"])
    build_panel("mine", panel, {"mine": source}, out["genes"], out["panel.h5ad"])
    write_splits(config.run, "mine", "lodo", campaign, out["panel.h5ad"], None, out["splits"])
    find_roots(str(out["panel.h5ad"]), str(out["splits"]), ONTOLOGY, config.endpoints, campaign, str(out["roots"]))
    files = [str(out[name]) for name in ("panel.h5ad", "splits", "roots")]
    results = [str(out[name]) for name in ("scores", "costs", "latent")]
    run_chunk(Job(config, "lodo", "pca10", 0, ""), Inputs(*files, ONTOLOGY, folder / "store"), *results)
    scores = read_table(out["scores"], SCORES)
    return scores[scores["status"].isin(SCORED) & np.isfinite(scores["value"])]


@pytest.mark.parametrize("design", DESIGNS)
def test_donors_are_those_that_the_run_scores(design, folder):
    config = configuration(folder, design)
    said, findings = before(config)
    found = scored(config, folder).groupby("endpoint")["donor"].unique()
    assert {key: donors for key, donors in said.scored.items() if donors} == {
        endpoint: sorted(donors) for endpoint, donors in found.items() if not is_null(str(endpoint))
    }
    # The comparison means something: the endpoints do not all have the same donors.
    assert len({len(donors) for donors in said.scored.values()}) > 1
    assert findings == Findings()


def test_an_endpoint_with_few_donors_is_descriptive_and_named(folder):
    config = configuration(folder, "leave_one_donor_out")
    config = config.model_copy(update={"endpoints": config.endpoints.model_copy(update={"min_donors": 6})})
    said, findings = before(config)
    few = {key for key, donors in said.scored.items() if 0 < len(donors) < 6}
    assert few
    rows = describe_endpoints(config, {"lodo": said}, {"lodo": {"a": "", "b": ""}}, {}, "", findings)
    by_name = {row.endpoint: row for row in rows}
    assert {key for key in few if by_name[key].role == "verdict"} == set()
    verdict = [row for row in rows if row.role == "verdict"]
    assert {row.family for row in verdict} == {len(verdict)}  # one pair
    assert all(key in findings.warnings[0] for key in few)
    healthy = {donor for donor, condition in said.conditions.items() if condition == "healthy"}
    assert by_name["stage_macro_f1"].healthy == len(healthy & set(said.eligible)) == 3

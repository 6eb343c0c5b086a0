"""The command: exit status, JSON, Snakemake's jobs, and estimates that follow a measured run."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from check_cohort import ROOT, edited, put, write_cohort, write_config

from opbench.check import jobs
from opbench.check.command import check
from opbench.check.cost import Work
from opbench.check.cost_methods import method_costs
from opbench.check.cost_sweeps import _Planned
from opbench.check.data import Facts
from opbench.check.donors import CampaignFacts
from opbench.check.findings import Findings
from opbench.check.genes import PanelFacts
from opbench.check.settings import Arms, campaign_arms
from opbench.check.text import duration, render, size, table
from opbench.cli import main
from opbench.config import load_config
from opbench.io.tables import COSTS, write_table
from opbench.methods.interface import Variant

STATS = """Building DAG of jobs...
Job stats:
job            count
-----------  -------
old                9
total              9

Job stats:
job            count
-----------  -------
select_cells       2
run_method       54
total             56

Reasons:
    (check individual jobs above for details)
    run_method   1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPBENCH_DATA", raising=False)
    write_cohort(tmp_path)
    return tmp_path


def test_the_last_job_table_counts():
    assert jobs.job_table(STATS) == {"select_cells": 2, "run_method": 54}
    assert jobs.job_table("Nothing to be done (all requested files are present and up to date).") == {}


def test_a_refusal_of_snakemake_is_a_problem(folder, monkeypatch):
    def refuse(*_):
        command = ["sh", "-c", "echo WorkflowError in file x; echo something is wrong.; exit 1"]
        return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)]

    monkeypatch.setattr("opbench.check.command.start_dry_runs", refuse)
    report = check([write_config(folder, edited())], 2)
    assert report.status == 1
    assert "something is wrong" in report.findings.problems[0]


#: A battery and a sweep beside the cohort's campaign, each with draws of its own.
BATTERY = {
    "panel": "mine", "design": "folds", "train": "mine", "test": "mine", "splits": 3, "min_cells": 50,
    "splits_per_job": 2, "gaussian_draws": 3,
    "methods": ["extracted_head", "gaussian_head", "control_head", "operator_probe", "lookup_head"],
}  # fmt: skip
CONTROLS = {"shuffle": 2, "uniform": 1, "random_model": 2, "label_lookup": 1, "gram": 1}
SWEEPS = {
    "panels": ["mine"], "conventions": ["embedding"], "single_heads": ["L0H0"], "arms": ["gaussian", "uniform"],
}  # fmt: skip
KNOWLEDGE = {
    "sets": {"path": "resources/simulated/sets.gmt", "kind": "gmt", "source": "made up", "licence": "none"},
    "pairs": {"path": "resources/simulated/interactions.csv", "kind": "interactions", "source": "made up",
              "licence": "none"},
}  # fmt: skip
CHAIN = {
    "panels": {"mine": {"internal": "mine", "campaign": "battery"}}, "compaction": {"gene_sets": ["sets"]},
    "manifold": {"interactions": "pairs"},
}  # fmt: skip


def test_estimates_count_the_jobs_that_snakemake_plans_and_json_holds_it_all(folder, capsys):
    out = folder / "check.json"
    raw = edited(put("operators.single_heads", ["L0H1"]), put("campaigns.lodo.splits_per_job", 4),
                 put("methods", ["pca10", "raw_log1p", "gaussian_head"]), put("operators.gaussian_draws", 5),
                 put("campaigns.lodo.gaussian_draws", 2), put("campaigns.battery", BATTERY),
                 put("operators.controls", CONTROLS), put("sweeps", SWEEPS), put("knowledge", KNOWLEDGE),
                 put("discovery", CHAIN), put("geometry", {"spaces": ["model", "coexpression"]}))  # fmt: skip
    assert main(["check", "--configfile", write_config(folder, raw), "--cores", "2", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    planned, counted = record["jobs"]["whole"], {cost["rule"]: cost["jobs"] for cost in record["costs"]}
    assert sum(planned.values()) - 1 == sum(counted.values())  # the target itself is a job without work
    assert {rule: n for rule, n in counted.items() if rule in planned and planned[rule] != n} == {}
    assert record["anchors"]["mine"].keys() == {"internal", "external"}
    assert {"score_gates", "compact_operators", "map_interactions", "analyse_geometry"} <= set(planned)
    # The drift, two heads, five draws for the sweep and seven controls; of these the drift and three draws projected.
    assert (counted["export_operator"], counted["project_cells"]) == (15, 4)
    assert {"sweep_heads", "build_anchors", "accumulate_convention", "export_convention", "repeat_embedding",
            "measure_operators", "accumulate_random_attention"} <= set(counted)  # fmt: skip
    assert planned["run_method"] == 9 + 10  # 3 methods, 3 chunks; 5 methods, 2 chunks
    assert record["jobs"]["left"] == record["jobs"]["whole"]
    assert record["datasets"]["mine"]["cells"] == {"evaluation": 630, "corpus": 120, "dropped": 0}
    assert record["totals"]["wall"] > 0
    text = capsys.readouterr().out
    assert "630 benchmarked cells of 9 donors" in text
    assert not (folder / "results").exists()


def test_what_a_chain_cannot_judge_or_find_is_warned_of(folder):
    gone = {"edges": {"path": "nowhere.tsv", "kind": "trrust", "source": "made up", "licence": "none"}}
    wrong = KNOWLEDGE | {"sets": KNOWLEDGE["sets"] | {"sha256": "0" * 64}}
    controls = {"shuffle": 2, "label_lookup": 1}
    raw = edited(put("campaigns.battery", BATTERY | {"gaussian_draws": 2}), put("operators.controls", controls),
                 put("operators.gaussian_draws", 2), put("knowledge", wrong | gone), put("discovery", CHAIN),
                 put("evidence", {"min_draws": 3}))  # fmt: skip
    report = check([write_config(folder, raw)], 2, with_jobs=False)
    said = " ".join(report.findings.warnings)
    absent, few = (one.split(" have ")[0] for one in said.split("discovery.arms: ")[1:])
    assert "uniform" in absent.split(", ")
    assert "shuffle" not in absent
    assert {"gaussian", "shuffle"} <= set(few.split(", "))
    assert "knowledge.edges: 'nowhere.tsv' is neither in $OPBENCH_KNOWLEDGE" in said
    assert any("sha256" in problem for problem in report.findings.problems)


def test_a_simulated_dataset_is_told_from_its_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = check(["config/config.yaml"], 2, with_jobs=False)
    assert report.status == 0
    assert len(report.datasets["cohort"].role("corpus")) == 6 * 500
    assert report.campaigns["lodo"].eligible == [f"D{i:02d}" for i in range(1, 13)]
    assert "simulated in the run" in render(report)


def test_costs_of_an_earlier_run_are_taken(folder):
    path = write_config(folder, edited())
    guess = {cost.rule: cost for cost in check([path], 2, with_jobs=False).costs}["run_method lodo"]
    row = {"run": "small", "panel": "mine", "campaign": "lodo", "method": "raw_log1p", "arm": "", "budget": "",
           "draw": -1, "chunk": 0, "splits": 3, "fits": 0, "probes": 9, "reused": 3, "wall_s": 200.0,
           "saved_s": 100.0, "cpu_s": 200.0, "gpu_s": 0.0, "peak_mb": 9000.0, "parameters": 0,
           "status": "ok"}  # fmt: skip
    write_table(pd.DataFrame([row]), "results/small/tables/costs.parquet", COSTS)
    report = check([path], 2, with_jobs=False)
    taken = {cost.rule: cost for cost in report.costs}["run_method lodo"]
    assert taken.memory_mb == 9000
    assert taken.seconds == pytest.approx(900, rel=0.05)  # 100 s for each of 9 splits
    assert guess.seconds < 60
    assert "costs.parquet" in taken.basis


#: Methods of the run that was measured.
MEASURED = [
    "chance", "extracted_head", "gaussian_head", "leaking_head", "oracle", "pca10", "random_projection", "svd10",
]  # fmt: skip


def test_marrow_is_estimated_to_a_factor_of_two():
    """Sizes of the marrow run and the seconds that its methods took, from its costs table."""
    config = load_config(ROOT / "config/marrow.yaml").model_copy(update={"methods": MEASURED})
    config = config.model_copy(update={"campaigns": {
        # Blood was measured at the paper's budget alone.
        name: campaign.model_copy(update={"methods": None, "budgets": ["fixed"] if name == "kang_lodo" else None})
        for name, campaign in config.campaigns.items()
    }})  # fmt: skip
    sizes = {"marrow_lodo": (14, 3777, 1439, 14), "kang_lodo": (8, 10728, 783, 8), "kang_frozen": (1, 4039, 1451, 8)}
    measured = {"marrow_lodo": 718, "kang_lodo": 81, "kang_frozen": 74}
    campaigns = {
        name: CampaignFacts(name, splits, [], train=train, fitted=fitted, tested=tested)
        for name, (splits, train, fitted, tested) in sizes.items()
    }
    cells = {"vangalen": 4039, "kang": 12261}
    facts = {
        name: Facts(name, "present", cells=pd.DataFrame({"role": ["evaluation"] * n})) for name, n in cells.items()
    }
    panels = {
        "marrow": PanelFacts("marrow", "hvg", 1200, 4039, 54, 62, {}),
        "shared": PanelFacts("shared", "shared", 1232, 16300, 330, 368, {}),
    }
    work = Work(config, facts, panels, None, campaigns, {})
    found = method_costs(work, campaign_arms(config, Findings()), {}, "")
    for cost in found:
        seconds = cost.seconds - 2.7 * cost.jobs  # the table leaves out the start of a job
        assert 0.5 < seconds / measured[cost.rule.split()[1]] < 2, cost


def marrow_battery() -> Work:
    """Sizes of the battery on the marrow panel."""
    config = load_config(ROOT / "config/marrow.yaml", ROOT / "config/marrow_evidence.yaml")
    campaigns = {"evidence": CampaignFacts("evidence", 5, [f"D{i}" for i in range(14)], train=3200, fitted=1200,
                                           tested=14)}  # fmt: skip
    cells = pd.DataFrame({"role": ["evaluation"] * 4039})
    panels = {"marrow": PanelFacts("marrow", "hvg", 1200, 4039, 54, 62, {})}
    return Work(config, {"vangalen": Facts("vangalen", "present", cells=cells)}, panels, None, campaigns, {})


@pytest.mark.parametrize(
    ("arm", "measured"), [("drift", 97), ("coexpression", 132), ("gaussian", 454), ("conventions", 164)]
)
def test_sweeps_are_estimated_to_a_factor_of_two(arm, measured):
    """Seconds of the marrow run, with its 158 anchors."""
    assert 0.5 < _Planned(marrow_battery(), "marrow", arm, 158).estimate() / measured < 2


def test_a_battery_is_estimated_to_a_factor_of_two_and_says_from_what():
    """Seconds and megabytes of one split in the marrow run."""
    work = marrow_battery()
    arms = campaign_arms(work.config, Findings())["evidence"]
    measured = {"extracted_head": (63, 840), "gaussian_head": (135, 1550), "lookup_head": (108, 720),
                "raw_log1p": (1.3, 445)}  # fmt: skip
    for item in arms:
        (cost,) = method_costs(work, {"evidence": [item]}, {}, "")
        if item.method in measured:
            seconds, memory = measured[item.method]
            assert 0.5 < (cost.seconds / 5 - 2.7) / seconds < 2, cost
            assert 0.6 < cost.memory_mb / memory < 1.7, cost
        assert "not measured" not in cost.basis
        assert ("operator_probe as the sweeps'" in cost.basis) == (item.method == "operator_probe")


def test_a_campaign_holds_the_draws_that_it_asks_for_and_a_method_of_ones_own_is_not_measured():
    work = marrow_battery()
    arms = {"evidence": [Arms("gaussian_head", "inductive", ("gaussian",), [Variant(budget="fixed")]),
                         Arms("mine", "inductive", (), [Variant()])]}  # fmt: skip
    fewer = work.config.campaigns["evidence"].model_copy(update={"gaussian_draws": 2})
    less = replace(work, config=work.config.model_copy(update={"campaigns": {"evidence": fewer}}))
    (many,), (few,) = (method_costs(each, arms, {}, "") for each in (work, less))
    assert many.memory_mb - few.memory_mb == pytest.approx(18 * 8e-6 * 1200 * 4039)
    assert "mine not measured, taken as raw_log1p" in many.basis


def test_text_is_aligned_and_sizes_are_readable():
    lines = table(("rule", "jobs"), [("a", 5), ("select", 120)])
    assert lines == ["  rule    jobs", "  a          5", "  select   120"]
    assert [duration(s) for s in (44.6, 780, 9000)] == ["45 s", "13 min", "2.5 h"]
    assert [size(mb) for mb in (0.2, 850, 1234)] == ["< 1 MB", "850 MB", "1.2 GB"]

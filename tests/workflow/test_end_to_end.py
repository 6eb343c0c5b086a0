"""The whole path on a tiny simulated cohort: tables, figures, report, golden numbers, and what re-runs."""

import copy
import json
import re
import shutil
import zipfile
from pathlib import Path

import anndata
import pandas as pd
import pytest
import yaml
from checkout import ROOT, TINY

from opbench.io import tables as t

GOLDEN = Path(__file__).with_name("golden_summary.tsv")
#: Chaotic training amplifies the last bits of a BLAS, so heads get room; the rest is nearly exact.
TOLERANCE = {"extracted_head": 0.12, "gaussian_head": 0.12, "leaking_head": 0.12}
CONTRACTS = {
    "scores": t.SCORES, "comparisons": t.COMPARISONS, "costs": t.COSTS, "splits": t.SPLITS,
    "leakage": t.LEAKAGE, "panels": t.PANELS, "summary": t.SUMMARY, "nulls": t.NULLS, "ratio": t.RATIO,
    "evidence": t.EVIDENCE, "claims": t.CLAIMS, "operator_facts": t.OPERATOR_FACTS,
    "embedding_repeat": t.EMBEDDING_REPEAT, "sweeps": t.SWEEPS, "parts": t.PARTS, "part_overlap": t.PART_OVERLAP,
    "gates": t.GATES, "hybrids": t.HYBRIDS, "heads": t.HEADS, "latent_findings": t.LATENT_FINDINGS,
    "part_views": t.PART_VIEWS, "manifold2": t.MANIFOLD2, "compaction": t.COMPACTION, "factors": t.FACTORS,
    "programs": t.PROGRAMS, "enrichment": t.ENRICHMENT, "geometry": t.GEOMETRY,
    "geometry_claims": t.GEOMETRY_CLAIMS,
}  # fmt: skip


def read(run, name: str) -> pd.DataFrame:
    return t.read_table(run.results / "tables" / f"{name}.parquet", CONTRACTS[name])


def rules_to_run(done) -> set[str]:
    """Rules in the table of planned jobs of a dry run."""
    assert done.returncode == 0, done.stderr[-2000:]
    planned = re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.M)
    return set(planned) - {"total", "all", "default"}


def test_every_table_keeps_its_contract_and_has_a_tsv(run):
    for name in CONTRACTS:
        assert len(read(run, name)), name
        assert (run.results / "tables" / f"{name}.tsv").stat().st_size > 0


def test_every_method_has_a_row_for_every_split_and_donor(run):
    scores = read(run, "scores")
    donors = read(run, "splits").query("role == 'test'")
    for campaign, part in donors.groupby("campaign"):
        wanted = set(zip(part["split"], part["donor"], strict=True))
        for method, rows in scores[scores["campaign"] == campaign].groupby("method"):
            assert set(zip(rows["split"], rows["donor"], strict=True)) == wanted, (campaign, method)


def test_a_failing_method_is_typed_rows_and_the_run_goes_on(run):
    for method, reason in (
        ("broken", "ValueError: planted failure"),
        ("unloadable", "ModuleNotFoundError: No module named 'not_installed'"),
    ):
        scores = read(run, "scores")
        rows = scores[scores["method"] == method]
        assert set(rows["status"]) == {"failed"}
        assert set(rows["reason"]) == {reason}
        assert rows["value"].isna().all()


#: Signed pseudotime may truly run backwards, and 8 donors of 120 cells leave few T and DC to tell apart.
MAY_FALL_BELOW_CHANCE = ("pseudotime_", "t_vs_ctl_", "mono_vs_dc_")
#: What every new score passes through.
SUMMARIES = (
    "collect_scores", "collect_costs", "measure_ratio", "audit_leakage", "compare_methods", "summarise_scores",
    "judge_arms", "evaluate_claims", "draw_figure", "write_landing", "write_provenance",
)  # fmt: skip
FLOORS = ("floor_", "majority_class")


def test_oracle_and_chance_bracket_every_endpoint(run):
    means = read(run, "summary").query("subset == 'all' and campaign == 'lodo'")
    means = means.pivot_table(index="endpoint", columns="method", values="mean")
    shown = means[~means.index.str.contains("null")].drop(columns=["broken", "unloadable"], errors="ignore")
    assert len(shown) >= 10
    others = shown.drop(columns=["oracle", "chance"])
    assert (shown["oracle"] > 0.999).all()
    assert (others.max(axis=1) < shown["oracle"]).all()
    learnt = others.drop(columns=[name for name in others if name.startswith(FLOORS)])
    held = learnt[~learnt.index.str.startswith(MAY_FALL_BELOW_CHANCE)]
    assert (held.min(axis=1) > shown.loc[held.index, "chance"]).all()


def test_budgets_are_two_trainings(run):
    """A fixed budget and a plateau must not silently be one."""
    scores = read(run, "scores").query("method == 'extracted_head' and endpoint == 'depth_ridge_spearman'")
    wide = scores.query("campaign == 'lodo'").pivot_table(index="donor", columns="budget", values="value")
    assert (wide["fixed"] - wide["plateau"]).abs().max() > 1e-4


def test_random_arms_and_grouped_design_carry_no_verdict(run):
    verdict = read(run, "comparisons").query("family == 'verdict'")
    assert len(verdict)
    assert set(verdict["campaign"]) == {"lodo"}
    named = verdict["method_a"] + verdict["method_b"]
    assert not named.str.contains("gaussian_head|random_projection|leaking_head|oracle|chance").any()
    assert read(run, "comparisons").query("family != 'verdict' and unit == 'donor'")["q"].isna().all()


def test_donors_never_leak_except_where_it_says_so(run):
    leakage = read(run, "leakage")
    honest = leakage[~leakage["leaking"]]
    assert (honest["shared_donors"] == 0).all()
    assert (honest["shared_cells"] == 0).all()
    assert set(leakage.loc[leakage["leaking"], "method"]) == {"leaking_head"}
    assert set(read(run, "scores").query("leaking")["protocol"]) == {"leaking"}


def test_no_part_shares_a_cell_with_the_internal_one(run):
    shared = read(run, "part_overlap")
    assert set(shared["part_a"]) | set(shared["part_b"]) == {"internal", "external", "control"}
    assert (shared.loc[shared["part_a"] == "internal", "shared_cells"] == 0).all()


def test_every_claim_of_the_chain_has_a_value_or_says_what_is_missing(run):
    claims = read(run, "claims")
    chain = claims[claims["claim"].isin([*range(5, 13), *range(19, 26), *range(33, 43)])]
    assert set(chain["claim"]) == {*range(5, 13), *range(19, 26), *range(33, 43)}
    told = chain["value"].notna() | ((chain["analogue"] == "not_testable") & (chain["analogue_reason"] != ""))
    assert told.all()
    # No zero-shot part, no L2H5 and no rank 64 in so small a run, and four of nine analyses of the geometry.
    assert chain["value"].notna().mean() > 0.4


def test_the_standalone_algorithm_annotates_the_cohort(run, tmp_path):
    out = tmp_path / "annotated.h5ad"
    command = ["apply", str(run.results / "artifact" / "tiny.safetensors")]
    cohort = run.results / "simulate_cohort" / "cohort.h5ad"
    done = run.opbench(*command, str(cohort), "-o", str(out))
    assert done.returncode == 0, done.stderr
    annotated = anndata.read_h5ad(out)
    truth = annotated.obs["cell_type"].astype(str)
    assert annotated.obsm["X_opbench"].shape[0] == len(truth)
    assert (annotated.obs["opbench_label"].astype(str) == truth).mean() > 0.2  # 15 types, and many cells that trained


def test_golden_numbers(run):
    found = read(run, "summary").query("subset == 'all' and not endpoint.str.contains('null')")
    keys = ["campaign", "endpoint", "method"]
    found = found[[*keys, "n_donors", "mean"]].query("method not in ['broken', 'unloadable']").sort_values(keys)
    golden = pd.read_csv(GOLDEN, sep="\t")
    found = found[found["campaign"].isin(golden["campaign"])]
    both = golden.merge(found, on=keys, suffixes=("_golden", ""), how="outer", indicator=True)
    assert (both["_merge"] == "both").all(), both[both["_merge"] != "both"]
    assert (both["n_donors"] == both["n_donors_golden"]).all()
    room = both["method"].str.split(" ").str[0].map(TOLERANCE).fillna(0.03)
    off = both[(both["mean"] - both["mean_golden"]).abs() > room]
    assert off.empty, off.to_string()


def test_figures_have_pictures_and_sources(run):
    pictures = sorted((run.results / "figures").glob("*.png"))
    assert len(pictures) >= 10
    for picture in pictures:
        assert picture.stat().st_size > 5000
        assert picture.with_suffix(".svg").stat().st_size > 1000
        assert picture.with_suffix(".pdf").stat().st_size > 1000
        # An analysis of the geometry that has no table here is a note that says so.
        assert len(pd.read_csv(picture.with_suffix(".csv"))) or picture.name.startswith("geometry_")


def test_report_holds_landing_page_and_figures(run):
    with zipfile.ZipFile(run.results / "report.zip") as archive:
        text = "".join(archive.read(n).decode(errors="ignore") for n in archive.namelist() if not n.endswith(".png"))
        # Not hidden once it is unpacked.
        assert "report/report.html" in archive.namelist()
    assert "nano-tiny" in text
    assert "paired_donors" in text


def test_provenance_says_what_made_the_run(run):
    record = json.loads((run.results / "provenance.json").read_text())
    assert record["run"] == "tiny"
    assert len(record["model"]["digest"]) == 64
    assert record["seeds"]["datasets.cohort.simulate.seed"] == 2
    assert "scores.parquet" in record["tables"]


def test_running_again_or_touching_files_runs_nothing(run):
    for path in run.folder.glob("workflow/**/*.py"):
        path.touch()
    done = run.snakemake("--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("edited", "runs", "spares"),
    [
        ("statistics/compare.py", {"compare_methods", "draw_figure"}, {"run_method", "summarise_scores"}),
        ("adaptors/losses.py", {"run_method", "collect_scores"}, {"pretrain_nano", "draw_splits"}),
        ("figures/cost_per_method.py", {"draw_figure"}, {"collect_costs", "write_landing"}),
    ],
)
def test_an_edit_re_runs_what_uses_the_module_and_no_other(run, edited, runs, spares):
    path = run.folder / "workflow/opbench" / edited
    before = path.read_text()
    path.write_text(before + "\n# edited\n")
    try:
        planned = rules_to_run(run.snakemake("--dry-run"))
    finally:
        path.write_text(before)
    assert runs <= planned
    assert not spares & planned


def test_editing_a_method_re_runs_its_jobs_only(run):
    path = run.folder / "workflow/opbench/methods/plugins/pca10.py"
    before = path.read_text()
    path.write_text(before + "\n# edited\n")
    try:
        done = run.snakemake("--dry-run")
    finally:
        path.write_text(before)
    methods = set(re.findall(r"(?:lodo|grouped): (\w+), chunk", done.stdout + done.stderr))
    assert methods == {"pca10"}


def test_a_user_s_method_runs_its_own_jobs_and_the_summaries(run, tmp_path):
    """The worked example of docs/add-a-baseline.md, put into a folder of the user's, on a finished run."""
    mine = copy.copy(run)
    mine.folder = tmp_path / "checkout"
    mine.results = mine.folder / run.results.relative_to(run.folder)
    shutil.copytree(run.folder, mine.folder, symlinks=True)
    (mine.folder / "my_methods").mkdir()
    shutil.copy(ROOT / "docs/examples/nearest_centroid.py", mine.folder / "my_methods")
    settings = yaml.safe_load(TINY.read_text())
    settings["method_folders"] = ["my_methods"]
    settings["methods"] = [*sorted(set(read(run, "scores").query("campaign == 'lodo'")["method"])), "nearest_centroid"]
    (mine.folder / "mine.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    planned = mine.snakemake("--dry-run", config="mine.yaml")
    assert rules_to_run(planned) <= {"run_method", *SUMMARIES}
    assert set(re.findall(r"(?:lodo|grouped): (\w+), chunk", planned.stdout + planned.stderr)) == {"nearest_centroid"}
    done = mine.snakemake("tables", config="mine.yaml")
    assert done.returncode == 0, done.stderr[-2000:]
    found = read(mine, "scores").query("method == 'nearest_centroid'")
    assert (found.query("endpoint == 'stage_balanced_accuracy'")["value"] > 0.3).all()


def test_from_scratch_the_tables_are_identical(run, tmp_path):
    """Everything but the clock: the same inputs give the same bits."""
    shutil.copytree(run.results / "tables", tmp_path / "first")
    shutil.rmtree(run.results / "store")  # or all would be read back
    done = run.snakemake("tables", "--forceall", "--quiet", "all")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in set(CONTRACTS) - {"costs", "ratio"}:
        first = t.read_table(tmp_path / "first" / f"{name}.parquet", CONTRACTS[name])
        pd.testing.assert_frame_equal(read(run, name), first, check_exact=True)


def test_default_target_of_the_configured_file_needs_its_data(run):
    done = run.snakemake("--dry-run", config=str(run.folder / "config/marrow.yaml"))
    assert done.returncode != 0
    assert "set OPBENCH_DATA to the folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr

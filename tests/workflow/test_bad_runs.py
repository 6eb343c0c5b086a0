"""Bad input met by a whole run: one sentence, no traceback, nothing half done."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from checkout import TINY, Checkout

#: A file name that a shell would act on, with what Snakemake and Python format.
ODD = "my cells; touch hacked; 'a' \"b\" $(touch hacked).h5ad"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("bad"))


def configured(checkout: Checkout, name: str, **sections: object) -> str:
    """A configuration file with top-level sections replaced; without chain and geometry, which name them."""
    path, without = checkout.folder / f"{name}.yaml", {"run": name, "discovery": {}, "geometry": {}}
    path.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | without | sections))
    return str(path)


def on_file(path: str | Path) -> dict:
    """The tiny dataset, read from a file."""
    filters = {"evaluation": "role == 'evaluation'", "corpus": "role == 'corpus'"}
    columns = {"condition": None, "tissue": None}
    return {"cohort": {"path": str(path), "labels": "resources/labels/simulated.tsv", "columns": columns} | filters}


def stops_with(done: subprocess.CompletedProcess, *words: str) -> None:
    """The run failed, and said why without a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == 1, said[-2000:]
    assert [word for word in words if word not in said] == [], said[-3000:]
    assert "Traceback" not in said


def test_a_misspelt_key_names_the_nearest(checkout):
    config = configured(checkout, "typo", operator={"cells": 100})
    stops_with(checkout.snakemake(config=config), "operator is no known key", "'operators'")


def test_a_key_given_twice_is_refused(checkout):
    path = checkout.folder / "twice.yaml"
    path.write_text(TINY.read_text() + "run: again\n")
    stops_with(checkout.snakemake(config=str(path)), "twice.yaml", "key 'run' is given twice")


def test_missing_data_stops_before_any_job(checkout):
    config = configured(checkout, "missing", datasets=on_file("nowhere.h5ad"))
    stops_with(checkout.snakemake(config=config), "nowhere.h5ad", "OPBENCH_DATA")


def test_a_run_without_battery_has_no_evidence_and_says_what_to_add(checkout):
    campaigns = {name: yaml.safe_load(TINY.read_text())["campaigns"][name] for name in ("lodo", "grouped")}
    config = configured(checkout, "plain", campaigns=campaigns)
    runs = {"evidence": config, "evidence_full": configured(checkout, "folds")}
    said = {name: checkout.snakemake(name, "--dry-run", config=run) for name, run in runs.items()}
    assert {name: done.returncode for name, done in said.items()} == {"evidence": 1, "evidence_full": 1}
    # Snakemake adds to what an input function raises where it was raised.
    assert "run 'plain': none names 'control_head' in its methods" in said["evidence"].stdout
    assert "config/marrow_evidence.yaml" in said["evidence"].stdout
    assert "run 'folds': no campaign with 'control_head' leaves one donor out" in said["evidence_full"].stdout
    assert "as the last file" in said["evidence_full"].stdout


def test_a_run_without_chain_or_geometry_says_what_to_add(checkout):
    config = configured(checkout, "bare")
    for target, section, file in (
        ("discovery", "discovery.panels", "config/marrow_discovery.yaml"),
        ("geometry", "geometry.spaces", "config/marrow_geometry.yaml"),
    ):
        done = checkout.snakemake(target, "--dry-run", config=config)
        assert done.returncode == 1
        assert f"{section} of run 'bare'" in done.stdout
        assert file in done.stdout


def test_results_that_cannot_be_written_stop_before_any_job(checkout):
    (checkout.folder / "results").write_text("in the way")
    try:
        stops_with(checkout.snakemake(), "results", "is a file where the results folder")
    finally:
        (checkout.folder / "results").unlink()


def test_a_truncated_file_stops_the_first_job(checkout, run):
    whole = (run.results / "simulate_cohort/cohort.h5ad").read_bytes()
    (checkout.folder / "half.h5ad").write_bytes(whole[: len(whole) // 2])
    done = checkout.snakemake(config=configured(checkout, "half", datasets=on_file("half.h5ad")))
    stops_with(done, "opbench: half.h5ad")
    assert not (checkout.folder / "results/half/select_cells/cohort.parquet").exists()


def test_a_bad_checkpoint_is_one_sentence(checkout, run):
    folder = checkout.folder / "my model"
    shutil.copytree(run.results / "pretrain_nano", folder)
    (folder / "best_model.pt").write_bytes(b"no weights")
    model = {"name": "bad", "checkpoint": str(folder), "corpus": "cohort"}
    data = on_file(run.results / "simulate_cohort/cohort.h5ad")
    config = configured(checkout, "model", model=model, datasets=data)
    done = checkout.snakemake("results/model/describe_model/model.json", config=config)
    stops_with(done, "best_model.pt")


def test_odd_file_names_reach_no_shell(checkout, run):
    shutil.copy(run.results / "simulate_cohort/cohort.h5ad", checkout.folder / ODD)
    config = configured(checkout, "odd", datasets=on_file(ODD))
    done = checkout.snakemake("results/odd/build_panel/tiny.h5ad", config=config)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (checkout.folder / "results/odd/build_panel/tiny.h5ad").exists()
    assert not list(checkout.folder.rglob("hacked"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_stops_with_a_sentence_and_the_run_resumes(checkout):
    results = checkout.folder / "results" / "tiny"
    results.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(results)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        target = "results/tiny/project_cells/tiny/drift.npy"
        stops_with(checkout.snakemake(target), "the disk is full")
        assert not (checkout.folder / target).exists()
        assert not list(results.rglob(".partial-*"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(results)], check=True)
        done = checkout.snakemake(target)
        assert done.returncode == 0, done.stderr[-2000:]
    finally:
        subprocess.run(["umount", str(results)], check=True)

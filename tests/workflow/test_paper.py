"""config/paper.yaml: its DAG without any file, and a piece of it on stand-ins; downloads as rules."""

import hashlib
import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from checkout import ROOT, Checkout

from opbench.cli import main
from opbench.config import load_config
from opbench.io import tables as t

PAPER = ROOT / "config" / "paper.yaml"
FETCHES = {"fetch_dataset": 4, "fetch_checkpoint": 3}


def planned(done) -> dict[str, int]:
    """Jobs per rule of a dry run."""
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("paper"), PAPER)


@pytest.fixture(scope="module")
def standins(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("standins") / "data"
    assert main(["stand-ins", str(folder), "--configfile", str(PAPER), "--cells-per-donor", "110"]) == 0
    return folder


def test_without_files_the_plan_downloads_them_and_is_the_one_that_the_documentation_shows(checkout):
    jobs = planned(checkout.snakemake("--dry-run"))
    assert {rule: jobs[rule] for rule in FETCHES} == FETCHES
    text = (ROOT / "docs" / "paper.md").read_text()
    shown = {rule: int(n) for rule, n in re.findall(r"^\| (\w+) \| (\d+) \|", text, re.M)}
    assert shown == jobs, "copy the table of the dry run to docs/paper.md"


def test_with_files_nothing_is_downloaded(checkout, standins):
    jobs = planned(checkout.snakemake("--dry-run", OPBENCH_DATA=str(standins)))
    assert not set(FETCHES) & set(jobs)
    assert jobs["run_method"] > 100


def test_an_incomplete_checkpoint_folder_is_downloaded_whole(checkout, tmp_path):
    (tmp_path / "scGPT_human").mkdir()
    (tmp_path / "scGPT_human" / "args.json").write_text("{}")
    assert planned(checkout.snakemake("--dry-run", OPBENCH_DATA=str(tmp_path)))["fetch_checkpoint"] == 3


def test_cells_panels_splits_and_a_method_are_made_from_stand_ins(checkout, standins):
    config = load_config(PAPER)
    files = [f"select_cells/{name}.parquet" for name in config.datasets]
    files += [f"build_panel/{name}.h5ad" for name in config.panels]
    files += [f"draw_splits/{name}.parquet" for name in config.campaigns]
    files += [f"run_method/{name}_frozen/pca10/0.scores.parquet" for name in ("lung", "bone_marrow")]
    done = checkout.snakemake(*(f"results/paper/{name}" for name in files), OPBENCH_DATA=str(standins))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in config.datasets:
        cells = t.read_table(checkout.results / f"select_cells/{name}.parquet", t.CELLS)
        roles = cells.groupby("role")["donor"].unique().apply(set)
        assert "corpus" not in roles or not roles["corpus"] & roles["evaluation"]
        assert cells.query("role == 'dropped'")["stages"].eq("").all()
    for name, campaign in config.campaigns.items():
        splits = t.read_table(checkout.results / f"draw_splits/{name}.parquet", t.SPLITS)
        tested = set(splits.query("role == 'test'")["donor"])
        assert splits["split"].nunique() == campaign.splits
        assert not campaign.tested or tested == set(campaign.tested)
        for _, split in splits.groupby("split"):
            assert not split["donor"].duplicated().any()
    scores = t.read_table(checkout.results / "run_method/bone_marrow_frozen/pca10/0.scores.parquet", t.SCORES)
    scored = scores[scores["status"] == "ok"]
    assert {"cd4_vs_cd8_auroc", "mono_vs_macro_auroc", "stage_balanced_accuracy"} <= set(scored["endpoint"])
    assert set(scored["donor"]) == set(config.campaigns["bone_marrow_frozen"].tested)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path):
    """A folder that is served on the loopback, and its address."""
    handler = partial(Silent, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def own_config(folder: Path, **dataset: str) -> str:
    raw = yaml.safe_load((ROOT / "config/own_data.yaml").read_text())
    raw["datasets"]["mine"] |= {"path": "cells.h5ad", "labels": "resources/labels/kang.tsv", **dataset}
    raw["model"]["checkpoint"] = "resources/nano_marrow"
    (folder / "own.yaml").write_text(yaml.safe_dump(raw))
    return str(folder / "own.yaml")


def test_a_dataset_is_downloaded_checked_and_written_down(checkout, served):
    folder, address = served
    (folder / "cells").write_bytes(b"cells")
    digest = hashlib.sha256(b"cells").hexdigest()
    config = own_config(folder, url=f"{address}/cells", sha256=digest)
    target = checkout.folder / "resources/downloads/cells.h5ad"
    done = checkout.snakemake("resources/downloads/cells.h5ad", config=config)
    assert done.returncode == 0, done.stderr[-2000:]
    assert target.read_bytes() == b"cells"
    assert json.loads(target.with_name("cells.h5ad.json").read_text())["sha256"] == digest


def test_what_cannot_be_downloaded_stops_with_a_sentence(checkout, served):
    folder, address = served
    config = own_config(folder, url=f"{address}/absent", sha256="0" * 64)
    done = checkout.snakemake("resources/downloads/cells.h5ad", "--forcerun", "fetch_dataset", config=config)
    assert done.returncode != 0
    assert re.search(r"opbench: datasets\.mine\.url: \S+/absent cannot be downloaded .HTTP 404", done.stderr)
    assert "Traceback" not in done.stderr
    done = checkout.snakemake("--dry-run", config=own_config(folder))
    assert done.returncode != 0
    assert "'cells.h5ad' is neither in $OPBENCH_DATA nor in the working folder; set" in done.stdout + done.stderr

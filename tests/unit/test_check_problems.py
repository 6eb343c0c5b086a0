"""What would fail later is told before: every problem in one sentence, all of them at once, exit status 1."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import anndata.io
import h5py
import pytest
import torch
from check_cohort import edited, put, write_cohort, write_config

from opbench.cli import main
from opbench.models.checkpoint import read_checkpoint, write_checkpoint

Harm = Callable[[Path], object]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder)
    return folder


@pytest.fixture
def check(cohort, tmp_path, monkeypatch, capsys):
    """Check a copy of the cohort after harm, without asking Snakemake; returns (status, text)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPBENCH_DATA", raising=False)

    def run(raw: dict, harm: Harm | None = None) -> tuple[int, str]:
        shutil.copytree(cohort, tmp_path, dirs_exist_ok=True)
        if harm:
            harm(tmp_path)
        status = main(["check", "--configfile", write_config(tmp_path, raw), "--cores", "2", "--no-jobs"])
        return status, capsys.readouterr().out

    return run


def cells(change: Callable[[anndata.AnnData], object]) -> Harm:
    """Rewrite cells.h5ad after a change."""

    def harm(folder: Path) -> None:
        adata = anndata.read_h5ad(folder / "cells.h5ad")
        adata = change(adata) or adata
        adata.write_h5ad(folder / "cells.h5ad")

    return harm


def lines(name: str, change: Callable[[str], str]) -> Harm:
    """Rewrite a text file."""
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def tensors(change: Callable[[dict], object]) -> Harm:
    """Rewrite the weights after a change."""

    def harm(folder: Path) -> None:
        held = read_checkpoint(folder / "model")
        state = {name: tensor.clone() for name, tensor in held.state.items()}
        change(state)
        write_checkpoint(folder / "model", held.args, held.vocab, state)

    return harm


def cut(name: str) -> Harm:
    """Truncate a file."""
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def shorter(table: str) -> Harm:
    """Take the last row of `obs` or `var` away, but not from the counts."""

    def harm(folder: Path) -> None:
        with h5py.File(folder / "cells.h5ad", "r+") as file:
            frame = anndata.io.read_elem(file[table]).iloc[:-1]
            del file[table]
            anndata.io.write_elem(file, table, frame)

    return harm


def twice(adata: anndata.AnnData) -> None:
    adata.obs_names = [adata.obs_names[1], *adata.obs_names[1:]]


def fraction(adata: anndata.AnnData) -> None:
    adata.X = adata.X * 0.5


def genes(kind: str, text: str = "", **more: object) -> tuple[dict, Harm]:
    raw = edited(put("panels.mine.genes", {"kind": kind, "file": "genes.txt", "corpus": "mine"} | more))
    return raw, lambda folder: (folder / "genes.txt").write_text(text)


OUT = "transformer_encoder.layers.0.self_attn.out_proj.weight"
ENDPOINT = "endpoints.binary.t_vs_ctl.positive"
PROBLEMS: dict[str, tuple[dict, Harm | None, tuple[str, ...]]] = {
    "a misspelt key": (edited(put("operators.cell", 9)), None, ("run.yaml", "operators.cell", "'cells'")),
    "no file": (edited(), lambda f: (f / "cells.h5ad").unlink(), ("datasets.mine.path", "cells.h5ad", "OPBENCH_DATA")),
    "a truncated file": (edited(), cut("cells.h5ad"), ("cells.h5ad", "readable")),
    "a wrong digest": (edited(put("datasets.mine.sha256", "0" * 64)), None, ("cells.h5ad", "sha256")),
    "no such matrix": (edited(put("datasets.mine.counts", "layers/raw")), None, ("cells.h5ad", "layers/raw")),
    "values that are no counts": (edited(), cells(fraction), ("cells.h5ad", "count")),
    "cells without counts": (edited(), shorter("obs"), ("cells.h5ad", "X has 750 cells", "'obs' has 749")),
    "genes without counts": (edited(), shorter("var"), ("cells.h5ad", "X has 120 genes", "'var' has 119")),
    "no donor column": (edited(put("datasets.mine.columns", {"donor": "doner"})), None, ("'doner'", "'donor'")),
    "no gene column": (edited(put("datasets.mine.columns", {"gene": "name"})), None, ("cells.h5ad", "'name'")),
    "a filter that does not work": (edited(put("datasets.mine.evaluation", "roll == 1")), None, ("roll", "evaluation")),
    "both filters": (edited(put("datasets.mine.evaluation", None)), None, ("120 cells", "evaluation", "corpus")),
    "repeated cell ids": (edited(), cells(twice), ("cells.h5ad", "occurs twice")),
    "one donor": (edited(put("datasets.mine.evaluation", "donor == 'D01'")), None, ("1 donor", "at least 2")),
    "no label map": (edited(put("datasets.mine.labels", "map.tsv")), None, ("'map.tsv'",)),
    "an unmapped label": (edited(), lines("labels.tsv", lambda t: t.replace("Plasma\tPlasma\n", "")), ("'Plasma'",)),
    "an unknown stage": (edited(), lines("labels.tsv", lambda t: t.replace("\tNK", "\tNKK")), ("labels.tsv", "'NKK'")),
    "no ontology": (edited(put("ontology", "graph")), None, ("'graph'",)),
    "a label of no cell": (edited(put(ENDPOINT, {"mine": ["CTLs"]})), None, (f"{ENDPOINT}.mine", "'CTLs'", "'CTL'")),
    "an unknown donor": (edited(put("campaigns.lodo.never_tested", ["D99"])), None, ("never_tested", "'D99'")),
    "a wrong number of splits": (
        edited(put("campaigns.lodo.splits", 8)),
        None,
        ("campaigns.lodo", "'splits' is 8", "9"),
    ),
    "donors that are too small": (edited(put("campaigns.lodo.min_cells", 999)), None, ("min_cells", "999")),
    "too small a corpus": (edited(put("operators.cells", 121)), None, ("operators.cells", "121", "120 cells")),
    "an unknown method": (edited(put("methods", ["pca11"])), None, ("methods", "'pca11'")),
    "no checkpoint": (edited(put("model.checkpoint", "modell")), None, ("model.checkpoint", "'modell'")),
    "no weights": (edited(), lambda f: (f / "model" / "best_model.pt").unlink(), ("model", "no weight file")),
    "a truncated weight file": (edited(), cut("model/best_model.pt"), ("best_model.pt", "fetch it again")),
    "a missing tensor": (edited(), tensors(lambda s: s.pop(OUT)), ("best_model.pt", "lacks", OUT)),
    "an extra tensor": (edited(), tensors(lambda s: s.update(more=torch.zeros(2))), ("best_model.pt", "more")),
    "a mis-shaped tensor": (edited(), tensors(lambda s: s.update({OUT: torch.zeros(3, 3)})), (OUT, "(3, 3)", "(8, 8)")),
    "a large id": (edited(), lines("model/vocab.json", lambda t: t.replace(": 7,", ": 7777,")), ("vocab.json", "7777")),
    "a head outside": (edited(put("operators.single_heads", ["L3H0"])), None, ("single_heads", "'L3H0'", "3 layers")),
    "a swept head outside": (
        edited(put("sweeps", {"single_heads": ["L0H2"]})),
        None,
        ("sweeps.single_heads", "'L0H2'", "2 heads"),
    ),
    "a swept head that is none": (
        edited(put("sweeps", {"single_heads": ["0-2"]})),
        None,
        ("sweeps.single_heads", "'0-2'"),
    ),
    "no claims file": (edited(put("claims", {"file": "claim.yaml"})), None, ("claims.file", "'claim.yaml'")),
    "an unknown role": (edited(put("claims", {"analogues": {"cd4": ["t_vs_ctl"]}})), None, ("analogues", "'cd4'")),
    "an unknown control": (edited(put("evidence", {"trivial": ["floor"]})), None, ("evidence.trivial", "'floor'")),
    "a head that is none": (edited(put("operators.single_heads", ["3-0"])), None, ("single_heads", "'3-0'")),
    "more genes than there are": (edited(put("panels.mine.genes.n", 300)), None, ("panels.mine.genes.n", "300", "120")),
    "an unknown gene": (*genes("file", "G0001\nG0002\nG9999\n"), ("genes.txt", "'G9999'")),
    "a repeated gene": (*genes("file", "G0001\nG0001\n"), ("genes.txt", "'G0001'", "twice")),
    "no gene list": (genes("file")[0], None, ("genes.txt", "readable")),
    "genes that the file lacks": (
        edited(put("panels.mine.genes", {"kind": "file", "file": "genes.txt"})),
        lambda f: (
            cells(lambda adata: adata[:, :2].copy())(f),
            (f / "genes.txt").write_text("".join(f"G{i:04d}\n" for i in range(1, 21))),
        ),
        ("cells.h5ad", "10%", "panels.mine.min_present"),
    ),
    "results that cannot be written": (edited(), lambda f: (f / "results").write_text(""), ("results",)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_one_sentence_and_stops(name, check):
    raw, harm, parts = PROBLEMS[name]
    status, text = check(raw, harm)
    assert status == 1
    found = [line for line in text.split("Would fail")[-1].splitlines() if line.startswith("  - ")]
    assert any(all(part in line for part in parts) for line in found), text
    assert all(line.endswith((".", "?")) and "Traceback" not in line for line in found)


def test_the_cohort_itself_has_no_problem(check):
    status, text = check(edited())
    assert (status, "Would fail" in text) == (0, False)


def test_all_problems_are_told_at_once(check):
    raw = edited(put("campaigns.lodo.splits", 8), put("operators.single_heads", ["L9H9"]), put("operators.cells", 999),
                 put(ENDPOINT, {"mine": ["nobody"]}))  # fmt: skip
    status, text = check(raw, tensors(lambda s: s.pop(OUT)))
    assert status == 1
    for part in ("'splits' is 8", "'L9H9'", "operators.cells", "'nobody'", OUT, "5 problems"):
        assert part in text
    # What can be told in spite of them is told: the right number of splits among it.
    assert "9 splits, 9 testable donors" in text


@pytest.mark.parametrize("text", ["run: [small", "- run\n", ""])
def test_a_configuration_that_is_none_stops(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(text)
    assert main(["check", "--configfile", "run.yaml"]) == 1
    assert "run.yaml" in capsys.readouterr().out.split("Would fail")[1]


def test_a_gpu_that_is_not_there_is_a_problem(check, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, text = check(edited(put("model.device", "cuda")))
    assert status == 1
    assert "model.device" in text.split("Would fail")[1]


def test_too_little_disk_is_a_problem_and_too_little_memory_a_warning(check, monkeypatch):
    from opbench.check import machine

    disk = shutil.disk_usage("/")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: disk._replace(free=2_000_000))
    monkeypatch.setattr(machine, "machine_memory_mb", lambda: 100.0)
    status, text = check(edited())
    warned, failed = text.split("Warnings")[1].split("Would fail")
    assert status == 1
    assert "GB are free" in failed
    assert "--cores" in warned


@pytest.mark.parametrize(
    ("changes", "harm", "part"),
    [
        ([put("endpoints.min_donors", 10)], None, "fewer than 10 donors"),
        ([put("datasets.mine.library_is_partial", True)], None, "library_is_partial"),
        ([put("operators.controls", {"shuffle": 2})], None, "name control_head"),
        ([], lambda f: (f / "model" / "recipe.json").unlink(), "overlap"),
        ([put("endpoints.min_donors", 5), put("campaigns.lodo.splits", 5),
          put("campaigns.lodo.tested", ["D01", "D02", "D03", "D04", "D05"])], None, "cannot be reached"),
        ([put("datasets.mine.path", "none.h5ad"), put("datasets.mine.url", "https://example.org/none.h5ad"),
          put("datasets.mine.sha256", "0" * 64)], None, "will be downloaded"),
    ],
)  # fmt: skip
def test_a_warning_does_not_stop(changes, harm, part, check):
    status, text = check(edited(*changes), harm)
    assert status == 0, text
    assert part in text.split("Warnings")[1]

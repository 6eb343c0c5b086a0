"""CellTypist, trained and released: decision scores, what speaks for what, and what is never loaded."""

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from pydantic import ValidationError
from scipy.special import expit

from opbench.config.baselines import Baselines
from opbench.config.model import Adaptor
from opbench.io.errors import InputError, NotApplicable
from opbench.io.seeds import derive_seed
from opbench.io.store import Store
from opbench.methods import celltypist_model as ct
from opbench.methods import registry
from opbench.methods.interface import Cells, Classes, Plan, Task, Variant
from opbench.methods.type_scores import Speakers, map_types, read_types, task_scores
from opbench.panels.ontology import Ontology, read_labels

ROOT = Path(__file__).parents[2]
GRAPH = Ontology.read(ROOT / "resources/ontology")
BRANCH_OF = dict(zip(GRAPH.stages, GRAPH.branches, strict=True))
LABELS = ("d:Mono", "d:NK", "d:T", "d:CTL")
STAGES = (
    frozenset({"Cl_Mono", "NC_Mono"}), frozenset({"NK"}), frozenset({"Naive_CD4", "Naive_CD8"}),
    frozenset({"Memory_CD8"}),
)  # fmt: skip
BRANCH = np.array([0, 1, 2, 2])
TYPES = np.array(["Classical monocytes", "NK cells", "Naive T", "Temra"])
GENES = tuple(f"g{i}" for i in range(40))


CLASSES = Classes(
    LABELS, ("mono_dc", "nk_ilc", "t"), np.zeros((4, 4)), {"ctl": (frozenset({3}), frozenset({2}))}, STAGES, BRANCH_OF
)


def expression(label: np.ndarray, seed: int) -> sp.csr_matrix:
    rates = np.exp(np.random.default_rng(0).normal(0, 1, (4, len(GENES))))
    counts = np.random.default_rng(seed).poisson(5 * rates[label])
    return sp.csr_matrix(np.log1p(1e4 * counts / counts.sum(1, keepdims=True)).astype(np.float32))


def make_task(label: np.ndarray, models: dict | None = None) -> Task:
    def cells(codes: np.ndarray, seed: int, shown: bool) -> Cells:
        x = expression(codes, seed)
        names = np.array([f"{seed}-{i}" for i in range(len(codes))])
        truth = (codes, BRANCH[codes], codes.astype(float)) if shown else (None, None, None)
        return Cells(names, x, x, np.full(len(codes), "a"), lambda name: x, *truth, all_genes=lambda: x)

    baselines = Baselines.model_validate({"celltypist": {"models": models or {}}})
    plan = Plan(Adaptor(), ("fixed",), 0, "halves", frozen=False, model="none", baselines=baselines)
    return Task(cells(label, 1, True), cells(TEST, 2, False), CLASSES, 7, plan, {}, GENES, GENES)


TRAIN, TEST = np.arange(80) % 4, np.arange(24) % 4


def run(task: Task, name: str = "celltypist_native", arm: str = ""):
    return registry.load(name).run(task, Variant(arm=arm))


def test_two_class_scores_are_differences_of_decisions():
    task = make_task(TRAIN)
    output = run(task)
    seed = derive_seed(task.seed, "celltypist") % 2**32
    model = ct.train_model(task.train.log1p, task.train.label, GENES, seed)
    decision = model.classifier.decision_function(model.scaler.transform(task.test.log1p.toarray()).clip(max=10))
    np.testing.assert_allclose(output.scores["stage"], decision, rtol=1e-4)
    np.testing.assert_allclose(output.scores["ctl"], decision[:, 3] - decision[:, 2], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(output.scores["branch"][:, 2], decision[:, 2:].max(1), rtol=1e-4)
    assert (output.scores["stage"].argmax(1) == TEST).mean() > 0.9
    assert abs(expit(decision).sum(1) - 1).max() > 0.01  # what the library calls probabilities
    assert output.parameters == model.classifier.coef_.size + 4


def test_sure_cells_keep_their_order_where_sigmoids_tie():
    decision = np.array([[-40.0, 60], [-40, 45], [50, -45]])
    of_label = np.eye(2, dtype=bool)
    scores = task_scores(decision, Speakers(of_label, of_label, {"pair": (of_label[1], of_label[0])}, of_label))
    assert scores["pair"].tolist() == [100, 85, -95]
    assert expit(decision)[0].tolist() == expit(decision)[1].tolist()


def test_a_label_without_training_cells_scores_nothing():
    scores = run(make_task(TRAIN[TRAIN != 2])).scores
    assert np.isneginf(scores["stage"][:, 2]).all()
    assert np.isfinite(scores["branch"]).all()
    assert "ctl" not in scores
    with pytest.raises(NotApplicable, match="single label"):
        run(make_task(TRAIN[TRAIN == 2]))


def test_same_bits_and_no_second_fit():
    task = make_task(TRAIN)
    first, again = run(task), run(task)
    fresh = run(replace(task, store=Store()))
    assert (first.fits, first.reused, again.fits, again.reused) == (1, 0, 0, 1)
    for key in first.scores:
        np.testing.assert_array_equal(first.scores[key], fresh.scores[key])
        np.testing.assert_array_equal(first.scores[key], again.scores[key])
    other = make_task(np.roll(TRAIN, 1))
    assert run(replace(other, store=task.store)).fits == 1


def test_genes_are_selected_cells_drawn_and_tested_in_blocks(monkeypatch):
    task = make_task(TRAIN)
    whole = run(task).scores["stage"]
    monkeypatch.setattr(ct, "BLOCK", 7)
    np.testing.assert_allclose(run(replace(task, store=Store())).scores["stage"], whole, rtol=1e-5)
    monkeypatch.setattr(ct, "TOP_GENES", 3)
    monkeypatch.setattr(ct, "CELLS_PER_LABEL", 15)
    model = ct.train_model(task.train.log1p, task.train.label, GENES, 0)
    assert 3 <= len(model.features) <= 12
    assert model.scaler.n_samples_seen_ == 60


def test_an_early_stop_is_a_status(monkeypatch):
    class Stopped:
        classes_, coef_, intercept_, n_iter_, max_iter = np.arange(4), np.zeros((4, 2)), np.zeros(4), [1000], 1000

    monkeypatch.setattr(ct, "train_model", lambda *_: type("Model", (), {"classifier": Stopped}))
    monkeypatch.setattr(ct, "decision_scores", lambda *_: np.zeros((len(TEST), 4)))
    assert run(make_task(TRAIN)).status == "cap"


def test_nothing_is_said_or_left_in_the_home_folder(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import logging, numpy as np, scipy.sparse as sp; from opbench.methods.celltypist_model import train_model;"
        "train_model(sp.random(20, 9, 0.5, 'csr', np.float32, 0), np.arange(20) % 2, list('abcdefghi'), 0);"
        "assert not logging.getLogger().handlers"
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("CELLTYPIST_FOLDER", "MPLCONFIGDIR")}
    paths = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | paths, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert list(home.iterdir()) == []


def released(tmp_path, rows=None) -> dict:
    """A model in the released format, its table, and the configuration that names both."""
    x = expression(TRAIN, 1)
    model = ct.train_model(x, TYPES[TRAIN], GENES, 0)
    model.write(str(tmp_path / "model.pkl"))
    rows = rows or ["Classical monocytes\tCl_Mono", "NK cells\tNK", "Naive T\tNaive_CD4", "Temra\tMemory_CD8"]
    (tmp_path / "types.tsv").write_text("\n".join(["label\tstages", *rows, "Other\tHSC"]))
    data = (tmp_path / "model.pkl").read_bytes()
    return {
        "path": str(tmp_path / "model.pkl"),
        "labels": str(tmp_path / "types.tsv"),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_released_model_scores_the_labels_its_types_map_to(tmp_path):
    entry = released(tmp_path)
    task = make_task(TRAIN, {"low": entry})
    task = replace(task, train=replace(task.train, label=None, branch=None, depth=None))
    method = registry.load("celltypist_released")
    assert method.skip(task.plan) is None
    assert method.variants(task.plan) == [Variant(arm="low")]
    output = run(task, "celltypist_released", "low")
    assert (output.scores["stage"].argmax(1) == TEST).mean() > 0.9
    assert (output.scores["branch"].argmax(1) == BRANCH[TEST]).mean() > 0.9
    assert ((output.scores["ctl"] > 0) == (TEST == 3))[TEST >= 2].mean() > 0.9
    assert output.notes == {"a": "40 of 40 model genes"}
    few = replace(task, all_genes=tuple(f"g{i}" if i < 20 else f"h{i}" for i in range(40)))
    assert run(few, "celltypist_released", "low").notes == {"a": "20 of 40 model genes"}
    with pytest.raises(NotApplicable, match="none of the 40 genes"):
        run(replace(task, all_genes=tuple(f"h{i}" for i in range(40))), "celltypist_released", "low")


def test_a_type_without_stages_is_left_out(tmp_path):
    entry = released(tmp_path, ["Classical monocytes\t", "NK cells\tNK", "Naive T\tNaive_CD4", "Temra\tMemory_CD8"])
    scores = run(make_task(TRAIN, {"low": entry}), "celltypist_released", "low").scores
    assert np.isneginf(scores["stage"][:, 0]).all()
    assert (scores["stage"].argmax(1) == TEST)[TEST > 0].mean() > 0.9


def test_unusable_models_are_told(tmp_path):
    entry = released(tmp_path)
    method = registry.load("celltypist_released")
    said = method.skip(make_task(TRAIN).plan)
    assert said == "baselines.celltypist.models names no released model; not testable here"
    absent, other = entry | {"path": "nowhere.pkl"}, entry | {"sha256": "0" * 64}
    assert "models.low.path: 'nowhere.pkl' is found nowhere" in method.skip(make_task(TRAIN, {"low": absent}).plan)
    assert "a pickle can run code" in method.skip(make_task(TRAIN, {"low": other}).plan)
    both = make_task(TRAIN, {"low": entry, "high": other})
    assert method.skip(both.plan) is None
    assert "stage" in run(both, "celltypist_released", "low").scores
    with pytest.raises(NotApplicable, match=r"models\.high\.sha256"):
        run(both, "celltypist_released", "high")
    with pytest.raises(ValidationError, match="sha256"):
        make_task(TRAIN, {"low": {key: entry[key] for key in ("path", "labels")}})


class Malicious:
    """A pickle that writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_pickle_is_read_before_its_digest(tmp_path):
    trace, file = tmp_path / "trace", tmp_path / "bad.pkl"
    file.write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(InputError, match="not the 000"):
        ct.load_model(file, "0" * 64)
    assert not trace.exists()
    with pytest.raises(InputError, match="is no CellTypist model"):
        ct.load_model(file, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("Temrra\tMemory_CD8", r"type 'Temra', and 0 more, have no row"),
        ("Temra\tMemory_CD9", "'Memory_CD9' is not in the stage graph"),
        ("Temra\tMemory_CD8|NK", "several branches"),
        ("Temra\tNK\nTemra\tNK", "given twice"),
    ],
)
def test_wrong_tables_are_named(tmp_path, row, says):
    (tmp_path / "t.tsv").write_text(f"label\tstages\n{row}\n")
    with pytest.raises(InputError, match=says):
        read_types(tmp_path / "t.tsv", ["Temra"], BRANCH_OF)


def test_types_speak_for_the_nearest_labels():
    types = [{"Memory_CD8"}, {"Naive_CD8", "Memory_CD8"}, {"gd_T"}, {"Naive_CD4", "Naive_CD8", "Memory_CD8"}, set()]
    stages = (*STAGES, frozenset({"Naive_CD8", "Memory_CD8"}))
    classes = replace(CLASSES, labels=(*LABELS, "e:CD8"))
    found = map_types([frozenset(own) for own in types], classes, stages, BRANCH_OF)
    names = [[classes.labels[k] for k in np.flatnonzero(row)] for row in found.of_label]
    assert names == [["d:CTL", "e:CD8"], ["d:CTL", "e:CD8"], [], ["d:T", "e:CD8"], []]
    assert found.of_branch[:, 2].tolist() == [True, True, True, True, False]
    assert [side.tolist() for side in found.sides["ctl"]] == [[True, True] + 3 * [False], [False] * 3 + [True, False]]


def test_a_type_of_two_labels_leaves_the_choice_to_their_own_types():
    labels = (frozenset({"Ery_early"}), frozenset({"Erythrocyte"}))
    classes = Classes(("d:early", "d:late"), ("erythroid_mk",), np.zeros((2, 2)), {})
    types = [frozenset({"Ery_early"}), frozenset({"Ery_early", "Erythrocyte"}), frozenset({"Erythrocyte"})]
    found = map_types(types, classes, labels, BRANCH_OF)
    decision = np.array([[0.0, 9, 1], [1, 9, 0], [5, 0, 1]])
    scores = task_scores(decision, found)
    assert scores["stage"].argmax(1).tolist() == [1, 0, 0]
    np.testing.assert_allclose(scores["stage"][:2], 9)
    assert scores["branch"].ravel().tolist() == [9, 9, 5]
    without = task_scores(decision[:, :2], map_types(types[:2], classes, labels, BRANCH_OF))
    assert without["stage"].argmax(1).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("name", "types", "unmapped"), [("low", 98, 7), ("high", 32, 4)])
def test_shipped_tables_list_every_type(name, types, unmapped):
    path = ROOT / f"resources/labels/celltypist_{name}.tsv"
    found = read_labels(path, GRAPH)
    assert (len(found), sum(not stages for stages in found.values())) == (types, unmapped)
    assert {BRANCH_OF[s] for stages in found.values() for s in stages.split("|") if s} == set(GRAPH.branches)
    read_types(path, list(found), BRANCH_OF)

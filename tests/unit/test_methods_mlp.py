"""MLP heads, wide projections and floors: counted, repeatable, and stopped on training donors alone."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from opbench.config.model import Adaptor
from opbench.io.errors import InputError
from opbench.methods import mlp, registry
from opbench.methods.heads import stopping_donors
from opbench.methods.interface import Cells, Classes, Output, Plan, Task, Variant
from opbench.methods.mlp import class_tasks, make_mlp, mlp_output, read_latent
from opbench.methods.plugins.floor_library import log_library
from opbench.methods.plugins.frozen_embedding_mlp import hidden_widths

DONORS, PER_DONOR, GENES = 9, 40, 6
RULER = np.abs(np.subtract.outer(np.arange(4), np.arange(4))).astype(float)
CLASSES = Classes(tuple("wxyz"), tuple("ab"), RULER, {"pair": (frozenset({1}), frozenset({0}))})
ADAPTOR = Adaptor(max_epochs=60, patience=8)


def make_task(seed=0, adaptor=ADAPTOR, donors=DONORS, **features):
    """Labels of which branch is an exclusive or of two features' signs: no linear readout sees it."""
    rng = np.random.default_rng(1)
    n = donors * PER_DONOR
    x = rng.normal(size=(2 * n, GENES)).astype(np.float32)
    label = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] > 0)
    donor = np.repeat([f"d{i}" for i in range(2 * donors)], PER_DONOR)

    def cells(rows):
        some = sp.csr_matrix(np.abs(x[rows]))
        return Cells(rows.astype(str), some, some, donor[rows], lambda _: x[rows], label[rows], label[rows] // 2, None)

    train, test = cells(np.arange(n)), cells(np.arange(n, 2 * n))
    task = Task(train, test, CLASSES, seed, Plan(adaptor, ("fixed",), 0, "halves", frozen=False, model="none"))
    return task, x[:n].copy(), x[n:].copy()


def split_tasks(task):
    return {t.name: t for t in class_tasks(task.train, CLASSES, 3, task.seed)}


@pytest.mark.parametrize(("n_classes", "expected"), [(2, 172_610), (34, 174_690)])
def test_the_papers_parameter_counts(n_classes, expected):
    model = make_mlp((512, *hidden_widths(512), n_classes), seed=0)
    assert hidden_widths(512) == (256, 128, 64)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_it_learns_what_a_line_cannot(monkeypatch):
    monkeypatch.setattr(mlp, "LEARNING_RATE", 1e-2)  # so few cells make few steps an epoch
    task, train, test = make_task(adaptor=Adaptor(max_epochs=200, patience=15))
    output, linear = (mlp_output(train, test, task, Variant(), hidden) for hidden in ((64,), ()))
    assert output.status == "ok"
    assert (output.scores["branch"].argmax(1) == task.test.branch).mean() > 0.85
    assert (linear.scores["branch"].argmax(1) == task.test.branch).mean() < 0.65
    used = np.isin(task.test.label, [0, 1])
    assert ((output.scores["pair"] > 0) == (task.test.label == 1))[used].mean() > 0.8


def test_it_repeats_to_the_bit_and_counts_itself():
    task, train, test = make_task()
    first, again = (mlp_output(train, test, task, Variant(), (32,)) for _ in range(2))
    assert set(first.scores) == {"branch", "stage", "pair"}
    assert (first.fits, first.parameters) == (3, 7 * 32 + 33 * 4)
    for name, scores in first.scores.items():
        np.testing.assert_array_equal(scores, again.scores[name])
    for other, variant in ((replace(task, seed=1), Variant()), (task, Variant(seed=1))):
        assert not np.array_equal(mlp_output(train, test, other, variant, (32,)).scores["stage"], first.scores["stage"])


def test_whole_training_donors_stop_it_and_are_never_trained_on():
    task, train, test = make_task(adaptor=Adaptor(max_epochs=1))
    stop = split_tasks(task)["stage"].held
    held = np.unique(task.train.donor[stop])
    assert sorted(held) == sorted(stopping_donors(task.train.donor, 3, task.seed))
    assert len(held) == 3
    assert np.array_equal(stop, np.isin(task.train.donor, held))
    # After one epoch the labels of the stopping donors have had nothing to say; those of the others have.
    for rows, same in ((stop, True), (~stop, False)):
        label = task.train.label.copy()
        label[rows] = np.roll(label[rows], 1)
        moved = replace(task, train=replace(task.train, label=label))
        a, b = (mlp_output(train, test, t, Variant(), (8,)).scores["stage"] for t in (task, moved))
        assert np.array_equal(a, b) is same


def test_a_label_of_the_stopping_donors_alone_is_never_predicted():
    task, train, test = make_task()
    held = split_tasks(task)["stage"].held
    label = np.where(~held & (task.train.label == 3), 2, task.train.label)
    task = replace(task, train=replace(task.train, label=label))
    stage = split_tasks(task)["stage"]
    assert (stage.codes[stage.held] == 3).any()
    assert not (stage.codes[stage.stop] == 3).any()
    scores = mlp_output(train, test, task, Variant(), (8,)).scores["stage"]
    assert np.isneginf(scores[:, 3]).all()
    assert np.isfinite(scores[:, :3]).all()


def test_two_class_tasks_stop_on_donors_with_both_sides():
    task, *_ = make_task()
    both = np.isin(task.train.donor, ["d0", "d4"])
    label = np.where(~both & (task.train.label == 1), 0, task.train.label)
    pair = class_tasks(replace(task.train, label=label), CLASSES, 3, task.seed)[2]
    assert set(task.train.donor[pair.rows[pair.held]]) < {"d0", "d4"}
    everyone = np.where(task.train.label == 1, 0, task.train.label)
    assert {t.name for t in class_tasks(replace(task.train, label=everyone), CLASSES, 3, 0)} == {"branch", "stage"}


def test_the_cap_is_a_status_and_one_donor_is_too_few():
    task, train, test = make_task(adaptor=Adaptor(max_epochs=3))
    output = mlp_output(train, test, task, Variant(), (8,))
    assert output.status == "cap"
    assert output.reason == "no plateau within 3 epochs: branch, stage, pair"
    task, train, test = make_task(donors=1)
    with pytest.raises(InputError, match="1 training donors are too few"):
        mlp_output(train, test, task, Variant(), (8,))


def test_a_feature_that_no_training_cell_varies_in_changes_nothing():
    task, train, test = make_task()
    train[:, 5] = 2
    a = mlp_output(train, test, task, Variant(), (8,)).scores["stage"]
    test[:, 5] = 1000
    np.testing.assert_array_equal(a, mlp_output(train, test, task, Variant(), (8,)).scores["stage"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error():
    task, train, test = make_task()
    with pytest.raises(InputError, match=r"model\.device: 'cuda'"):
        mlp_output(train, test, task, Variant(), (8,), device="cuda")


def test_mlp2_reads_a_head_given_either_way():
    task, *_ = make_task()
    matrix = np.eye(GENES, 3, dtype=np.float32)
    dense = tuple(cells.log1p.toarray() @ matrix for cells in (task.train, task.test))
    head = {"parameters": 5, "fits": 1, "status": "cap", "reason": "head"}
    a = read_latent(Output(representation=dense, **head), task, Variant(), (8,))
    b = read_latent(Output(projection=matrix, **head), task, Variant(), (8,))
    np.testing.assert_array_equal(a.scores["stage"], b.scores["stage"])
    assert (a.parameters, a.fits, a.status) == (5 + 4 * 8 + 9 * 4, 4, "cap")
    assert a.reason.startswith("head")
    assert a.representation is None


def test_pca512_is_sklearns_pca_but_for_a_constant():
    rng = np.random.default_rng(2)
    x = rng.poisson(1, (80, 30)).astype(np.float32)
    x[:, 7], x[:, 8] = 0, x[:, 9]  # a silent gene and a copied one span nothing
    task, *_ = make_task()
    train, test = (replace(task.train, log1p=sp.csr_matrix(part)) for part in (x[:60], x[60:] + 1))
    output = registry.load("pca512").run(replace(task, train=train, test=test), Variant())
    assert output.projection.shape == (30, 28)
    assert output.reason.startswith("28 components")
    scaler = StandardScaler().fit(x[:60])
    pca = PCA(28).fit(scaler.transform(x[:60]))
    theirs, ours = pca.transform(scaler.transform(x)), x @ output.projection
    ours -= ours[:60].mean(0)
    np.testing.assert_allclose(np.abs(ours[:60]), np.abs(theirs[:60]), atol=1e-4)
    np.testing.assert_allclose(np.abs(ours[60:]), np.abs(theirs[60:]), atol=1e-3)


def test_rp512_depends_on_the_draw_and_not_on_the_split():
    method, (task, *_) = registry.load("rp512"), make_task()
    first, second, _ = method.variants(task.plan)
    wide = replace(task, train=replace(task.train, log1p=sp.csr_matrix((5, 700), dtype=np.float32)))
    matrix = method.run(wide, first).projection
    assert matrix.shape == (700, 512)
    assert np.linalg.norm(matrix, axis=1).mean() == pytest.approx(1, rel=0.02)
    np.testing.assert_array_equal(matrix, method.run(replace(wide, seed=9), first).projection)
    assert abs(np.corrcoef(matrix.ravel(), method.run(wide, second).projection.ravel())[0, 1]) < 0.02
    assert method.run(task, first).projection.shape == (GENES, GENES)


def test_the_full_library_comes_back_from_a_panel():
    counts = np.array([[3, 0, 1], [5, 2, 0], [0, 0, 0]])
    library = np.array([1000, 77, 500])
    log1p = np.log1p(counts * 1e4 / library[:, None]).astype(np.float32)
    task, *_ = make_task()
    cells = replace(task.train, counts=sp.csr_matrix(counts), log1p=sp.csr_matrix(log1p))
    np.testing.assert_allclose(log_library(cells), [*np.log(library[:2]), np.nan], rtol=1e-6)


def test_floors_measure_pseudotime_from_the_start_cell():
    task, *_ = make_task()
    donor = task.test.donor
    starts = {d: task.test.ids[donor == d][3] for d in np.unique(donor)[1:]}
    output = registry.load("floor_mean").run(replace(task, start_cells=starts), Variant())
    level = task.test.log1p.toarray().mean(1)
    mine = donor == np.unique(donor)[2]
    np.testing.assert_allclose(output.pseudotime[mine], np.abs(level[mine] - level[mine][3]), atol=1e-6)
    assert output.problems == {np.unique(donor)[0]: "no start cell"}
    assert registry.load("floor_mean").run(task, Variant()).pseudotime is None

"""The batched probes are scikit-learn's, whatever shares a pass with them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge

from opbench.readouts.logistic import Labels
from opbench.readouts.probes import Part, probe_dense, probe_shared, standardise

N, GENES, CLASSES = 500, 30, 4


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, CLASSES, N)
    rate = np.exp(rng.normal(0, 0.7, (CLASSES, GENES)))[codes]
    return sp.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float32)), codes, rng.normal(codes, 1.0)


def tasks_of(codes):
    return {
        "stage": Labels(codes, CLASSES),
        "pair": Labels(np.where(codes < 2, codes, -1), 2),
    }


def parts_of(projection=None, n=4):
    fold = np.arange(N) % n
    return [Part(np.flatnonzero(fold != i), np.flatnonzero(fold == i), projection) for i in range(n)]


def reference(train, test, codes, classes):
    a, b = standardise(train, test)
    fit = LogisticRegression(class_weight="balanced", tol=1e-9, max_iter=9000).fit(a.astype(float), codes)
    scores = fit.decision_function(b)
    scores = np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores
    out = np.full((len(test), classes), -np.inf)
    out[:, fit.classes_] = scores
    return out


@pytest.mark.parametrize("width", [None, 8])
def test_shared_passes_give_what_scikit_learn_gives_on_every_split(cells, width):
    x, codes, depth = cells
    projection = None if width is None else np.random.default_rng(1).normal(size=(GENES, width)).astype(np.float32)
    dense = x.toarray() if projection is None else x @ projection
    found = probe_shared(x, tasks_of(codes), depth, parts_of(projection))
    for part, probed in zip(parts_of(), found, strict=True):
        train, test = dense[part.train], dense[part.test]
        expected = reference(train, test, codes[part.train], CLASSES)
        centred = probed.scores["stage"] - probed.scores["stage"].mean(1, keepdims=True)
        np.testing.assert_allclose(centred, expected, atol=5e-3)
        rows = codes[part.train] < 2
        # A task on some of the cells is standardised by all training cells, as its representation is.
        a, b = standardise(train, test)
        pair = LogisticRegression(class_weight="balanced", tol=1e-9, max_iter=9000)
        pair = pair.fit(a[rows].astype(float), codes[part.train][rows]).decision_function(b)
        np.testing.assert_allclose(probed.scores["pair"][:, 1], pair, atol=5e-3)
        ridge = Ridge(1.0).fit(a, depth[part.train]).predict(b)
        np.testing.assert_allclose(probed.depth, ridge, atol=1e-3)


def test_the_dense_path_is_the_shared_one(cells):
    x, codes, depth = cells
    part, shared = parts_of()[0], probe_shared(x, tasks_of(codes), depth, parts_of())[0]
    mine = {name: Labels(task.codes[part.train], task.n_classes) for name, task in tasks_of(codes).items()}
    dense = probe_dense(x[part.train].toarray(), x[part.test].toarray(), mine, depth[part.train])
    for name in mine:
        np.testing.assert_allclose(dense.scores[name], shared.scores[name], atol=5e-3)
    np.testing.assert_allclose(dense.depth, shared.depth, atol=1e-5)


def test_labels_of_test_cells_have_no_weight(cells):
    x, codes, depth = cells
    parts = parts_of()[:1]
    held = parts[0].test
    scrambled, other = codes.copy(), depth.copy()
    scrambled[held], other[held] = np.random.default_rng(5).permutation(codes[held]), 0.0
    first, second = (probe_shared(x, tasks_of(c), d, parts)[0] for c, d in ((codes, depth), (scrambled, other)))
    for name in first.scores:
        np.testing.assert_array_equal(first.scores[name], second.scores[name])
    np.testing.assert_array_equal(first.depth, second.depth)


def test_a_class_without_training_cells_is_never_predicted_and_changes_nothing(cells):
    x, codes, _ = cells
    lacks = Part(np.flatnonzero((codes != 2) & (np.arange(N) % 4 > 0)), np.flatnonzero(np.arange(N) % 4 == 0))
    two = Part(np.flatnonzero((codes < 2) & (np.arange(N) % 4 > 0)), lacks.test)
    one = Part(np.flatnonzero(codes == 1), lacks.test)
    found = probe_shared(x, {"stage": Labels(codes, CLASSES)}, None, [lacks, *parts_of()[:1], two, one])
    dense = x.toarray()
    for part, probed in zip([lacks, two], [found[0], found[2]], strict=True):
        expected = reference(dense[part.train], dense[part.test], codes[part.train], CLASSES)
        scores = probed.scores["stage"]
        present = np.unique(codes[part.train])
        assert np.isneginf(np.delete(scores, present, axis=1)).all()
        scores, expected = scores[:, present], expected[:, present]
        np.testing.assert_allclose(
            scores - scores.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=5e-3
        )
    assert (found[3].scores["stage"].argmax(1) == 1).all()


def test_threads_and_company_do_not_change_the_answer(cells):
    x, codes, depth = cells
    alone = probe_shared(x, tasks_of(codes), depth, parts_of()[1:2])[0]
    together = probe_shared(x, tasks_of(codes), depth, parts_of(), threads=2)[1]
    for name in alone.scores:
        np.testing.assert_allclose(alone.scores[name], together.scores[name], atol=5e-3)


def test_splits_of_different_widths_are_fitted_each_in_its_own(cells):
    x, codes, depth = cells
    rng, parts = np.random.default_rng(2), []
    for part, width in zip(parts_of(), (6, 4, 6, 5), strict=True):
        parts.append(Part(part.train, part.test, rng.normal(size=(GENES, width)).astype(np.float32)))
    together = probe_shared(x, tasks_of(codes), depth, parts)
    for part, probed in zip(parts, together, strict=True):
        alone = probe_shared(x, tasks_of(codes), depth, [part])[0]
        np.testing.assert_allclose(probed.scores["stage"], alone.scores["stage"], atol=5e-3)
        np.testing.assert_allclose(probed.depth, alone.depth, atol=1e-6)


def test_a_probe_that_still_moves_says_so(cells, monkeypatch):
    x, codes, _ = cells
    (found, *_) = probe_shared(x, tasks_of(codes), None, parts_of())
    assert found.unfinished == frozenset()
    monkeypatch.setattr("opbench.readouts.logistic.MAX_ITERATIONS", 2)
    (moving, *_) = probe_shared(x, tasks_of(codes), None, parts_of())
    assert moving.unfinished == {"stage", "pair"}

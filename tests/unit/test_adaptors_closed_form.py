"""The closed-form head finds a ruler that is there, and none where labels mean nothing."""

from pathlib import Path

import numpy as np
import pytest

from opbench.adaptors.closed_form import fit_closed_form, ruler_coordinates
from opbench.panels.ontology import Ontology
from opbench.readouts.pseudotime import spearman

ONTOLOGY = Path(__file__).resolve().parents[2] / "resources/ontology"
LINE = np.abs(np.subtract.outer(np.arange(7), np.arange(7))).astype(float)


def distances(z: np.ndarray) -> np.ndarray:
    return np.linalg.norm(z[:, None] - z[None], axis=2)


def cells(noise: float, seed: int = 0, n: int = 350, features: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """A plane of the ruler's points, mixed into many features."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 7, n)
    mix = np.random.default_rng(1).normal(size=(1, features))
    return (ruler_coordinates(LINE)[label] @ mix + noise * rng.normal(size=(n, features))).astype(np.float32), label


def agreement(head, features: np.ndarray, label: np.ndarray) -> float:
    pairs = np.triu_indices(len(label), 1)
    # Rounded, because equal steps must be ties.
    return spearman(distances(head.transform(features))[pairs].round(4), LINE[label][:, label][pairs])


def test_coordinates_of_a_straight_ruler_are_its_points():
    points = np.random.default_rng(0).normal(size=(8, 3))
    found = ruler_coordinates(distances(points))
    assert found.shape == (8, 3)
    np.testing.assert_allclose(distances(found), distances(points) / distances(points).max().clip(1), atol=1e-9)
    assert ruler_coordinates(LINE).shape == (7, 1)


def test_coordinates_of_the_stage_graph_keep_most_of_its_order():
    ruler = Ontology.read(ONTOLOGY).distance.astype(float)
    pairs = np.triu_indices(len(ruler), 1)
    assert spearman(distances(ruler_coordinates(ruler))[pairs], ruler[pairs]) > 0.95


@pytest.mark.parametrize(("n", "features"), [(60, 90), (350, 90)])
def test_a_planted_ruler_is_recovered_without_noise_in_either_dimension(n, features):
    x, label = cells(0, n=n, features=features)
    head = fit_closed_form(x, label, LINE, 0.1)
    assert head.rank == 1
    new, new_label = cells(0, seed=5, n=80, features=features)
    assert agreement(head, new, new_label) == pytest.approx(1)


def test_both_forms_of_the_solution_are_one_and_match_ridge():
    from sklearn.linear_model import Ridge

    x, label = cells(0.5, n=91, features=90)
    tall, wide = fit_closed_form(x, label, LINE, 0.2), fit_closed_form(x[:90], label[:90], LINE, 0.2)
    z = (x - tall.mean) / tall.scale
    penalty = 0.2 / 0.8 * float((z.astype(float) ** 2).sum()) / 90
    y = ruler_coordinates(LINE)[label]
    ridge = Ridge(alpha=penalty).fit(z, y - y.mean(0))
    expected = ridge.coef_.ravel()
    np.testing.assert_allclose(np.abs(tall.weight[0]), np.abs(expected), atol=1e-4)
    # One cell more or less changes the solution little, though it is found in the other dimension.
    assert np.corrcoef(tall.weight[0], wide.weight[0])[0, 1] > 0.99


def test_widths_are_nested_and_the_same_bits_come_back():
    ruler = Ontology.read(ONTOLOGY).distance[:9, :9].astype(float)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 9, 200)
    x = (rng.normal(size=(9, 40))[label] + rng.normal(size=(200, 40))).astype(np.float32)
    head, again = (fit_closed_form(x, label, ruler, 0.1) for _ in range(2))
    np.testing.assert_array_equal(head.weight, again.weight)
    assert head.rank > 3
    np.testing.assert_allclose(head.transform(x, 3), head.transform(x)[:, :3], atol=1e-5)
    spread = head.transform(x).std(0)
    assert spread[0] > spread[-1]


def test_permuted_labels_are_at_chance_on_new_cells():
    x, label = cells(1.0)
    new, new_label = cells(1.0, seed=5)
    real = agreement(fit_closed_form(x, label, LINE, 0.1), new, new_label)
    permuted = np.random.default_rng(2).permutation(label)
    null = [agreement(fit_closed_form(x, np.roll(permuted, i), LINE, 0.1), new, new_label) for i in range(12)]
    assert real > 0.7
    assert max(map(abs, null)) < 0.15

"""The cell head learns the ruler, stops when told, and its fast loss is the plain one."""

import numpy as np
import pytest
import torch

from opbench.adaptors.cell_head import HeadData, fit_cell_head
from opbench.adaptors.losses import local_loss, reconstruction_loss
from opbench.config.model import Adaptor
from opbench.io.seeds import derive_seed
from opbench.methods.heads import balanced_sample, stopping_donors
from opbench.readouts.pseudotime import spearman

RULER = np.abs(np.subtract.outer(np.arange(6), np.arange(6))).astype(float)


def make_data(seed: int, n: int = 240) -> HeadData:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 6, n)
    signal = np.random.default_rng(99).normal(size=(6, 50)).cumsum(0)
    features = (signal[label] + rng.normal(size=(n, 50))).astype(np.float32)
    return HeadData(features, label, label // 2, RULER, 3)


def test_expanded_reconstruction_equals_the_plain_one():
    x, weight = torch.randn(20, 30), torch.randn(4, 30)
    z = x @ weight.T
    plain = ((z @ weight - x) ** 2).mean()
    assert torch.allclose(reconstruction_loss(z, weight, (x**2).sum(1)), plain, rtol=1e-4)


def test_local_loss_ignores_neighbours_outside_the_batch():
    angle = torch.rand(3, 3)
    near, distance = torch.tensor([[1, -1], [2, -1], [-1, -1]]), torch.rand(3, 2)
    expected = ((angle[0, 1] - distance[0, 0]) ** 2 + (angle[1, 2] - distance[1, 0]) ** 2) / 2
    assert torch.allclose(local_loss(angle, torch.tensor(1.0), near, distance), expected)


def test_latent_distances_follow_the_ruler_on_new_cells():
    settings = Adaptor(width=4, epochs=150, batch=240)
    new = make_data(1)
    untrained = fit_cell_head(make_data(0), settings.model_copy(update={"epochs": 0}), 5)
    trained = fit_cell_head(make_data(0), settings, 5)

    def follows(head) -> float:
        z = head.transform(new.features)
        unit = z / np.linalg.norm(z, axis=1, keepdims=True)
        pairs = np.triu_indices(len(z), 1)
        return spearman(np.arccos(np.clip(unit @ unit.T, -1, 1))[pairs], RULER[new.label[:, None], new.label][pairs])

    assert follows(trained) > max(0.8, follows(untrained) + 0.1)
    assert trained.weight.shape == (4, 50)
    assert trained.parameters == 201


def test_plateau_stops_before_the_cap_and_a_small_cap_is_a_status():
    patient = Adaptor(width=4, max_epochs=2000, patience=10, learning_rate=0.02)
    head = fit_cell_head(make_data(0), patient, 5, stop_on=make_data(2, 80))
    assert head.status == "ok"
    assert head.epochs < 1990
    capped = fit_cell_head(make_data(0), patient.model_copy(update={"max_epochs": 3}), 5, stop_on=make_data(2, 80))
    assert capped.status == "cap"


def test_same_seed_same_bits_other_seed_other_head():
    settings = Adaptor(width=3, epochs=5)
    one, two, three = (fit_cell_head(make_data(0), settings, seed).weight for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - three).max() > 1e-3


def test_sample_is_balanced_and_keyed_by_the_split():
    label = np.repeat([0, 1, 2], [500, 50, 3])
    rows = balanced_sample(label, 40, derive_seed("split", 0))
    assert np.bincount(label[rows]).tolist() == [40, 40, 3]
    assert balanced_sample(label, 40, 1).tolist() != balanced_sample(label, 40, 2).tolist()


@pytest.mark.parametrize(("n_donors", "expected"), [(13, 3), (6, 2), (3, 1)])
def test_stopping_takes_whole_donors_at_most_a_third(n_donors, expected):
    donor = np.repeat([f"d{i}" for i in range(n_donors)], 4)
    assert len(set(stopping_donors(donor, 3, 0))) == expected

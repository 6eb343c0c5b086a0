"""The anchor head: its written-out gradient is the plain one, and one run gives the heads of all budgets."""

import numpy as np
import pytest
import torch

from opbench.adaptors.let import AnchorData, LetSettings, angle_distances, fit_let, loss_and_gradient
from opbench.adaptors.losses import COSINE_MARGIN
from opbench.io.seeds import derive_seed
from opbench.readouts.pseudotime import spearman

RULER = np.abs(np.subtract.outer(np.arange(6), np.arange(6))).astype(float)
SIGNAL = np.random.default_rng(99).normal(size=(6, 40)).cumsum(0)


def anchors(seed: int, n: int = 48) -> AnchorData:
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 6
    return AnchorData((SIGNAL[label] + rng.normal(size=(n, 40))).astype(np.float32), label, RULER)


@pytest.mark.parametrize(("width", "beta"), [(3, 0.3), (10, -0.7)])
def test_gradient_and_loss_are_those_of_the_formula_by_autograd(width, beta):
    torch.manual_seed(0)
    x, target, alpha = torch.randn(12, 30), torch.rand(12, 12), 0.05
    target = (target + target.T) / 2
    weight, scalar = torch.randn(width, 30, requires_grad=True), torch.tensor(beta, requires_grad=True)
    z = x @ weight.T
    total, pairs = 0.0, 0
    for i in range(12):
        for j in range(12):
            if i != j:
                cosine = torch.dot(z[i], z[j]) / (z[i].norm() * z[j].norm())
                angle = torch.arccos(cosine.clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN))
                total, pairs = total + (scalar.abs() * angle - target[i, j]) ** 2, pairs + 1
    loss = total / pairs + alpha * ((z @ weight - x) ** 2).mean()
    loss.backward()
    squares = float((x.double() ** 2).sum())
    value, by_weight, by_beta = loss_and_gradient(weight.detach(), beta, x, target, squares, alpha)
    assert value == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(by_weight, weight.grad, rtol=1e-3, atol=1e-6)
    assert by_beta == pytest.approx(float(scalar.grad), rel=1e-3)


def test_steps_are_those_of_torch_adam():
    data, settings = anchors(0), LetSettings(width=4, learning_rate=0.01)
    start = fit_let(data, settings, 5, [1])[1]
    x = torch.from_numpy((data.features - start.mean) / start.scale)
    target = torch.from_numpy((RULER / 5)[data.label][:, data.label].astype(np.float32))
    weight = torch.nn.Parameter(torch.zeros(4, 40))
    torch.nn.init.xavier_uniform_(weight, generator=torch.Generator().manual_seed(derive_seed(5, "init")))
    beta = torch.nn.Parameter(torch.tensor(1 / np.pi, dtype=torch.float64))
    optimiser = torch.optim.Adam([weight, beta], lr=0.01)
    for _ in range(5):
        _, weight.grad, by_beta = loss_and_gradient(
            weight.detach(), beta.item(), x, target, float((x.double() ** 2).sum()), settings.weight_recon
        )
        beta.grad = torch.tensor(by_beta, dtype=torch.float64)
        optimiser.step()
    head = fit_let(data, settings, 5, [5])[5]
    np.testing.assert_allclose(head.weight, weight.detach().numpy(), atol=1e-5)
    assert head.beta == pytest.approx(beta.item(), abs=1e-6)


def test_a_snapshot_has_the_bits_of_a_run_that_ends_there():
    settings = LetSettings(width=4, patience=10)
    together = fit_let(anchors(0), settings, 1, [20, "plateau", 60], stop_on=anchors(1))
    for budget in (20, 60):
        alone = fit_let(anchors(0), settings, 1, [budget])[budget]
        np.testing.assert_array_equal(together[budget].weight, alone.weight)
        assert (together[budget].beta, alone.epochs) == (alone.beta, budget)
    assert np.abs(together[20].weight - together[60].weight).max() > 1e-3
    other = fit_let(anchors(0), settings, 2, [20])[20]
    assert np.abs(together[20].weight - other.weight).max() > 1e-3


def test_training_loss_falls_and_new_anchors_follow_the_ruler():
    heads = fit_let(anchors(0), LetSettings(width=5), 0, [1, 25, 100, 400])
    losses = [head.loss for head in heads.values()]
    assert losses == sorted(losses, reverse=True)
    new = anchors(7)
    pairs = np.triu_indices(len(new.label), 1)
    target = RULER[new.label][:, new.label][pairs]

    def follows(budget: int) -> float:
        return spearman(angle_distances(heads[budget].transform(new.features))[pairs], target)

    assert follows(400) > max(0.75, follows(1) + 0.3)


def test_plateau_is_the_best_held_out_epoch_and_a_small_cap_is_a_status():
    held = anchors(3, 18)
    settings = LetSettings(width=4, learning_rate=0.02, patience=15)
    head = fit_let(anchors(0), settings, 0, ["plateau"], held)["plateau"]
    assert head.status == "ok"
    later = fit_let(anchors(0), settings, 0, [head.epochs, head.epochs + settings.patience])
    np.testing.assert_array_equal(later[head.epochs].weight, head.weight)
    capped = fit_let(anchors(0), LetSettings(width=4, max_epochs=3), 0, ["plateau"], held)["plateau"]
    assert (capped.status, capped.epochs) == ("cap", 3)


def test_constant_features_do_no_harm():
    data = anchors(0)
    features = np.concatenate([data.features, np.full((48, 2), 3, np.float32)], axis=1)
    head = fit_let(AnchorData(features, data.label, RULER), LetSettings(width=3), 0, [10])[10]
    assert np.isfinite(head.weight).all()
    assert (head.scale[-2:] == 1).all()

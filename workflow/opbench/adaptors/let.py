"""The anchor head, "LET" in arXiv:2603.10261 (spec C.1; what the paper leaves out is spec M3's default).

z = W(x - b), distance beta * arccos cos(z_i, z_j), loss = stage_loss + alpha * reconstruction_loss (adaptors.losses).
The gradient is written out: 0.43 ms an epoch of 110 anchors x 2,400 features at width 10, against 0.76 by autograd.
Several operators side by side in one batched product are no faster an operator (0.40 to 0.49 ms).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.losses import COSINE_MARGIN
from opbench.io.seeds import derive_seed

#: The budget that stops where the loss on held-out anchors stops falling.
PLATEAU = "plateau"
#: Adam's moment decays and offset (PyTorch's defaults).
DECAY, SQUARE_DECAY, OFFSET = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class LetSettings:
    """Recipe of the anchor head; patience and max_epochs are those of the plateau, in epochs."""

    width: int
    learning_rate: float = 5e-3
    weight_recon: float = 0.05
    patience: int = 50
    max_epochs: int = 2000


@dataclass(frozen=True)
class AnchorData:
    """Anchors to train or stop on.

    features (a, F) float32, unscaled; label (a,) int codes; ruler (K, K) graph distance between labels, in steps.
    """

    features: np.ndarray
    label: np.ndarray
    ruler: np.ndarray


class _Prepared:
    """Anchors as tensors: features standardised with the training mean, which is b, and sd; ruler scaled to [0, 1]."""

    def __init__(self, data: AnchorData, mean: np.ndarray, scale: np.ndarray) -> None:
        self.x = torch.from_numpy(((data.features - mean) / scale).astype(np.float32))
        ruler = data.ruler / max(data.ruler.max(), 1)
        self.target = torch.from_numpy(ruler[data.label][:, data.label].astype(np.float32))
        self.squares = float((self.x.double() ** 2).sum())


def loss_and_gradient(
    weight: Tensor, beta: float, x: Tensor, target: Tensor, squares: float, weight_recon: float
) -> tuple[float, Tensor, float]:
    """Loss of the head and its derivatives by W (d, F) and beta.

    x (a, F) standardised anchors whose squares add up to `squares`; target (a, a) scaled ruler.
    """
    n, size = x.shape
    pairs, per_entry = n * (n - 1), weight_recon / (n * size)
    z = x @ weight.T
    norm = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
    unit = z / norm
    cosine = unit @ unit.T
    inside = cosine.clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN)
    angle = torch.arccos(inside)
    error = (abs(beta) * angle - target).fill_diagonal_(0)
    by_beta = math.copysign(2 / pairs, beta) * float((error * angle).sum())
    # The slope of arccos; cosines that were clamped have none.
    by_cosine = error * torch.rsqrt(1 - inside * inside) * (inside == cosine) * (-2 * abs(beta) / pairs)
    by_unit = 2 * (by_cosine @ unit)
    by_z = (by_unit - unit * (unit * by_unit).sum(1, keepdim=True)) / norm
    # |W'z - x|² = z WW' z' - 2 z.z + |x|² with z = Wx: no (a, F) matrix is formed (decision 19).
    spread = z @ (weight @ weight.T)
    recon = float((spread * z).sum()) - 2 * float((z * z).sum()) + squares
    by_z += (2 * per_entry) * spread - (4 * per_entry) * z
    by_weight = (by_z.T @ x).addmm_((z.T @ z) * (2 * per_entry), weight)
    return float((error * error).sum()) / pairs + per_entry * recon, by_weight, by_beta


class _Trainer:
    def __init__(self, data: AnchorData, settings: LetSettings, seed: int) -> None:
        self.settings = settings
        self.mean = data.features.mean(0, dtype=np.float64).astype(np.float32)
        scale = data.features.std(0, dtype=np.float64).astype(np.float32)
        self.scale = np.where(scale > 0, scale, 1).astype(np.float32)
        self.train = _Prepared(data, self.mean, self.scale)
        generator = torch.Generator().manual_seed(derive_seed(seed, "init"))
        self.weight = torch.empty(settings.width, self.train.x.shape[1])
        torch.nn.init.xavier_uniform_(self.weight, generator=generator)
        # An angle of pi then stands for the ruler's largest distance; beta is learnt from there.
        self.beta = 1 / math.pi
        self.moment, self.square = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.root = torch.empty_like(self.weight)
        self.beta_moment = self.beta_square = 0.0
        self.epochs, self.last_loss = 0, math.nan

    def loss(self, data: _Prepared) -> float:
        weight_recon = self.settings.weight_recon
        return loss_and_gradient(self.weight, self.beta, data.x, data.target, data.squares, weight_recon)[0]

    def epoch(self) -> None:
        """One step of Adam on all anchors."""
        data, s = self.train, self.settings
        self.epochs += 1
        self.last_loss, by_weight, by_beta = loss_and_gradient(
            self.weight, self.beta, data.x, data.target, data.squares, s.weight_recon
        )
        first, second = 1 - DECAY**self.epochs, math.sqrt(1 - SQUARE_DECAY**self.epochs)
        self.moment.lerp_(by_weight, 1 - DECAY)
        self.square.mul_(SQUARE_DECAY).addcmul_(by_weight, by_weight, value=1 - SQUARE_DECAY)
        torch.sqrt(self.square, out=self.root).div_(second).add_(OFFSET)
        self.weight.addcdiv_(self.moment, self.root, value=-s.learning_rate / first)
        self.beta_moment += (1 - DECAY) * (by_beta - self.beta_moment)
        self.beta_square += (1 - SQUARE_DECAY) * (by_beta**2 - self.beta_square)
        self.beta -= s.learning_rate / first * self.beta_moment / (math.sqrt(self.beta_square) / second + OFFSET)

    def head(self, loss: float) -> CellHead:
        weight = self.weight.numpy().copy()
        return CellHead(weight, self.mean, self.scale, abs(self.beta), self.epochs, loss, "ok")


def fit_let(
    data: AnchorData,
    settings: LetSettings,
    seed: int,
    budgets: Sequence[int | str],
    stop_on: AnchorData | None = None,
) -> dict[int | str, CellHead]:
    """Train once on all anchors at each step, and keep the head at every budget.

    A budget is a number of epochs, the head being that of a run which ends there, or `plateau`: the lowest loss on
    `stop_on` before `patience` epochs without a lower one; its status is `cap` when `max_epochs` came first. `stop_on`
    must hold whole donors that are neither trained nor tested on. Returns budget -> head; `loss` is the training loss
    that the last step started from, at the plateau the held-out one.
    """
    trainer = _Trainer(data, settings, seed)
    fixed = {budget for budget in budgets if budget != PLATEAU}
    heads: dict[int | str, CellHead] = {}
    held_out = None
    if PLATEAU in budgets:
        assert stop_on is not None, "A plateau needs anchors to stop on."
        held_out = _Prepared(stop_on, trainer.mean, trainer.scale)
    best, waited = math.inf, 0
    while held_out is not None or trainer.epochs < max(fixed, default=0):
        trainer.epoch()
        if trainer.epochs in fixed:
            heads[trainer.epochs] = trainer.head(trainer.last_loss)
        if held_out is None:
            continue
        loss = trainer.loss(held_out)
        waited = 0 if loss < best else waited + 1
        if loss < best:
            best, heads[PLATEAU] = loss, trainer.head(loss)
        elif waited >= settings.patience:
            held_out = None
        if held_out is not None and trainer.epochs >= settings.max_epochs:
            held_out, heads[PLATEAU] = None, replace(heads[PLATEAU], status="cap")
    return {budget: heads[budget] for budget in budgets}


def fit_let_rates(
    data: AnchorData, settings: LetSettings, rates: Sequence[float], seed: int, epochs: int
) -> tuple[CellHead, float]:
    """Train at each learning rate; the head with the lowest training loss after `epochs`, and its rate.

    At 5e-3, spec M3's, steps are too long for features as correlated as the real operator's, and its heads end in worse
    optima than its controls' do (docs/discovery.md). The choice sees nothing but the training loss.
    """
    heads = [(fit_let(data, replace(settings, learning_rate=r), seed, [epochs])[epochs], r) for r in rates]
    return min(heads, key=lambda pair: pair[0].loss)


def angle_distances(z: np.ndarray) -> np.ndarray:
    """Angles between latent vectors, (a, d) -> (a, a), in radians: the head's own distance up to beta."""
    wide = z.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-12)
    return np.arccos((unit @ unit.T).clip(-1, 1))

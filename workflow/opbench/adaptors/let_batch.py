"""Many anchor heads side by side: the objective, start and steps of `adaptors.let`, one batched product for all.

Heads differ by their features alone, since all start from the same weights. Used where there are as many operators as
a model has attention heads (arXiv:2603.10261, head scan; spec H.1). On one thread 69 anchors x 1,200 features at width
10 take 0.13 ms an epoch and head in blocks of 8, 0.14 in one of 24, and 0.20 alone.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import DECAY, OFFSET, SQUARE_DECAY, AnchorData, LetSettings
from opbench.adaptors.losses import COSINE_MARGIN
from opbench.io.seeds import derive_seed

#: Heads trained at a time, which bounds memory: features, weights and Adam's moments of these alone are tensors.
BLOCK = 8


class _Prepared:
    """Anchors of H heads as tensors: x (H, a, F) standardised with the training mean and sd of each head."""

    def __init__(self, data: AnchorData, mean: np.ndarray, scale: np.ndarray, device: str) -> None:
        x = ((data.features - mean[:, None]) / scale[:, None]).astype(np.float32)
        self.x = torch.from_numpy(x).to(device)
        self.squares = (self.x.double() ** 2).sum((1, 2)).float()
        ruler = data.ruler / max(data.ruler.max(), 1)
        self.target = torch.from_numpy(ruler[data.label][:, data.label].astype(np.float32)).to(device)


def losses_and_gradients(
    weight: Tensor, beta: Tensor, data: _Prepared, weight_recon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses (H,) of heads and their derivatives by W (H, d, F) and beta (H,): `let.loss_and_gradient`, batched."""
    x, (_, n, size) = data.x, data.x.shape
    pairs, per_entry = n * (n - 1), weight_recon / (n * size)
    slope = beta.abs().float()[:, None, None]
    z = x @ weight.transpose(1, 2)
    norm = z.norm(dim=2, keepdim=True).clamp_min(1e-12)
    unit = z / norm
    cosine = unit @ unit.transpose(1, 2)
    inside = cosine.clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN)
    angle = torch.arccos(inside)
    error = slope * angle - data.target
    error.diagonal(dim1=1, dim2=2).zero_()
    by_beta = (error * angle).sum((1, 2)).double() * torch.copysign(torch.full_like(beta, 2 / pairs), beta)
    by_cosine = error * torch.rsqrt(1 - inside * inside) * (inside == cosine) * (slope * (-2 / pairs))
    by_unit = 2 * (by_cosine @ unit)
    by_z = (by_unit - unit * (unit * by_unit).sum(2, keepdim=True)) / norm
    spread = z @ (weight @ weight.transpose(1, 2))
    recon = (spread * z).sum((1, 2)) - 2 * (z * z).sum((1, 2)) + data.squares
    by_z += (2 * per_entry) * spread - (4 * per_entry) * z
    by_weight = by_z.transpose(1, 2) @ x
    by_weight.baddbmm_((z.transpose(1, 2) @ z) * (2 * per_entry), weight)
    return (error * error).sum((1, 2)) / pairs + per_entry * recon, by_weight, by_beta


class _Trainer:
    """Adam on H heads at once; beta and its moments in double precision, as in `let`."""

    def __init__(self, data: AnchorData, settings: LetSettings, seed: int, device: str) -> None:
        self.settings = settings
        self.mean = data.features.mean(1, dtype=np.float64).astype(np.float32)
        scale = data.features.std(1, dtype=np.float64).astype(np.float32)
        self.scale = np.where(scale > 0, scale, 1).astype(np.float32)
        self.train = _Prepared(data, self.mean, self.scale, device)
        heads, _, size = self.train.x.shape
        start = torch.empty(settings.width, size)
        torch.nn.init.xavier_uniform_(start, generator=torch.Generator().manual_seed(derive_seed(seed, "init")))
        self.weight = start.to(device).expand(heads, -1, -1).clone()
        self.beta = torch.full((heads,), 1 / math.pi, dtype=torch.float64, device=device)
        self.moment, self.square = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.root = torch.empty_like(self.weight)
        self.beta_moment, self.beta_square = torch.zeros_like(self.beta), torch.zeros_like(self.beta)
        self.epochs = 0
        self.last_loss = torch.full((heads,), math.nan)

    def epoch(self) -> None:
        """One step of Adam of every head on all its anchors."""
        rate = self.settings.learning_rate
        self.epochs += 1
        found = losses_and_gradients(self.weight, self.beta, self.train, self.settings.weight_recon)
        self.last_loss, by_weight, by_beta = found
        first, second = 1 - DECAY**self.epochs, math.sqrt(1 - SQUARE_DECAY**self.epochs)
        self.moment.lerp_(by_weight, 1 - DECAY)
        self.square.mul_(SQUARE_DECAY).addcmul_(by_weight, by_weight, value=1 - SQUARE_DECAY)
        torch.sqrt(self.square, out=self.root).div_(second).add_(OFFSET)
        self.weight.addcdiv_(self.moment, self.root, value=-rate / first)
        self.beta_moment += (1 - DECAY) * (by_beta - self.beta_moment)
        self.beta_square += (1 - SQUARE_DECAY) * (by_beta**2 - self.beta_square)
        self.beta -= rate / first * self.beta_moment / (self.beta_square.sqrt() / second + OFFSET)

    def heads(self) -> list[CellHead]:
        """The heads as they are; `loss` is what the last step started from."""
        plain = [tensor.cpu().tolist() for tensor in (self.beta.abs(), self.last_loss)]
        made = zip(self.weight.cpu().numpy(), self.mean, self.scale, *plain, strict=True)
        return [CellHead(w.copy(), mean, scale, beta, self.epochs, loss, "ok") for w, mean, scale, beta, loss in made]


def fit_let_batch(
    data: AnchorData, settings: LetSettings, seed: int, epochs: int, device: str = "cpu", block: int = BLOCK
) -> list[CellHead]:
    """Train H anchor heads, each as `let.fit_let` with this seed and so many epochs would but for rounding, which grows
    with the epochs: about 1e-7 of a weight after 20 of them, 1e-3 after 100.

    data.features (H, a, F) float32, unscaled: the same a anchors as H operators give them; label and ruler are shared.
    device: where PyTorch trains; block: heads at a time. Returns H heads.
    """
    heads: list[CellHead] = []
    for start in range(0, len(data.features), block):
        part = AnchorData(data.features[start : start + block], data.label, data.ruler)
        trainer = _Trainer(part, settings, seed, device)
        for _ in range(epochs):
            trainer.epoch()
        heads += trainer.heads()
    return heads


def fit_let_batch_rates(
    data: AnchorData, settings: LetSettings, rates: Sequence[float], seed: int, epochs: int, device: str = "cpu"
) -> list[CellHead]:
    """As `let.fit_let_rates` for each of H heads: the one of the rate with the lowest training loss."""
    tried = [fit_let_batch(data, replace(settings, learning_rate=r), seed, epochs, device) for r in rates]
    return [min(heads, key=lambda head: head.loss) for heads in zip(*tried, strict=True)]

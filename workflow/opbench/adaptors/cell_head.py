"""The cell head: z = W(x - b) trained on cells (arXiv:2603.10261, spec C.1, C.2, M3; decisions 14, 19)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import cross_entropy

from opbench.adaptors.losses import angles, local_loss, reconstruction_loss, stage_loss
from opbench.config.model import Adaptor
from opbench.io.seeds import derive_seed, keyed_rng


@dataclass(frozen=True)
class HeadData:
    """Cells to train or stop on.

    features (n, F) float32, unscaled; label, branch (n,) int codes, the branch codes below n_branches;
    ruler (K, K) graph distance between labels, in steps.
    """

    features: np.ndarray
    label: np.ndarray
    branch: np.ndarray
    ruler: np.ndarray
    n_branches: int


@dataclass(frozen=True)
class CellHead:
    """A trained head; `status` is `ok`, or `cap` when the plateau was not reached within the cap."""

    weight: np.ndarray  # (d, F), acts on standardised features
    mean: np.ndarray  # (F,)
    scale: np.ndarray  # (F,)
    beta: float
    epochs: int
    loss: float
    status: str

    @property
    def parameters(self) -> int:
        """Trained numbers of the encoder and beta (the class heads are dropped after training)."""
        return self.weight.size + 1

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Latent coordinates z, (n, F) -> (n, d).

        Standardisation is folded into the weights, so no scaled copy of the features is made.
        """
        folded = self.weight / self.scale
        return np.asarray(features @ folded.T - folded @ self.mean, dtype=np.float32)


class _Prepared:
    """A data set as tensors, standardised with the training mean and sd (b is that mean)."""

    def __init__(self, data: HeadData, mean: np.ndarray, scale: np.ndarray) -> None:
        self.x = torch.from_numpy(((data.features - mean) / scale).astype(np.float32))
        self.label, self.branch = torch.from_numpy(data.label), torch.from_numpy(data.branch)
        # The ruler is scaled to [0, 1] by its largest value, once.
        self.ruler = torch.from_numpy((data.ruler / max(data.ruler.max(), 1)).astype(np.float32))
        self.squared_norm = (self.x**2).sum(1)


class CellTrainer:
    """Adam on batches of cells; `adaptors.hybrid` adds terms to its loss."""

    def __init__(self, data: HeadData, settings: Adaptor, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.mean = data.features.mean(0, dtype=np.float64).astype(np.float32)
        scale = data.features.std(0, dtype=np.float64).astype(np.float32)
        self.scale = np.where(scale > 0, scale, 1).astype(np.float32)
        self.train = _Prepared(data, self.mean, self.scale)
        self._find_neighbours()
        generator = torch.Generator().manual_seed(derive_seed(seed, "init"))
        width, n_features = settings.width, self.train.x.shape[1]
        self.weight = torch.empty(width, n_features)
        torch.nn.init.xavier_uniform_(self.weight, generator=generator)
        # An angle of pi then stands for the ruler's largest distance; beta is learnt from there.
        self.beta = torch.tensor(1 / math.pi)
        self.heads = [torch.zeros(size, width + 1) for size in (len(data.ruler), data.n_branches)]
        self.parameters = [self.weight, self.beta, *self.heads]
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.Adam(self.parameters, lr=settings.learning_rate)

    def _find_neighbours(self) -> None:
        k = min(self.settings.neighbours, len(self.train.x) - 1)
        x = self.train.x.numpy()
        distance, index = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()
        self.neighbours = torch.from_numpy(index)
        self.distances = torch.from_numpy((distance / max(distance.max(), 1e-12)).astype(np.float32))

    def loss(self, data: _Prepared, rows: torch.Tensor, local: bool) -> torch.Tensor:
        """Loss on some cells; `local` also holds what training cells alone have."""
        s = self.settings
        z = data.x[rows] @ self.weight.T
        angle, label = angles(z), data.label[rows]
        total = s.weight_stage * stage_loss(angle, self.beta, data.ruler[label][:, label])
        total = total + s.weight_recon * reconstruction_loss(z, self.weight, data.squared_norm[rows])
        for head, code in zip(self.heads, (label, data.branch[rows]), strict=True):
            total = total + s.weight_class * cross_entropy(z @ head[:, :-1].T + head[:, -1], code)
        if local and s.weight_local:
            position = torch.full((len(data.x),), -1)
            position[rows] = torch.arange(len(rows))
            near = position[self.neighbours[rows]]
            total = total + s.weight_local * local_loss(angle, self.beta, near, self.distances[rows])
        return total + self.further(z, label) if local else total

    def further(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor | float:
        """Terms of the training loss of another head, from a batch's latents (n, d) and label codes (n,); here none."""
        return 0.0

    def epoch(self, number: int) -> float:
        """One pass over the training cells; returns their mean loss."""
        order = torch.from_numpy(keyed_rng(self.seed, "epoch", number).permutation(len(self.train.x)))
        # Equal batches of at most `batch` cells: a remainder of a few cells would have no neighbours.
        batches = torch.tensor_split(order, math.ceil(len(order) / self.settings.batch))
        total = 0.0
        for rows in batches:
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.loss(self.train, rows, local=True)
            loss.backward()
            self.optimiser.step()
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def head(self, epochs: int, loss: float, status: str) -> CellHead:
        """Return a copy of the weights as they are."""
        weight = self.weight.detach().numpy().copy()
        return CellHead(weight, self.mean, self.scale, abs(float(self.beta.detach())), epochs, loss, status)


def fit_cell_head(data: HeadData, settings: Adaptor, seed: int, stop_on: HeadData | None = None) -> CellHead:
    """Train the head: for the fixed budget, or to a plateau of the loss on the cells of `stop_on`.

    `stop_on` must hold whole donors that are neither trained nor tested on. The plateau is the best
    epoch before `patience` epochs without improvement; the validation loss leaves the local term out,
    because its neighbours are training cells.
    """
    return run(CellTrainer(data, settings, seed), stop_on)


def run(trainer: CellTrainer, stop_on: HeadData | None = None) -> CellHead:
    """Train what `trainer` holds, as `fit_cell_head` does."""
    settings = trainer.settings
    if stop_on is None:
        loss = float("nan")
        for number in range(settings.epochs):
            loss = trainer.epoch(number)
        return trainer.head(settings.epochs, loss, "ok")
    validation = _Prepared(stop_on, trainer.mean, trainer.scale)
    rows = torch.arange(len(validation.x))
    best, best_epoch, head = math.inf, 0, trainer.head(0, math.inf, "cap")
    for number in range(settings.max_epochs):
        trainer.epoch(number)
        with torch.no_grad():
            loss = float(trainer.loss(validation, rows, local=False))
        if loss < best:
            best, best_epoch, head = loss, number, trainer.head(number + 1, loss, "ok")
        elif number - best_epoch >= settings.patience:
            return head
    return CellHead(**{**head.__dict__, "status": "cap"})

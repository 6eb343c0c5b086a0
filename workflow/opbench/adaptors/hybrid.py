"""The hybrid head: a cell head held to the topology of an anchor head (arXiv:2603.10261; spec C.2, M3).

L = L_cell + weight_topo ‖D(μ(z)) − D_ref‖² + weight_compact Σ_s E‖z_i − μ_s‖². What the paper leaves out is chosen as
follows. μ(z) are the latents of the training anchors, which a linear head puts at the mean of their cells' latents; D
is beta x angle, as in L_stage, and D_ref that of the anchor head on the same anchors; the square is the mean over
pairs; μ_s is the latent of the mean training cell of label s.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from opbench.adaptors.cell_head import CellHead, CellTrainer, HeadData, run
from opbench.adaptors.let import angle_distances
from opbench.adaptors.losses import angles, stage_loss
from opbench.config.model import Adaptor


@dataclass(frozen=True)
class Topology:
    """Training anchors' features (a, F) float32, unscaled, and the distances (a, a) that an anchor head gives them."""

    features: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, head: CellHead, features: np.ndarray) -> "Topology":
        """D_ref of an anchor head: beta x angle, in the unit of the ruler scaled to [0, 1]."""
        return cls(features, head.beta * angle_distances(head.transform(features)))


class HybridTrainer(CellTrainer):
    """A cell head's trainer with the two further terms; both see training cells and anchors alone."""

    def __init__(self, data: HeadData, settings: Adaptor, seed: int, topology: Topology, weights: tuple[float, float]):
        """weights: of topology and of compactness."""
        super().__init__(data, settings, seed)
        self.weight_topo, self.weight_compact = weights
        self.anchors = torch.from_numpy(((topology.features - self.mean) / self.scale).astype(np.float32))
        self.reference = torch.from_numpy(topology.reference.astype(np.float32))
        means = [data.features[data.label == code].mean(0, dtype=np.float64) for code in np.unique(data.label)]
        self.centres = torch.from_numpy(((np.stack(means) - self.mean) / self.scale).astype(np.float32))
        self.position = torch.full((len(data.ruler),), -1)
        self.position[torch.from_numpy(np.unique(data.label))] = torch.arange(len(means))

    def further(self, z: Tensor, label: Tensor) -> Tensor | float:
        """Both terms of a batch; a term of weight 0 is not computed."""
        total: Tensor | float = 0.0
        if self.weight_topo:
            # The form of L_stage with the anchor head's distances in the ruler's place.
            topology = stage_loss(angles(self.anchors @ self.weight.T), self.beta, self.reference)
            total = total + self.weight_topo * topology
        if self.weight_compact:
            total = total + self.weight_compact * self._spread(z, self.position[label])
        return total

    def _spread(self, z: Tensor, position: Tensor) -> Tensor:
        """Sum over the batch's labels of the mean squared distance to the label's centre."""
        centres = self.centres @ self.weight.T
        squares = ((z - centres[position]) ** 2).sum(1)
        count = torch.bincount(position, minlength=len(centres))
        return (squares / count[position]).sum()


def fit_hybrid(
    data: HeadData,
    settings: Adaptor,
    seed: int,
    topology: Topology,
    weight_topo: float,
    weight_compact: float,
    stop_on: HeadData | None = None,
) -> CellHead:
    """Train a hybrid head as `fit_cell_head` trains a cell head; with both weights 0 it is that head, bit for bit."""
    return run(HybridTrainer(data, settings, seed, topology, (weight_topo, weight_compact)), stop_on)

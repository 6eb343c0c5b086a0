"""Terms of the cell head's loss (arXiv:2603.10261; forms that the paper leaves out are spec M3's)."""

import torch
from torch import Tensor

#: arccos has an infinite slope at +-1; cosines are kept this far inside.
COSINE_MARGIN = 1e-5


def angles(z: Tensor) -> Tensor:
    """Pairwise angle between latent vectors, (n, d) -> (n, n), in radians."""
    unit = torch.nn.functional.normalize(z, dim=1)
    return torch.arccos((unit @ unit.T).clamp(-1 + COSINE_MARGIN, 1 - COSINE_MARGIN))


def stage_loss(angle: Tensor, beta: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of beta * angle against the ruler scaled to [0, 1], over pairs of cells."""
    off = 1 - torch.eye(len(angle), dtype=angle.dtype)
    return (((beta.abs() * angle - target) * off) ** 2).sum() / off.sum()


def local_loss(angle: Tensor, beta: Tensor, neighbours: Tensor, distances: Tensor) -> Tensor:
    """Distances to feature-space neighbours kept in the latent.

    neighbours: (n, k) positions inside the batch, -1 where a neighbour is not in it;
    distances: (n, k) feature distances scaled by the largest.
    """
    present = neighbours >= 0
    latent = beta.abs() * angle.gather(1, neighbours.clamp(min=0))
    return (((latent - distances) ** 2) * present).sum() / present.sum().clamp(min=1)


def reconstruction_loss(z: Tensor, weight: Tensor, squared_norm: Tensor) -> Tensor:
    """Mean squared tied reconstruction |W'z - x|^2 / F of standardised features x.

    Expanded to z(WW')z' - 2 z.z + |x|^2 with z = Wx, so that no (n, F) matrix is formed (decision 19).
    """
    gram = weight @ weight.T
    error = ((z @ gram) * z).sum(1) - 2 * (z * z).sum(1) + squared_norm
    return error.mean() / weight.shape[1]

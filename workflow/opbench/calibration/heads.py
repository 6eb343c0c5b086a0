"""The closed-form head: a ridge regression of the class contrast on an operator's features, one solve a fit."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import sposv

from opbench.calibration.world import NEGATIVE, POSITIVE

#: Ridge penalty in shares of a feature's variance. Without one, every invertible operator gives the same scores.
PENALTY = 0.1
#: Adaptor seeds: standard deviation of the noise on the labels ±1 that a seed trains on.
JITTER = 0.5
#: Added to covariances, in shares of the mean variance, so that a gene no cell shows leaves them definite.
SLACK = 1e-4


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of training sets: contrasts (F, G) of the classes, and Cholesky factors (F, G, G).

    A factor's product with its transpose is the sum of squares, and `root @ normal` is what noise on labels adds.
    """

    contrast: np.ndarray
    root: np.ndarray


def moments(cells: np.ndarray, trained: np.ndarray) -> Moments:
    """Moments of every training set from cells (donors, K, cells, G) and trained (F, donors) bool."""
    donors, classes, per_class, genes = cells.shape
    flat = cells.reshape(donors, -1, genes)
    contrast = cells[:, POSITIVE].sum(axis=1) - cells[:, NEGATIVE].sum(axis=1)
    weight = trained.astype(np.float32)
    n = weight.sum(axis=1) * classes * per_class

    def summed(values: np.ndarray) -> np.ndarray:
        return (weight @ values.reshape(donors, -1)).reshape(-1, *values.shape[1:])

    mean = summed(flat.sum(axis=1)) / n[:, None]
    centred = summed(flat.transpose(0, 2, 1) @ flat) - n[:, None, None] * mean[:, :, None] * mean[:, None, :]
    slack = SLACK * np.trace(centred, axis1=1, axis2=2)[:, None, None] / genes * np.eye(genes, dtype=np.float32)
    return Moments(summed(contrast), np.linalg.cholesky(centred + slack))


def fit(operators: np.ndarray, of: Moments, rng: np.random.Generator) -> np.ndarray:
    """Weights on genes (O, F, G) of the head on every operator (O, G, H) and training set, each with its own seed."""
    noise = JITTER * rng.standard_normal((len(operators), *of.contrast.shape), dtype=np.float32)
    target = of.contrast + (of.root @ noise[..., None])[..., 0]
    features = of.root.transpose(0, 2, 1) @ operators[:, None]
    gram = features.transpose(0, 1, 3, 2) @ features
    diagonal = np.einsum("ofgg->ofg", gram)
    diagonal += PENALTY * diagonal + 1e-6 * diagonal.max(axis=-1, keepdims=True)
    onto = (target[:, :, None] @ operators[:, None])[:, :, 0]
    solved = np.empty_like(onto)
    for place in np.ndindex(onto.shape[:2]):
        # LAPACK's solver for definite matrices takes half the time of numpy's general one.
        _, solved[place], failed = sposv(gram[place], onto[place])
        if failed:
            raise np.linalg.LinAlgError("A closed-form head's normal equations are not positive definite.")
    return (operators[:, None] @ solved[..., None])[..., 0]


def aurocs(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC (donors, O) of the endpoint's two classes in cells (donors, K, cells, G) by weights (donors, O, G)."""
    scores = weights[:, None] @ cells[:, [POSITIVE, NEGATIVE]].transpose(0, 1, 3, 2)  # (donors, 2, O, cells)
    larger = scores[:, 0, :, :, None] > scores[:, 1, :, None]
    return larger.reshape(*larger.shape[:2], -1).view(np.int8).sum(axis=-1, dtype=np.int32) / larger[0, 0].size

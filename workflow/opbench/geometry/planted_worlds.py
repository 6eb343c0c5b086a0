"""Planted worlds: tensors, graphs and regulatory edges whose relation to each other is known.

A gene's token count departs from its detection, and geometry and labels follow the count: the confounding that the
matched nulls are for, and that strata of detection and expression alone cannot answer.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.nulls import make_strata
from opbench.geometry.scopes import Spectral, spectral_coordinates
from opbench.geometry.tensor import GeneTensor

#: Genes, layers and width of a planted tensor; cells that it is a mean over.
GENES, LAYERS, WIDTH, CELLS = 160, 3, 16, 256
#: Quantile bins of each covariate that the strata cross.
BINS = 5
#: Bins of strata of detection and mean alone, which are there to compare.
BINS_WITHOUT_COUNT = 10


def draw_tensor(rng: np.random.Generator, confounding: float = 1.0, n: int = GENES, layers: int = LAYERS) -> GeneTensor:
    """A tensor of `n` genes whose first two columns follow the token count by `confounding`.

    The count is a binomial thinning of the cells in which a gene is detected, by a factor of the gene's own: a cell's
    list of tokens ends before its lowly expressed genes.
    """
    detection = np.clip(rng.beta(1, 2.5, n), 0.01, 1)
    count = np.maximum(1, rng.binomial(np.round(CELLS * detection).astype(np.int64), rng.beta(0.8, 0.8, n)))
    spectrum = 1 / np.sqrt(1 + np.arange(WIDTH))
    base = rng.normal(size=(n, WIDTH))
    base[:, :2] += confounding * _standardised_rank(count)[:, None]
    tensor = (base + 0.4 * rng.normal(size=(layers, n, WIDTH))) * spectrum
    mean = detection * rng.uniform(1.0, 1.2, n)
    facts = [part.astype(np.float32) for part in (mean, mean * (1 - detection), detection)]
    genes = [f"G{index:03d}" for index in range(n)]
    return GeneTensor(tensor.astype(np.float32), count.astype(np.int64), *facts, genes, list(range(layers)))


def _standardised_rank(values: NDArray) -> NDArray[np.float64]:
    order = values.argsort(kind="stable").argsort(kind="stable")
    return (order / (len(values) - 1) - 0.5) * np.sqrt(12)


def detection_of(tensor: GeneTensor) -> NDArray[np.float64]:
    """Detection as a standardised rank, (n,)."""
    return _standardised_rank(tensor.detection)


def count_of(tensor: GeneTensor) -> NDArray[np.float64]:
    """Token count as a standardised rank, (n,)."""
    return _standardised_rank(tensor.count)


def coordinates(tensor: GeneTensor) -> tuple[Spectral, NDArray[np.int64]]:
    """All axes of the tensor, and strata of log count, detection and mean."""
    spectral = spectral_coordinates(tensor, "nonzero", axes=WIDTH)
    return spectral, make_strata(tensor.covariates(spectral.rows)[:, [2, 0, 1]], BINS)


def strata_without_count(tensor: GeneTensor) -> NDArray[np.int64]:
    """Strata of detection and mean alone, (n,)."""
    return make_strata(tensor.covariates(np.arange(len(tensor.genes)))[:, :2], BINS_WITHOUT_COUNT)


def added(tensor: GeneTensor, shift: NDArray) -> GeneTensor:
    """The tensor with `shift` (n, d), or (L, n, d), added."""
    return replaced(tensor, tensor.tensor + shift)


def replaced(tensor: GeneTensor, values: NDArray) -> GeneTensor:
    """The tensor with other `values` (L, n, d)."""
    return replace(tensor, tensor=np.asarray(values, dtype=np.float32))


def direction(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random direction of the tensor's width, length 1."""
    vector = rng.normal(size=WIDTH)
    return vector / np.linalg.norm(vector)


def likely(rng: np.random.Generator, tensor: GeneTensor, confounding: float, base: float = -1.0) -> NDArray[np.bool_]:
    """Genes drawn more often the more often they are tokens, (n,)."""
    return rng.random(len(tensor.genes)) < 1 / (1 + np.exp(-(base + confounding * count_of(tensor))))


def draw_graph(
    rng: np.random.Generator,
    tensor: GeneTensor,
    confounding: float,
    latent: NDArray | None = None,
    edges: int = 400,
    sharpness: float = 1.5,
) -> NDArray[np.int64]:
    """Edges (E, 2), genes chosen by count; near in `latent` (n, c) where given, the more the higher `sharpness`."""
    level = count_of(tensor)
    i, j = np.triu_indices(len(level), 1)
    score = confounding * (level[i] + level[j])
    if latent is not None:
        score = score - sharpness * ((latent[i] - latent[j]) ** 2).sum(axis=1)
    chosen = np.argsort(-(score + rng.gumbel(size=len(i))), kind="stable")[:edges]
    return np.column_stack([i, j])[chosen]


def regulation(
    rng: np.random.Generator, tensor: GeneTensor, planted: bool, x: NDArray | None = None, popularity: float = 0.8
) -> pd.DataFrame:
    """Edges of 20 factors; popular targets lie near all factors; planted: a factor's targets lie near itself.

    Places are `x` (n, d), or the mean over layers; `popularity` 0 leaves the popular targets out.
    """
    x = tensor.tensor.mean(axis=0) if x is None else x
    factors, targets = np.arange(20), np.arange(20, len(x))
    popular = -popularity * ((x[targets] - x[factors].mean(axis=0)) ** 2).sum(axis=1)
    score = np.tile(popular, (len(factors), 1)) + rng.normal(0, 0.5, (len(factors), 1))
    if planted:
        score = score - 0.8 * ((x[factors][:, None] - x[targets]) ** 2).sum(axis=2)
    flat = (score + rng.gumbel(size=score.shape)).ravel()
    chosen = np.argsort(-flat, kind="stable")[:250]
    names = np.array(tensor.genes)
    source, target = names[factors[chosen // len(targets)]], names[targets[chosen % len(targets)]]
    return pd.DataFrame({"source": source, "target": target, "sign": "unknown"})

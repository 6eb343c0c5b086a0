"""Which genes an analysis sees, and their coordinates on the singular axes of each layer (spectral-geometry 1.3)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from opbench.geometry.tensor import GeneTensor
from opbench.io.errors import InputError

Scope = Literal["all_rows", "nonzero", "named_nonzero"]
#: The second is primary: zero rows are genes that were never tokenised, not genes that lie at the origin.
SCOPES: tuple[Scope, ...] = ("all_rows", "nonzero", "named_nonzero")


@dataclass(frozen=True)
class Spectral:
    """Coordinates of n genes on the first k singular axes of L layers.

    `rows` (n,) are the genes' rows in the tensor; `layers` (L,) their numbers, -1 before the first block; `u` (L, n, k)
    left vectors, `s` (L, r) all singular values, descending. Axis numbers of two scopes are not comparable.
    """

    scope: Scope
    genes: list[str]
    rows: NDArray[np.int64]
    layers: list[int]
    u: NDArray[np.float64]
    s: NDArray[np.float64]

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """U S, (L, n, k)."""
        return self.u * self.s[:, None, : self.u.shape[2]]

    def axes(self, first: int, last: int) -> NDArray[np.float64]:
        """U S of the axes `first` to `last`, counted from 1, (L, n, last - first + 1)."""
        return self.u[:, :, first - 1 : last] * self.s[:, None, first - 1 : last]

    def index(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Position of each name among the genes, -1 where absent: by symbol, never by place in another list."""
        place = {gene: position for position, gene in enumerate(self.genes)}
        return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def scope_rows(
    tensor: GeneTensor, scope: Scope, named: Collection[str] = (), least_cells: int = 1
) -> NDArray[np.int64]:
    """Rows of the tensor that a scope sees, ascending.

    `nonzero` are genes tokenised in at least `least_cells` cells, `named_nonzero` those of them that are `named` by a
    knowledge table. Fewer than three rows are an InputError: they span no axis.
    """
    seen = np.ones(len(tensor.genes), dtype=bool) if scope == "all_rows" else tensor.count >= max(least_cells, 1)
    if scope == "named_nonzero":
        wanted = set(named)
        seen &= np.array([gene in wanted for gene in tensor.genes])
    rows = np.flatnonzero(seen)
    if len(rows) < 3:
        raise InputError(
            f"geometry scope {scope}: {len(rows)} of {len(tensor.genes)} genes are left with at least "
            f"{least_cells} cells; use more cells or a knowledge table that names more of the genes."
        )
    return rows


def spectral_coordinates(
    tensor: GeneTensor, scope: Scope, named: Collection[str] = (), axes: int = 10, least_cells: int = 1
) -> Spectral:
    """Thin SVD of each layer's column-centred rows of a scope; the first `axes` left vectors are kept.

    The largest entry of each vector of the first layer is positive; every further layer's axis is flipped so that it
    correlates with the same axis of the layer before (a sign is arbitrary, and so is any statement about one pole).
    """
    rows = scope_rows(tensor, scope, named, least_cells)
    left, singular = [], []
    for layer in range(len(tensor.tensor)):
        x = tensor.tensor[layer, rows].astype(np.float64)
        u, s = leading_vectors(x - x.mean(axis=0), axes)
        left.append(u)
        singular.append(s)
    u = aligned_signs(np.stack(left))
    return Spectral(scope, [tensor.genes[row] for row in rows], rows, tensor.layers, u, np.stack(singular))


def leading_vectors(x: NDArray[np.float64], axes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first `axes` left singular vectors of `x` (n, d) and all its singular values, descending.

    A few axes of a tall matrix are taken from the eigenvectors of x'x, six times as fast; that squares the condition,
    so that vectors whose value is below 1e-4 of the first are taken from the decomposition itself.
    """
    n, d = x.shape
    if n > 2 * d and axes < d // 2:
        value, vector = np.linalg.eigh(x.T @ x)
        s = np.sqrt(np.maximum(value[::-1], 0))
        if s[axes - 1] > 1e-4 * s[0]:
            return x @ vector[:, ::-1][:, :axes] / s[:axes], s
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, :axes].copy(), s  # a view would keep all of u


def aligned_signs(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """`u` (L, n, k) with each axis flipped to agree with the layer before; the first layer's largest entry is > 0."""
    out = u.copy()
    largest = np.take_along_axis(out[0], np.abs(out[0]).argmax(axis=0)[None], axis=0)[0]
    out[0] *= np.where(largest < 0, -1, 1)
    for layer in range(1, len(out)):
        out[layer] *= np.where((out[layer - 1] * out[layer]).sum(axis=0) < 0, -1, 1)
    return out


def poles(coordinates: NDArray, k_frac: float = 0.25) -> NDArray[np.int8]:
    """Pole of each gene on each axis, (L, n, k) int8: 1 for the K highest, -1 for the K lowest, else 0.

    K is `k_frac` of the genes, rounded; ties go by the genes' order.
    """
    coordinates = np.asarray(coordinates)
    n = coordinates.shape[1]
    size = min(max(1, round(k_frac * n)), n // 2)
    order = np.argsort(coordinates, axis=1, kind="stable")
    out = np.zeros(coordinates.shape, dtype=np.int8)
    np.put_along_axis(out, order[:, :size], -1, axis=1)
    np.put_along_axis(out, order[:, n - size :], 1, axis=1)
    return out


def unit_rows(x: NDArray) -> NDArray[np.float64]:
    """Rows (the last axis) scaled to length 1; a zero row stays zero."""
    x = np.asarray(x, dtype=np.float64)
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def cosines(x: NDArray) -> NDArray[np.float64]:
    """Cosines between the rows of each layer, (..., n, d) to (..., n, n)."""
    unit = unit_rows(x)
    return unit @ np.swapaxes(unit, -1, -2)


def distances(x: NDArray) -> NDArray[np.float64]:
    """Euclidean distances between the rows of each layer, (..., n, d) to (..., n, n)."""
    x = np.asarray(x, dtype=np.float64)
    square = (x**2).sum(axis=-1)
    squared = square[..., :, None] + square[..., None, :] - 2 * x @ np.swapaxes(x, -1, -2)
    return np.sqrt(np.maximum(squared, 0))

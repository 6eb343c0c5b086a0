"""Smaller operators: low rank and hard sparse factors of an operator's matrix (arXiv:2603.10261, spec B.1, H.2)."""

import re
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import svd

from opbench.io.errors import InputError

#: The paper's hard sparse model: 16 rank-1 factors of 60 read and 60 write genes each, 1,920 weights.
FACTORS, GENES = 16, 60
#: Variants by name; `rank<r>` for any r beside them.
VARIANTS = ("full", "top1", "sparse")


@dataclass(frozen=True)
class Reduced:
    """A matrix (G, F) float32 as it is, or as the product of left (G, r) and right (r, F), both float32.

    sparse: few entries of the factors differ from 0, and a file holds those alone.
    """

    dense: np.ndarray | None = None
    left: np.ndarray | None = None
    right: np.ndarray | None = None
    sparse: bool = False

    @property
    def matrix(self) -> np.ndarray:
        """The whole matrix, (G, F) float32."""
        if self.dense is not None:
            return self.dense
        assert self.left is not None and self.right is not None
        return self.left @ self.right

    @property
    def shape(self) -> tuple[int, int]:
        """(G, F)."""
        if self.dense is not None:
            return self.dense.shape  # type: ignore[return-value]
        assert self.left is not None and self.right is not None
        return self.left.shape[0], self.right.shape[1]

    @property
    def rank(self) -> int | None:
        """Number of factors; None of a dense matrix."""
        return None if self.left is None else self.left.shape[1]

    def times(self, right: np.ndarray) -> np.ndarray:
        """The product with `right` (F, d) in float64, (G, d), without the whole matrix."""
        right = right.astype(np.float64)
        if self.dense is not None:
            return self.dense @ right
        assert self.left is not None and self.right is not None
        return self.left @ (self.right @ right)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a file holds: `dense`, or those of `left` and `right`.

        Sparse factors are held as CSR of the factors: `<side>_data`, `_indices`, `_indptr`, `_shape`, of left' (r, G)
        and right (r, F), the indices in 16 bits where they fit.
        """
        if self.dense is not None:
            return {"dense": self.dense}
        assert self.left is not None and self.right is not None
        if not self.sparse:
            return {"left": self.left, "right": self.right}
        return _packed("left", self.left.T) | _packed("right", self.right)

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "Reduced":
        """Undo `arrays`; KeyError or ValueError for arrays that do not fit together."""
        if "dense" in arrays:
            return cls(dense=arrays["dense"])
        if "left" in arrays:
            return cls(left=arrays["left"], right=arrays["right"])
        left, right = (_unpacked(side, arrays) for side in ("left", "right"))
        return cls(left=np.ascontiguousarray(left.T), right=right, sparse=True)

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of the arrays that a file holds."""
        return sum(array.nbytes for array in self.arrays().values())


def reduce(matrix: np.ndarray, variant: str, factors: int = FACTORS, genes: int = GENES) -> Reduced:
    """Reduce an operator's matrix (G, F) by the name of a variant.

    `full` and `top1` keep it (a single head is an operator of its own), `rank<r>` keeps r singular triplets, `sparse`
    hard sparse `factors` of so many `genes`. InputError for another name.
    """
    if variant in ("full", "top1"):
        return Reduced(dense=np.ascontiguousarray(matrix, dtype=np.float32))
    if variant == "sparse":
        return hard_sparse(matrix, factors, genes)
    if found := re.fullmatch(r"rank([1-9]\d*)", variant):
        return low_rank(matrix, int(found[1]))
    raise InputError(f"compaction variant '{variant}' is unknown; use one of {list(VARIANTS)} or rank<r>, as rank64.")


def low_rank(matrix: np.ndarray, rank: int) -> Reduced:
    """The best approximation of `rank` in the least-squares sense, from the first singular triplets.

    Each factor's singular value is split evenly between left and right; fewer factors where the matrix has fewer.
    """
    left, right = singular_factors(matrix, rank)
    return Reduced(left=left, right=right)


def hard_sparse(matrix: np.ndarray, factors: int = FACTORS, genes: int = GENES) -> Reduced:
    """The first rank-1 factors, each with its `genes` largest read (left) and write (right) entries alone."""
    left, right = singular_factors(matrix, factors)
    return Reduced(left=_largest(left.T, genes).T.copy(), right=_largest(right, genes), sparse=True)


def singular_factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """First `rank` factors by singular value: left (G, r) and right (r, F) float32, equally scaled.

    The entry of largest magnitude of each left vector is positive, so that signs do not depend on the solver.
    """
    rows, columns = (np.flatnonzero(matrix.any(axis)) for axis in (1, 0))
    u, s, vt = svd(matrix[np.ix_(rows, columns)].astype(np.float64), full_matrices=False)
    rank = min(rank, int((s > s.max(initial=0) * 1e-7).sum()))  # what is below is rounding of float32
    u, vt, root = u[:, :rank], vt[:rank], np.sqrt(s[:rank])
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(rank)]) if rank else np.ones(0)
    left = np.zeros((matrix.shape[0], rank), np.float32)
    right = np.zeros((rank, matrix.shape[1]), np.float32)
    left[rows], right[:, columns] = u * sign * root, vt * (sign * root)[:, None]
    return left, right


def _largest(vectors: np.ndarray, n: int) -> np.ndarray:
    """Rows with all but their n entries of largest magnitude set to 0; ties by position."""
    order = np.argsort(-np.abs(vectors), axis=1, kind="stable")[:, :n]
    out = np.zeros_like(vectors)
    np.put_along_axis(out, order, np.take_along_axis(vectors, order, 1), 1)
    return out


def _packed(side: str, vectors: np.ndarray) -> dict[str, np.ndarray]:
    held = sp.csr_matrix(vectors)
    small = np.uint16 if max(*held.shape, held.nnz) <= np.iinfo(np.uint16).max else np.int32
    return {
        f"{side}_data": held.data.astype(np.float32),
        f"{side}_indices": held.indices.astype(small),
        f"{side}_indptr": held.indptr.astype(small),
        f"{side}_shape": np.array(held.shape, np.int32),
    }


def _unpacked(side: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    data, indices, indptr, shape = (arrays[f"{side}_{part}"] for part in ("data", "indices", "indptr", "shape"))
    held = sp.csr_matrix((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=tuple(map(int, shape)))
    held.check_format(full_check=True)
    return held.toarray()

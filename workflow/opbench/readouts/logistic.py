"""Many logistic regressions at once: every split and task of a representation shares the passes over the cells.

The problems are those of scikit-learn's `LogisticRegression(class_weight="balanced")` on standardised features. A
pass over the cells is one product with the weights of all problems side by side, on the sparse expression itself:
a split's standardisation, and its projection where the representation is one, are folded into the weights. Each
problem has its own L-BFGS (Nocedal 1980) and its own line search, exact because logits are linear along a step.
Measured and not used: warm starts from another split and Gram or Hessian preconditioners, which need more passes
(marrow, 1,200 genes: about 130 without).
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from opbench.readouts import kernels

log = logging.getLogger("opbench.probes")
#: Inverse penalty of the logistic probe on standardised features; scikit-learn's default, not tuned.
INVERSE_PENALTY = 1.0
#: A fit ends when no entry of the gradient of the mean loss exceeds this. Largest change of a split's balanced accuracy
#: or AUROC from 3e-7 to 1e-7 on marrow (40 splits, 1,200 genes): 0.0012; from 1e-6 it is 0.025 (one cell of T vs CTL).
TOLERANCE = 3e-7
#: Passes after which rounding, not distance, keeps the gradient up.
MAX_ITERATIONS = 600
#: Pairs that L-BFGS remembers (scikit-learn's number), and where features were turned to their axes: half the passes.
MEMORY, MEMORY_AXES = 10, 100
#: Logits held at once, which also keeps the weights of a pass in the processor's cache.
BLOCK_LOGITS, BLOCK_COLUMNS = 1 << 25, 512
#: The line search ends when the slope has fallen to this share, or after so many evaluations.
SLOPE_LEFT, MAX_STEPS = 0.9, 5
#: Logit of a class without training cells.
ABSENT = np.float32(-1e30)


@dataclass(frozen=True)
class Labels:
    """One task: codes (n,) of the design's rows, -1 where a row has no part in it; two classes share one column."""

    codes: np.ndarray
    n_classes: int

    @property
    def columns(self) -> int:
        """Logits of a cell: as many as classes, or the one that tells two apart."""
        return 1 if self.n_classes == 2 else self.n_classes


@dataclass(frozen=True)
class Fold:
    """One split: which rows train (n,) bool, and the projection (G, d) of its representation, None for none.

    penalty (d,) multiplies that on the squared weights where features were turned to their axes.
    """

    train: np.ndarray
    projection: np.ndarray | None
    mean: np.ndarray
    scale: np.ndarray
    penalty: np.ndarray | None = None


@dataclass(frozen=True)
class Linear:
    """A fitted probe on the design's own columns: decision scores are x @ weights + bias, -inf for absent classes.

    converged: whether the gradient fell below the tolerance within `MAX_ITERATIONS` passes.
    """

    weights: np.ndarray
    bias: np.ndarray
    converged: bool = True

    def scores(self, x: np.ndarray | sp.csr_matrix) -> np.ndarray:
        """Decision scores (n, columns)."""
        return np.asarray(x @ self.weights) + self.bias


def fit_logistic(
    x: np.ndarray | sp.csr_matrix, tasks: Sequence[Labels], folds: Sequence[Fold], threads: int = 1
) -> list[list[Linear]]:
    """Fit every task on every fold of a design (n, G): a list by fold of a list by task.

    Float32; folds are worked through in blocks, `threads` of them at once.
    """
    transposed = x.T.tocsr() if sp.issparse(x) else x.T
    columns = sum(task.columns for task in tasks)
    size = max(1, min(BLOCK_COLUMNS, BLOCK_LOGITS // max(1, x.shape[0])) // max(1, columns))
    size = min(size, -(-len(folds) // threads))
    blocks = []
    for width in sorted({len(fold.mean) for fold in folds}):
        same = [i for i, fold in enumerate(folds) if len(fold.mean) == width]
        blocks += [same[start : start + size] for start in range(0, len(same), size)]

    def fit(members: list[int]) -> list[list[Linear]]:
        return _Block(x, transposed, tasks, [folds[i] for i in members]).fit()

    with ThreadPoolExecutor(threads) as pool:
        fitted = pool.map(fit, blocks)
        found: dict[int, list[Linear]] = {}
        for members, block in zip(blocks, fitted, strict=True):
            found |= dict(zip(members, block, strict=True))
    return [found[i] for i in range(len(folds))]


class _Block:
    """Folds of one width that share their passes over the cells."""

    def __init__(self, x, transposed, tasks: Sequence[Labels], folds: Sequence[Fold]) -> None:
        self.x, self.transposed, self.folds = x, transposed, folds
        self.tasks = [_TaskBatch(task, folds) for task in tasks]

    def fit(self) -> list[list[Linear]]:
        for _ in range(MAX_ITERATIONS):
            batches = [batch for batch in self.tasks if len(batch.active)]
            if not batches:
                break
            gradients = self._backward(batches)
            for batch, (weights, bias) in zip(batches, gradients, strict=True):
                batch.direct(weights, bias)
            batches = [batch for batch in batches if len(batch.active)]
            for batch, steps in zip(batches, self._forward(batches), strict=True):
                batch.advance(steps)
        if left := sum(len(batch.active) for batch in self.tasks):
            log.warning("%d probes still moved after %d passes", left, MAX_ITERATIONS)
        found = [batch.result() for batch in self.tasks]
        left_over = [set(batch.active.tolist()) for batch in self.tasks]
        return [
            [self._fold_in(fold, *task[i], i not in moving) for task, moving in zip(found, left_over, strict=True)]
            for i, fold in enumerate(self.folds)
        ]

    def _fold_in(self, fold: Fold, weights: np.ndarray, bias: np.ndarray, converged: bool) -> Linear:
        """Weights on standardised features (k, d) as weights on the design's columns (G, k)."""
        scaled = weights / fold.scale
        bias = bias - scaled @ fold.mean
        return Linear(np.ascontiguousarray(_out(fold, scaled).T), bias, converged)

    def _forward(self, batches: list["_TaskBatch"]) -> list[np.ndarray]:
        """Logits along the directions, (S, k, n_t) for every batch."""
        if not batches:
            return []
        columns, offsets = [], []
        for batch in batches:
            for fold, direction in zip(batch.active, batch.direction, strict=True):
                scaled = direction[:, :-1] / self.folds[fold].scale
                columns.append(_out(self.folds[fold], scaled))
                offsets.append(direction[:, -1] - scaled @ self.folds[fold].mean)
        stacked = np.ascontiguousarray(np.concatenate(columns).T, dtype=np.float32)
        products, start = _times(self.x, stacked), 0
        out = []
        for batch in batches:
            mine = np.empty(batch.share.shape, np.float32)
            offset = np.asarray(offsets[: len(mine)], np.float32)
            kernels.gather(products, batch.rows, start, offset, mine)
            out.append(mine)
            start, offsets = start + mine.shape[0] * mine.shape[1], offsets[len(mine) :]
        return out

    def _backward(self, batches: list["_TaskBatch"]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Gradients of the loss: weights (S, k, d) on standardised features, and biases (S, k)."""
        total = sum(batch.share.shape[0] * batch.columns for batch in batches)
        stacked, start, biases = np.zeros((self.x.shape[0], total), np.float32), 0, []
        for batch in batches:
            bias = np.empty(batch.share.shape[:2])
            kernels.residuals(batch.share, batch.codes, batch.weight, batch.rows, stacked, start, bias)
            start += bias.size
            biases.append(bias.astype(np.float32))
        products = np.ascontiguousarray(_times(self.transposed, stacked).T)
        out, start = [], 0
        for batch, bias in zip(batches, biases, strict=True):
            weights = np.empty((*bias.shape, batch.width), np.float32)
            for i, fold in enumerate(self.folds[f] for f in batch.active):
                block = products[start : start + batch.columns]
                start += batch.columns
                block = block if fold.projection is None else block @ fold.projection
                weights[i] = (block - bias[i][:, None] * fold.mean) / fold.scale
            out.append((weights, bias))
        return out


def _times(x: np.ndarray | sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """x @ weights, (n, columns) float32."""
    if not sp.issparse(x):
        return x @ weights
    out = np.empty((x.shape[0], weights.shape[1]), np.float32)
    kernels.product(x.indptr, x.indices, x.data, weights, out)
    return out


def _out(fold: Fold, scaled: np.ndarray) -> np.ndarray:
    """Weights (k, d) on a fold's features as weights (k, G) on the design."""
    return scaled if fold.projection is None else scaled @ fold.projection.T


class _TaskBatch:
    """One task on several folds: weights, logits and L-BFGS memory, the folds side by side.

    Shapes: S active folds, k columns, d features and a bias, n_t rows of the task.
    """

    def __init__(self, task: Labels, folds: Sequence[Fold]) -> None:
        self.rows = np.flatnonzero(task.codes >= 0)
        codes = task.codes[self.rows]
        self.columns, self.width, self.codes = task.columns, len(folds[0].mean), codes
        counts = np.stack([np.bincount(codes[fold.train[self.rows]], minlength=task.n_classes) for fold in folds])
        present = counts > 0
        n, k = counts.sum(1), present.sum(1)
        weight = np.where(present, n[:, None] / np.maximum(k[:, None] * counts, 1), 0)
        inside = np.stack([fold.train[self.rows] for fold in folds])
        self.weight = (weight[:, codes] * inside).astype(np.float32)
        # With one column a class for each of two, the same function costs half the penalty: count it twice.
        self.penalty = (np.where(k == 2, 2.0, 1.0) if self.columns > 1 else np.ones(len(folds))) / INVERSE_PENALTY
        self.penalty = self.penalty.astype(np.float32)[:, None, None]
        self.memory = MEMORY
        if folds[0].penalty is not None:
            self.memory = MEMORY_AXES
            self.penalty = self.penalty * np.stack([fold.penalty for fold in folds]).astype(np.float32)[:, None]
        self.absent = None if self.columns == 1 or present.all() else ~present
        self.tolerance = TOLERANCE * n
        size = (len(folds), self.columns, self.width + 1)
        self.point = np.zeros(size, np.float32)
        self.logits = np.zeros((len(folds), self.columns, len(self.rows)), np.float32)
        if self.absent is not None:
            self.logits[self.absent] = ABSENT
        self.active = np.flatnonzero(k > 1)
        self._final = [(np.zeros(size[1:], np.float32), present[i]) for i in range(len(folds))]
        self._present, self.steps, self.changes = present, [], []
        self.gradient: np.ndarray | None = None
        if len(self.active) < len(folds):
            self._keep(self.active)
        self.share = np.empty_like(self.logits)
        self._step(np.zeros_like(self.logits), np.zeros(len(self.active), np.float32))

    def _step(self, along: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities at a point of the line, and the loss's derivatives along it."""
        first, second = np.empty(len(length)), np.empty(len(length))
        kernels.step(self.logits, along, length, self.codes, self.weight, self.share, first, second)
        return first, second

    def direct(self, weights: np.ndarray, bias: np.ndarray) -> None:
        """Take the loss's gradient at the current point, retire folds that are done, find the others' directions."""
        gradient = np.concatenate([weights + self.penalty * self.point[:, :, :-1], bias[:, :, None]], axis=2)
        if self.gradient is not None:
            self.changes = [*self.changes, gradient - self.gradient][-self.memory :]
        self.gradient = gradient
        done = np.abs(gradient).max((1, 2)) <= self.tolerance
        if done.any():
            for i in np.flatnonzero(done):
                self._final[self.active[i]] = (self.point[i], self._present[i])
            self._keep(np.flatnonzero(~done))
        if len(self.active):
            self.direction = self._two_loops()

    def _two_loops(self) -> np.ndarray:
        """L-BFGS direction of every fold."""
        ahead, past = -self.gradient, []
        for step, change in zip(self.steps[::-1], self.changes[::-1], strict=True):
            curvature = _dot(step, change)
            share = _dot(step, ahead) / curvature
            ahead -= share[:, None, None] * change
            past.append((share, curvature))
        if self.steps:
            last, change = self.steps[-1], self.changes[-1]
            ahead *= (_dot(last, change) / _dot(change, change))[:, None, None]
        for (share, curvature), step, change in zip(past[::-1], self.steps, self.changes, strict=True):
            ahead += (share - _dot(change, ahead) / curvature)[:, None, None] * step
        return ahead

    def advance(self, along: np.ndarray) -> None:
        """Go to the minimum along the direction; `along` (S, k, n_t) is its logits."""
        if self.absent is not None:
            along[self.absent] = 0
        d, w = self.direction[:, :, :-1], self.point[:, :, :-1]
        pull, stiff = _penalised(self.penalty, w, d), _penalised(self.penalty, d, d)
        slope, curvature = np.empty(len(pull)), np.empty(len(pull))
        kernels.slopes(self.share, along, self.codes, self.weight, slope, curvature)
        slope += pull
        start, length = np.abs(slope), -slope / (curvature + stiff)
        for _ in range(MAX_STEPS):
            slope, curvature = self._step(along, length.astype(np.float32))
            slope += pull + length * stiff
            short = np.abs(slope) > SLOPE_LEFT * start
            if not short.any():
                break
            length = np.where(short, length - slope / (curvature + stiff), length)
        length = length.astype(np.float32)[:, None, None]
        step = length * self.direction
        self.logits = self.logits + length * along
        self.point = self.point + step
        self.steps = [*self.steps, step][-self.memory :]

    def _keep(self, kept: np.ndarray) -> None:
        """Go on with some of the active folds."""
        for name in ("active", "point", "logits", "weight", "penalty", "tolerance", "_present"):
            setattr(self, name, getattr(self, name)[kept])
        for name in ("gradient", "share", "absent"):
            if getattr(self, name, None) is not None:
                setattr(self, name, getattr(self, name)[kept])
        self.steps = [step[kept] for step in self.steps]
        self.changes = [change[kept] for change in self.changes]

    def result(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights (k, d) and bias (k,) by fold; the bias of an absent class is -inf."""
        for i, fold in enumerate(self.active):
            self._final[fold] = (self.point[i], self._present[i])
        out = []
        for point, present in self._final:
            bias = point[:, -1].astype(np.float64)
            if self.columns > 1:
                bias = np.where(present, bias, -np.inf)
            elif not present.all():
                bias[:] = np.inf if present[1] else -np.inf
            out.append((point[:, :-1].astype(np.float64), bias))
        return out


def _penalised(penalty: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of every fold under its penalty, (S, 1, 1) or (S, 1, d)."""
    return penalty[:, 0, 0] * _dot(a, b) if penalty.shape[2] == 1 else _dot(penalty * a, b)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of every fold, (S, ...) twice -> (S,)."""
    return np.einsum("sd,sd->s", a.reshape(len(a), -1), b.reshape(len(b), -1))

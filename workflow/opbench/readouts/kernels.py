"""Compiled passes over the logits of many logistic regressions: float32, without the interpreter's lock.

Shapes: S folds, k columns of a task, n cells. Sums over cells are made in float64 and in a fixed order.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

#: Cells worked on at once: a few columns of them stay in the first cache.
CHUNK = 256
#: Rounding may be reassociated, so that loops use vector instructions; NaN and infinities keep their meaning.
FAST = {"reassoc", "contract", "arcp", "nsz"}
# exp(x) = 2**n * exp(r), |r| <= log(2) / 2, the second factor by a polynomial (relative error 2e-7, x in [-87, 0]).
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
_P = [np.float32(1 / f) for f in (1, 1, 2, 6, 24, 120, 720)]
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = _P
_LOWEST, _HALF = np.float32(-87.0), np.float32(0.5)


def _compiled(function: Callable) -> Callable:
    """Compile, and keep the machine code beside the source where that can be written."""
    try:
        return njit(nogil=True, cache=True, fastmath=FAST)(function)
    except RuntimeError:
        return njit(nogil=True, fastmath=FAST)(function)


@_compiled
def _exp(x, power, scale):
    """exp of x (n,) in place, x <= 0; power int32 and scale, the same bytes as float32, are scratch."""
    for i in range(len(x)):
        value = max(x[i], _LOWEST)
        whole = np.floor(value * _LOG2E + _HALF)
        rest = (value - whole * _LN2_HIGH) - whole * _LN2_LOW
        x[i] = _P0 + rest * (_P1 + rest * (_P2 + rest * (_P3 + rest * (_P4 + rest * (_P5 + rest * _P6)))))
        power[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    for i in range(len(x)):
        x[i] *= scale[i]


@_compiled
def step(logits, along, length, codes, weight, share, first, second):
    """Class probabilities at logits + length * along, and the loss's first two derivatives by length.

    logits, along, share: (S, k, n), share is written; codes (n,); weight (S, n); length, first, second: (S,).
    With one column, it tells the second of two classes from the first.
    """
    folds, columns, n = logits.shape
    power = np.empty(CHUNK, np.int32)
    scale = power.view(np.float32)
    top, total = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    mean, square = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    for s in range(folds):
        slope = curvature = 0.0
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            top[:] = 0 if columns == 1 else -np.inf
            for c in range(columns):
                for i in range(size):
                    value = logits[s, c, start + i] + length[s] * along[s, c, start + i]
                    share[s, c, start + i] = value
                    top[i] = max(top[i], value)
            if columns == 1:
                for i in range(size):
                    total[i] = -top[i]
                _exp(total[:size], power[:size], scale[:size])
            else:
                total[:] = 0
            mean[:] = 0
            square[:] = 0
            for c in range(columns):
                part = share[s, c, start : start + size]
                for i in range(size):
                    part[i] -= top[i]
                _exp(part, power[:size], scale[:size])
                for i in range(size):
                    push = along[s, c, start + i]
                    total[i] += part[i]
                    mean[i] += part[i] * push
                    square[i] += part[i] * push * push
            for i in range(size):
                total[i] = 1 / total[i]
                average = mean[i] * total[i]
                goal = _goal(along, s, codes[start + i], start + i)
                slope += weight[s, start + i] * (average - goal)
                curvature += weight[s, start + i] * (square[i] * total[i] - average * average)
            for c in range(columns):
                for i in range(size):
                    share[s, c, start + i] *= total[i]
        first[s], second[s] = slope, curvature


@_compiled
def _goal(along, s, code, i):
    """Change of a cell's own logit along the direction."""
    if along.shape[1] == 1:
        return along[s, 0, i] * np.float32(code)
    return along[s, code, i]


@_compiled
def slopes(share, along, codes, weight, first, second):
    """The same derivatives at the current probabilities."""
    folds, columns, n = share.shape
    mean, square = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    for s in range(folds):
        slope = curvature = 0.0
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            mean[:] = 0
            square[:] = 0
            for c in range(columns):
                for i in range(size):
                    push = share[s, c, start + i] * along[s, c, start + i]
                    mean[i] += push
                    square[i] += push * along[s, c, start + i]
            for i in range(size):
                goal = _goal(along, s, codes[start + i], start + i)
                slope += weight[s, start + i] * (mean[i] - goal)
                curvature += weight[s, start + i] * (square[i] - mean[i] * mean[i])
        first[s], second[s] = slope, curvature


@_compiled
def residuals(share, codes, weight, rows, out, column, bias):
    """Write the loss's derivatives by the logits to out[rows, column + s * k + c], and their sums to bias (S, k)."""
    folds, columns, n = share.shape
    bias[:] = 0
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        for s in range(folds):
            for c in range(columns):
                total = 0.0
                for i in range(start, stop):
                    hit = codes[i] == (1 if columns == 1 else c)
                    value = (share[s, c, i] - (np.float32(1) if hit else np.float32(0))) * weight[s, i]
                    out[rows[i], column + s * columns + c] = value
                    total += value
                bias[s, c] += total


@_compiled
def gather(products, rows, column, offset, out):
    """out[s, c, i] = products[rows[i], column + s * k + c] + offset[s, c]."""
    folds, columns, n = out.shape
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        for s in range(folds):
            for c in range(columns):
                for i in range(start, stop):
                    out[s, c, i] = products[rows[i], column + s * columns + c] + offset[s, c]


@_compiled
def product(indptr, indices, values, weights, out):
    """out = x @ weights for a CSR matrix x; four stored values at a time, so that out is written a quarter as often."""
    for i in range(len(indptr) - 1):
        row = out[i]
        row[:] = 0
        j, stop = indptr[i], indptr[i + 1]
        while j + 4 <= stop:
            v0, v1, v2, v3 = values[j], values[j + 1], values[j + 2], values[j + 3]
            w0, w1 = weights[indices[j]], weights[indices[j + 1]]
            w2, w3 = weights[indices[j + 2]], weights[indices[j + 3]]
            for c in range(len(row)):
                row[c] += v0 * w0[c] + v1 * w1[c] + v2 * w2[c] + v3 * w3[c]
            j += 4
        while j < stop:
            value, weight = values[j], weights[indices[j]]
            for c in range(len(row)):
                row[c] += value * weight[c]
            j += 1

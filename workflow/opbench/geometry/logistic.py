"""Many small ridge-penalised logistic regressions at once, by Newton steps: one design, many labels, or the reverse."""

import numpy as np
from numpy.typing import NDArray

#: Newton steps; standardised features and C = 1 need five or six.
STEPS = 6
#: Linear predictors stay within this.
CLIP = 30.0


def fit_scores(
    x: NDArray, y: NDArray, train: NDArray[np.bool_], c: float = 1.0, steps: int = STEPS
) -> NDArray[np.float64]:
    """Linear predictors (B, n) of all items from fits on `train` (n,), features standardised on the training items.

    x (n, f) or (B, n, f); y (B, n) or (n,), 0 or 1. The penalty is that of scikit-learn's LogisticRegression: squared
    weights over 2 C, the intercept free. One of the two may be shared.
    """
    x = np.asarray(x, dtype=np.float64)
    y = np.atleast_2d(np.asarray(y, dtype=np.float64))
    mean, sd = x[..., train, :].mean(axis=-2, keepdims=True), x[..., train, :].std(axis=-2, keepdims=True)
    x = (x - mean) / np.where(sd > 0, sd, 1)
    x = np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)
    inner, labels = x[..., train, :], y[:, train]
    f = x.shape[-1]
    penalty = np.full(f, 1 / c)
    penalty[-1] = 1e-8
    batch = len(labels) if x.ndim == 2 else len(x)
    w = np.zeros((batch, f))
    for _ in range(steps):
        score = np.clip(_predict(inner, w), -CLIP, CLIP)
        p = 1 / (1 + np.exp(-score))
        gradient = _project(inner, p - labels) + penalty * w
        hessian = _weighted_gram(inner, p * (1 - p)) + np.diag(penalty)
        w = w - np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return _predict(x, w)


def _predict(x: NDArray, w: NDArray) -> NDArray:
    return w @ x.T if x.ndim == 2 else np.matmul(x, w[..., None])[..., 0]


def _project(x: NDArray, r: NDArray) -> NDArray:
    return r @ x if x.ndim == 2 else np.matmul(r[:, None, :], x)[:, 0]


def _weighted_gram(x: NDArray, weight: NDArray) -> NDArray:
    if x.ndim == 2:
        f = x.shape[1]
        if f > 40:  # products of all feature pairs would not fit in cache, or in memory
            return np.stack([(x * row[:, None]).T @ x for row in weight])
        # Half of the products, in single precision: the Hessian only steers the steps.
        i, j = np.triu_indices(f)
        half = weight.astype(np.float32) @ (x[:, i] * x[:, j]).astype(np.float32)
        out = np.empty((len(weight), f, f))
        out[:, i, j] = out[:, j, i] = half
        return out
    return np.matmul(np.swapaxes(x * weight[..., None], 1, 2), x)


def fold_aurocs(scores: NDArray, y: NDArray, test: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUROC of each row of `scores` (B, n) for its labels, (B, n) or (n,), among `test` items; NaN without a class."""
    from scipy.stats import rankdata

    ranks = rankdata(scores[:, test], axis=1)
    label = np.broadcast_to(np.atleast_2d(y)[:, test], ranks.shape).astype(np.float64)
    positives, total = label.sum(axis=1), ranks.shape[1]
    pairs = positives * (total - positives)
    wins = (ranks * label).sum(axis=1) - positives * (positives + 1) / 2
    return np.divide(wins, pairs, out=np.full(len(ranks), np.nan), where=pairs > 0)


def cross_validated_aurocs(x: NDArray, y: NDArray, folds: NDArray[np.int64], c: float = 1.0) -> NDArray[np.float64]:
    """Mean over folds (r, n) of the held-out AUROC, (B,); x and y as in `fit_scores`.

    Folds are given and do not look at labels, so that permuted labels meet the same design. A fold in which a class is
    missing, in training or in testing, does not count.
    """
    y = np.atleast_2d(np.asarray(y, dtype=np.float64))
    out = []
    for assignment in np.atleast_2d(folds):
        for fold in np.unique(assignment):
            test = assignment == fold
            if test.all():
                continue
            seen = y[:, ~test].mean(axis=1)
            values = fold_aurocs(fit_scores(x, y, ~test, c), y, test)
            out.append(np.where((seen > 0) & (seen < 1), values, np.nan))
    if not out:
        return np.full(len(y), np.nan)
    stacked = np.array(out)
    held = ~np.isnan(stacked)
    return np.divide(np.where(held, stacked, 0).sum(axis=0), held.sum(axis=0),
                     out=np.full(stacked.shape[1], np.nan), where=held.any(axis=0))  # fmt: skip


def make_folds(groups: NDArray, folds: int, repeats: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each item (repeats, n): whole `groups` (n,) are dealt in random order, each to the emptiest fold."""
    _, group = np.unique(groups, return_inverse=True)
    group = group.ravel()
    size = np.bincount(group)
    out = np.empty((repeats, len(group)), dtype=np.int64)
    for repeat in range(repeats):
        filled, fold = np.zeros(folds, dtype=np.int64), np.zeros(len(size), dtype=np.int64)
        for index in rng.permutation(len(size)):
            fold[index] = filled.argmin()
            filled[fold[index]] += size[index]
        out[repeat] = fold[group]
    return out

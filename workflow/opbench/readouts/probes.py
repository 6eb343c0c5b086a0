"""Linear probes on representations (spec D: the default readout), all splits of a representation at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve

from opbench.readouts.axes import principal_axes
from opbench.readouts.logistic import Fold, Labels, Linear, fit_logistic

#: Ridge penalty of the supervised depth readout on standardised features; scikit-learn's default.
RIDGE_PENALTY = 1.0
#: A column whose variance is below this share of the largest is constant up to rounding.
CONSTANT = 1e-10


@dataclass(frozen=True)
class Part:
    """One split of a design: rows that train and rows that are scored, and the projection (G, d) if there is one.

    correlated: whether its columns are so alike that probes are fitted along their principal axes.
    """

    train: np.ndarray
    test: np.ndarray
    projection: np.ndarray | None = None
    correlated: bool = False


@dataclass(frozen=True)
class Probed:
    """Decision scores by task, (n_test, C), predicted depth (n_test,), and tasks whose probe had not converged."""

    scores: dict[str, np.ndarray]
    depth: np.ndarray | None
    unfinished: frozenset[str] = frozenset()


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale both sides by the training cells; constant columns become 0."""
    mean = train.mean(0, dtype=np.float64).astype(np.float32)
    scale = train.std(0, dtype=np.float64).astype(np.float32)
    scale[scale == 0] = 1
    return (train - mean) / scale, (test - mean) / scale


def probe_dense(
    train: np.ndarray, test: np.ndarray, tasks: Mapping[str, Labels], depth: np.ndarray | None, threads: int = 1
) -> Probed:
    """Probe one split of a representation: (n_train, d) and (n_test, d), codes and depth of the training cells."""
    train, test = standardise(train, test)
    width = train.shape[1]
    everything = Fold(
        np.ones(len(train), bool), None, np.zeros(width, np.float32), np.ones(width, np.float32)
    )  # fmt: skip
    probes = fit_logistic(train, list(tasks.values()), [everything], threads)[0]
    predicted = None
    if depth is not None:
        predicted = test @ _ridge(_gram(train), train.T.astype(np.float64) @ (depth - depth.mean())) + depth.mean()
    return Probed(_scores(tasks, probes, test), predicted, _unfinished(tasks, probes))


def probe_shared(
    log1p: sp.csr_matrix,
    tasks: Mapping[str, Labels],
    depth: np.ndarray | None,
    parts: Sequence[Part],
    threads: int = 1,
) -> list[Probed]:
    """Probe many splits of representations that are linear in `log1p` (n, G): itself, or a projection of it.

    codes and depth are of all rows; those of a split's test rows have no weight in it.
    """
    used = np.zeros(log1p.shape[0], bool)
    for part in parts:
        used[part.train] = True
    design = log1p[np.flatnonzero(used)]
    place = np.cumsum(used) - 1
    moments = _Moments(design)
    folds, grams = [], []
    for part in parts:
        inside = np.zeros(design.shape[0], bool)
        inside[place[part.train]] = True
        if part.correlated and part.projection is not None:
            fold, gram = moments.fold_along_axes(inside, part.projection)
        else:
            fold, gram = moments.fold(inside, part.projection, with_gram=depth is not None)
        folds.append(fold)
        grams.append(gram)
    mine = {name: Labels(task.codes[used], task.n_classes) for name, task in tasks.items()}
    probes = fit_logistic(design, list(mine.values()), folds, threads)
    out = []
    for part, fold, gram, probe in zip(parts, folds, grams, probes, strict=True):
        test = log1p[part.test]
        predicted = None
        if depth is not None:
            predicted = _shared_depth(log1p[part.train], depth[part.train], fold, gram).scores(test)[:, 0]
        out.append(Probed(_scores(tasks, probe, test), predicted, _unfinished(tasks, probe)))
    return out


def _shared_depth(train: sp.csr_matrix, depth: np.ndarray, fold: Fold, gram: np.ndarray) -> Linear:
    """Ridge regression of depth on a fold's features, as weights on genes (G, 1)."""
    level = depth.mean()
    towards = train.T.astype(np.float64) @ (depth - level)
    towards = towards if fold.projection is None else fold.projection.T.astype(np.float64) @ towards
    if fold.penalty is None:
        weights = _ridge(gram, towards / fold.scale) / fold.scale
    else:  # along their axes features are orthogonal, and `gram` is their sums of squares
        weights = towards / (gram + RIDGE_PENALTY * fold.penalty)
    on_genes = weights if fold.projection is None else fold.projection @ weights
    return Linear(on_genes[:, None], np.array([level - weights @ fold.mean]))


def _ridge(gram: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Weights of a ridge regression from ZᵀZ (d, d) and Zᵀy (d,), Z and y centred."""
    gram = gram.astype(np.float64)
    gram[np.diag_indices_from(gram)] += RIDGE_PENALTY
    return solve(gram, towards, assume_a="pos", overwrite_a=True)


def _gram(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return wide.T @ wide


class _Moments:
    """Means and second moments of a design's rows, for the rows of any split."""

    def __init__(self, design: sp.csr_matrix) -> None:
        self.design = design.astype(np.float64)
        self.total, self.second = self._sums(np.arange(design.shape[0]))

    def _sums(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = self.design[rows]
        return np.asarray(part.sum(0)).ravel(), (part.T @ part).toarray()

    def _centred(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Mean (G,), centred second moments (G, G) and number of the rows `inside`."""
        few = np.flatnonzero(inside if inside.mean() < 0.5 else ~inside)
        total, second = self._sums(few)
        if inside.mean() >= 0.5:
            total, second = self.total - total, self.second - second
        n = inside.sum()
        mean = total / n
        return mean, second - n * np.outer(mean, mean), n

    def fold_along_axes(self, inside: np.ndarray, projection: np.ndarray) -> tuple[Fold, np.ndarray]:
        """A split's fold along the scaled axes of its standardised features, and their sums of squares (r,)."""
        mean, scatter, n = self._centred(inside)
        variance = _diagonal(projection.astype(np.float64), scatter) / n
        axes = principal_axes(projection, mean, scatter, _scale(variance))
        ones = np.ones(len(axes.mean), np.float32)
        return Fold(inside, axes.projection, axes.mean, ones, axes.penalty), axes.squares

    def fold(self, inside: np.ndarray, projection: np.ndarray | None, with_gram: bool) -> tuple[Fold, np.ndarray]:
        """A split's fold, and ZᵀZ of its standardised features (d, d)."""
        mean, scatter, n = self._centred(inside)
        if projection is not None:
            wide = projection.astype(np.float64)
            mean, scatter = mean @ wide, wide.T @ scatter @ wide if with_gram else _diagonal(wide, scatter)
        variance = (np.diag(scatter) if scatter.ndim == 2 else scatter) / n
        scale = _scale(variance)
        fold = Fold(inside, projection, mean.astype(np.float32), scale.astype(np.float32))
        return fold, scatter / np.outer(scale, scale) if with_gram else np.empty(0)


def _scale(variance: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 for constant columns."""
    return np.sqrt(np.where(variance > CONSTANT * variance.max(initial=0), variance, 1))


def _diagonal(projection: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    """Diagonal of VᵀCV."""
    return np.einsum("gd,gd->d", projection, scatter @ projection)


def _scores(
    tasks: Mapping[str, Labels], probes: Sequence[Linear], test: np.ndarray | sp.csr_matrix
) -> dict[str, np.ndarray]:
    """Decision scores by task, a column a class; the one number of two classes becomes two."""
    out = {}
    for (name, task), probe in zip(tasks.items(), probes, strict=True):
        scores = probe.scores(test)
        out[name] = np.column_stack([-scores, scores]) if task.columns == 1 else scores
    return out


def _unfinished(tasks: Mapping[str, Labels], probes: Sequence[Linear]) -> frozenset[str]:
    return frozenset(name for name, probe in zip(tasks, probes, strict=True) if not probe.converged)


def class_scores(train: np.ndarray, codes: np.ndarray, test: np.ndarray, n_classes: int) -> np.ndarray:
    """Decision scores (n_test, n_classes) of one task on one split; a class without training cells scores -inf."""
    return probe_dense(train, test, {"task": Labels(codes, n_classes)}, None).scores["task"]

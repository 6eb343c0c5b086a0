"""H2, continuous: does the cosine of two genes follow their STRING score beyond co-expression, degree and expression.

Published as E4: partial Pearson of the score with the cosine on SV2-7, given co-expression, degree sum and mean
expression. There it was over listed pairs with pairs as units; here over all pairs, and genes are the units.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutations_within
from opbench.geometry.pairs import orthonormal
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, cosines
from opbench.io.seeds import keyed_rng

ANALYSIS = "ppi_model"


def pair_covariates(coexpression: NDArray, degree: NDArray, mean: NDArray) -> NDArray[np.float64]:
    """Co-expression r, degree sum and mean of the two genes' mean expression of all pairs i < j, (P, 3)."""
    i, j = np.triu_indices(len(mean), 1)
    return np.column_stack([coexpression[i, j], degree[i] + degree[j], (mean[i] + mean[j]) / 2]).astype(np.float64)


def score_matrix(edges: NDArray, scores: NDArray, n: int) -> NDArray[np.float64]:
    """Symmetric (n, n) of the scores of `edges` (E, 2); 0 for pairs that STRING does not list."""
    out = np.zeros((n, n))
    out[edges[:, 0], edges[:, 1]] = out[edges[:, 1], edges[:, 0]] = scores
    return out


def pair_model_rows(
    spectral: Spectral,
    edges: NDArray[np.int64],
    scores: NDArray,
    coexpression: NDArray,
    mean: NDArray,
    strata: NDArray[np.int64],
    subspaces: Mapping[str, tuple[int, int]] | None = None,
    permutations: int = 5000,
    bootstraps: int = 2000,
    seed: int = 0,
    term: str = "combined",
) -> pd.DataFrame:
    """Rows `partial_r` and, without covariates, `raw_r` of each layer and subspace (name -> first and last axis).

    Null `strata`: the score's residuals on the covariates are permuted with their genes within strata (double
    semi-partialling, Dekker, Krackhardt & Snijders 2007), two-sided; null `paper`: the same over all genes, on the raw
    correlation. `p_family`: max-T over layers × subspaces. Intervals resample genes, a pair weighing as the product of
    its genes' draws. `coexpression` (n, n) and `mean` (n,) are of the scope's genes.
    """
    subspaces = subspaces or {"SV2-7": (2, 7)}
    columns = {"analysis": ANALYSIS, "scope": spectral.scope}
    n = len(spectral.genes)
    if len(edges) < 10:
        reason = f"{len(edges)} STRING pairs ({term}) have both genes in this scope, fewer than 10."
        return not_testable(ANALYSIS, reason, term=term, quantity="partial_r", scope=spectral.scope)
    i, j = np.triu_indices(n, 1)
    matrix = score_matrix(edges, scores, n)
    degree = (matrix > 0).sum(axis=1)
    covariates = pair_covariates(coexpression, degree, mean)
    cosine = np.stack([cosines(spectral.axes(*span))[:, i, j] for span in subspaces.values()], axis=1)
    cosine = cosine.reshape(-1, len(i))  # layers × subspaces
    where = cells(spectral.layers, list(subspaces), [term])
    out = []
    for null, quantity, given, groups in (
        ("strata", "partial_r", covariates, strata),
        ("paper", "raw_r", np.empty((len(i), 0)), None),
    ):
        basis = orthonormal(given)
        rest = cosine - (cosine @ basis) @ basis.T
        rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-300)
        free = matrix[i, j] - basis @ (basis.T @ matrix[i, j])
        value = rest @ free / np.linalg.norm(free)
        square = np.zeros((n, n))
        square[i, j] = square[j, i] = free
        drawn = permutations_within(groups, n, permutations, keyed_rng(seed, ANALYSIS, null, term))
        draws = _permuted(square, rest, basis, drawn, i, j)
        rng = keyed_rng(seed, "bootstrap", ANALYSIS, term)
        low, high = _interval(cosine, matrix[i, j], given, n, i, j, bootstraps, rng)
        rows = {"quantity": quantity, "ci_low": low, "ci_high": high, "n": len(i)} | columns
        out.append(null_rows(where, value, draws, null, "two-sided", **rows))
    return stack([*out, _coefficients(cosine, matrix[i, j], covariates, where, columns)])


def _permuted(
    square: NDArray, rest: NDArray, basis: NDArray, drawn: NDArray, i: NDArray, j: NDArray
) -> NDArray[np.float32]:
    """Correlations with the residuals after their genes are permuted, (N, k), freed of the covariates once more."""
    both = np.vstack([rest, basis.T])
    out = np.empty((len(drawn), len(rest)), dtype=np.float32)
    total = (square[i, j] ** 2).sum()
    for start in range(0, len(drawn), 32):
        part = np.stack([square[order[i], order[j]] for order in drawn[start : start + 32]])
        product = part @ both.T
        left = np.sqrt(np.maximum(total - (product[:, len(rest) :] ** 2).sum(axis=1), 1e-300))
        out[start : start + 32] = product[:, : len(rest)] / left[:, None]
    return out


def _interval(
    cosine: NDArray, score: NDArray, given: NDArray, n: int, i: NDArray, j: NDArray, draws: int,
    rng: np.random.Generator,
) -> tuple[NDArray, NDArray]:  # fmt: skip
    """Node-bootstrap interval of the partial correlations, from weighted cross products."""
    if not draws:
        return (np.full(len(cosine), np.nan),) * 2
    c = 1 + given.shape[1]
    scaled = (given - given.mean(axis=0)) / np.where(given.std(axis=0) > 0, given.std(axis=0), 1)
    z = np.column_stack([np.ones(len(i)), scaled, score, cosine.T]).astype(np.float32)
    counts = bootstrap_counts(np.arange(n), draws, rng)
    out = np.empty((draws, len(cosine)))
    for row, count in enumerate(counts):
        gram = (z.T @ (z * (count[i] * count[j])[:, None])).astype(np.float64)
        inner = gram[c:, c:] - gram[c:, :c] @ np.linalg.lstsq(gram[:c, :c], gram[:c, c:], rcond=None)[0]
        spread = np.sqrt(np.maximum(np.diag(inner), 1e-300))
        out[row] = inner[0, 1:] / (spread[0] * spread[1:])
    return percentile_interval(out)


def _coefficients(
    cosine: NDArray, score: NDArray, covariates: NDArray, where: pd.DataFrame, columns: dict[str, str]
) -> pd.DataFrame:
    """Standardised coefficients of the cosine on score and covariates: which of them it follows most."""
    x = np.column_stack([score, covariates])
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    y = cosine - cosine.mean(axis=1, keepdims=True)
    y = y / np.maximum(y.std(axis=1, keepdims=True), 1e-300)
    beta = np.linalg.lstsq(x, y.T, rcond=None)[0]
    names = ("beta_score", "beta_coexpression", "beta_degree", "beta_expression")
    return stack([make_rows(where, b, quantity=q, n=len(score), **columns) for q, b in zip(names, beta, strict=True)])

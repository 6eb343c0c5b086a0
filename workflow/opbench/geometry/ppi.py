"""H2: do interacting proteins share the pole of an axis: co-pole rate and its gradient over STRING scores."""

from collections.abc import Sequence
from itertools import permutations as orders
from math import factorial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from opbench.geometry.nulls import (
    bootstrap_counts,
    percentile_interval,
    permutations_within,
    quantile_bins,
    rewired,
)
from opbench.geometry.pairs import block_indices, positions
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, poles
from opbench.io.seeds import keyed_rng

ANALYSIS = "ppi"
#: Exact p of a Spearman correlation enumerates all orders up to this many points.
ENUMERATED = 8


def scored_pairs(pairs: pd.DataFrame, genes: list[str], column: str, least: float) -> tuple[NDArray, NDArray]:
    """Positions (E, 2) among `genes` and scores (E,) of the pairs of a, b with at least `least` in `column`."""
    kept = pairs[pairs[column] >= least]
    edges = np.column_stack([positions(kept["a"], genes), positions(kept["b"], genes)]).reshape(-1, 2)
    held = (edges >= 0).all(axis=1)
    return edges[held], kept[column].to_numpy()[held]


def copole_rates(codes: NDArray[np.int8], edges: NDArray, bins: NDArray | None = None) -> NDArray[np.float64]:
    """Share of `edges` (E, 2) whose genes are in the same pole of each column of `codes` (n, A): (A,), or (Q, A).

    `bins` (E,) sorts the edges into Q groups with a rate each.
    """
    same = (codes[edges[:, 0]] * codes[edges[:, 1]]) > 0
    if bins is None:
        return same.mean(axis=0)
    member = (bins == np.arange(bins.max() + 1)[:, None]).astype(np.float32)
    return (member @ same.astype(np.float32)) / member.sum(axis=1, keepdims=True)


def permuted_rates(
    codes: NDArray[np.int8], edges: NDArray, permutations: NDArray, bins: NDArray | None = None
) -> NDArray[np.float32]:
    """Co-pole rates after permuting the genes under the graph, (N, A) or (N, Q, A)."""
    return np.stack([copole_rates(codes, order[edges], bins) for order in permutations]).astype(np.float32)


def _flat(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """(L, n, k) to (n, L k)."""
    return np.ascontiguousarray(np.moveaxis(codes, 1, 0).reshape(codes.shape[1], -1))


def copole_rows(
    spectral: Spectral,
    edges: NDArray[np.int64],
    strata: NDArray[np.int64],
    axes: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    k_frac: float = 0.25,
    permutations: int = 5000,
    bootstraps: int = 1000,
    seed: int = 0,
    term: str = "combined",
) -> pd.DataFrame:
    """Rows `copole_rate` of each layer and axis under three nulls, greater side; `edges` (E, 2) are positions.

    Null `degree`: the graph rewired by double-edge swaps, every degree kept: it answers hubs at a pole, not that genes
    of like expression interact. Null `strata`: genes permuted under the graph within strata of expression, which
    answers that. A co-pole rate is more than hubs and expression only where it beats both
    (benchmarks/geometry_level.py).
    Null `paper`: genes permuted over all (z is (value - null_mean) / null_sd). Both poles count, so the sign of an axis
    does not matter. `p_family`: max-T over layers × axes. Intervals resample genes with the poles held: a pair weighs
    as the product of its genes' draws.
    """
    columns = {"analysis": ANALYSIS, "scope": spectral.scope, "quantity": "copole_rate", "n": len(edges)}
    if len(edges) < 2:
        reason = f"{len(edges)} STRING pairs ({term}) have both genes in this scope."
        return not_testable(ANALYSIS, reason, term=term, scope=spectral.scope, quantity="copole_rate")
    codes = _flat(poles(spectral.u[:, :, [axis - 1 for axis in axes]], k_frac))
    n = len(codes)
    where = cells(spectral.layers, [f"SV{axis}" for axis in axes], [term])
    value = copole_rates(codes, edges)
    low, high = _pair_interval(codes, edges, bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS, term))
    graphs = rewired(edges, n, permutations, keyed_rng(seed, ANALYSIS, "degree", term), directed=False)
    draws = {"degree": np.array([copole_rates(codes, graph) for graph in graphs], dtype=np.float32)}
    for null, groups in (("strata", strata), ("paper", None)):
        drawn = permutations_within(groups, n, permutations, keyed_rng(seed, ANALYSIS, null, term))
        draws[null] = permuted_rates(codes, edges, drawn)
    interval = {"ci_low": low, "ci_high": high}
    return stack([null_rows(where, value, d, null, "greater", **columns, **interval) for null, d in draws.items()])


def _pair_interval(codes: NDArray, edges: NDArray, draws: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Node-bootstrap interval of the co-pole rates, two (A,)."""
    if not draws:
        return (np.full(codes.shape[1], np.nan),) * 2
    same = ((codes[edges[:, 0]] * codes[edges[:, 1]]) > 0).astype(np.float32)
    counts = bootstrap_counts(np.arange(len(codes)), draws, rng)
    weights = counts[:, edges[:, 0]] * counts[:, edges[:, 1]]
    total = weights.sum(axis=1, keepdims=True)
    return percentile_interval(np.divide(weights @ same, total, out=np.full((draws, same.shape[1]), np.nan),
                                         where=total > 0))  # fmt: skip


def matched_rows(
    spectral: Spectral,
    edges: NDArray[np.int64],
    coexpression: NDArray,
    axes: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    k_frac: float = 0.25,
    bootstraps: int = 1000,
    bins: int = 10,
    seed: int = 0,
    term: str = "combined",
) -> pd.DataFrame:
    """Rows `copole_excess`: the rate of the pairs less that of non-pairs of like r and degree sum, node interval.

    `coexpression` (n, n) is Pearson r of the scope's genes; it keeps its sign, because genes that repel each other are
    at opposite poles. All non-pairs of a cell of r × degree-sum quantiles share the weight of its pairs; pairs whose
    cell has no non-pair are left out. It has an interval and no p: pairs that share a gene are not independent, so a
    sampling p would overstate.
    """
    columns = {"analysis": ANALYSIS, "scope": spectral.scope, "quantity": "copole_excess"}
    if len(edges) < 2:
        reason = f"{len(edges)} STRING pairs ({term}) have both genes in this scope."
        return not_testable(ANALYSIS, reason, term=term, **columns)
    codes = _flat(poles(spectral.u[:, :, [axis - 1 for axis in axes]], k_frac))
    n = len(codes)
    graph = np.zeros((n, n), dtype=bool)
    graph[edges[:, 0], edges[:, 1]] = graph[edges[:, 1], edges[:, 0]] = True
    i, j = np.triu_indices(n, 1)
    degree = graph.sum(axis=1)
    cell = quantile_bins(coexpression[i, j], bins) * bins + quantile_bins(degree[i] + degree[j], bins)
    pair = graph[i, j]
    ones, zeros = (np.bincount(cell, weights=side, minlength=bins**2) for side in (pair, ~pair))
    usable = (ones > 0) & (zeros > 0)
    share = np.divide(ones, zeros, out=np.zeros(bins**2), where=usable)
    kept = usable[cell]
    weight = np.where(pair, 1.0, -share[cell])[kept] / max(pair[kept].sum(), 1)
    counts = bootstrap_counts(np.arange(n), bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS, "matched", term))
    same = ((codes[i[kept]] * codes[j[kept]]) > 0).astype(np.float32)
    value = weight @ same
    draws = np.empty((bootstraps, codes.shape[1]))
    for row, count in enumerate(counts):
        drawn = count[i[kept]] * count[j[kept]]
        positive, negative = np.where(weight > 0, weight, 0) * drawn, np.where(weight < 0, -weight, 0) * drawn
        draws[row] = positive @ same / positive.sum() - negative @ same / negative.sum()
    low, high = percentile_interval(draws)
    where = cells(spectral.layers, [f"SV{axis}" for axis in axes], [term])
    return make_rows(where, value, ci_low=low, ci_high=high, n=int(pair[kept].sum()), **columns)


def spearman_exact(x: NDArray, y: NDArray) -> tuple[float, float, float]:
    """Spearman, its exact two-sided p over all orders of y, and the smallest p so many points can give."""
    a, b = (rank - rank.mean() for rank in (rankdata(x), rankdata(y)))
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if np.isnan(x).any() or np.isnan(y).any():
        return (float("nan"),) * 3
    if len(a) > ENUMERATED or norm == 0:
        return float(a @ b / norm) if norm else float("nan"), float("nan"), float("nan")
    every = np.array(list(orders(b))) @ a / norm
    rho = float(a @ b / norm)
    return rho, float((np.abs(every) >= abs(rho) - 1e-12).mean()), 2 / factorial(len(a))


def gradient_rows(
    spectral: Spectral,
    edges: NDArray[np.int64],
    scores: NDArray,
    strata: NDArray[np.int64],
    axes: Sequence[int] = (2,),
    k_frac: float = 0.25,
    bins: int = 5,
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """The co-pole rate by quantile bin of the STRING score, and how monotone it is.

    Per layer, axis and bin (`term`) a row `bin_rate` under the nulls `strata` and `paper`. Per axis, over layers:
    `bin_mean_z` of each bin (label null), `gradient_spearman_published` of bin against mean z with the exact p over
    the orders of so few points (null `exact`, two-sided), and `gradient_slope`, the rate per unit of score over all
    pairs and layers, under `strata`, greater side. Few bins cannot give a small exact p: five give 0.0167 at best.
    """
    columns = {"analysis": ANALYSIS, "scope": spectral.scope}
    if len(edges) < 2 * bins:
        reason = f"{len(edges)} STRING pairs with both genes in this scope are too few for {bins} bins."
        return not_testable(ANALYSIS, reason, quantity="bin_rate", **columns)
    codes = _flat(poles(spectral.u[:, :, [axis - 1 for axis in axes]], k_frac))
    # Scores that tie may leave a bin empty, as the many of STRING's highest value do.
    held, group = np.unique(quantile_bins(scores, bins), return_inverse=True)
    if len(held) < 3:
        reason = f"The scores of {len(edges)} STRING pairs tie so much that {len(held)} of {bins} bins are left."
        return not_testable(ANALYSIS, reason, quantity="bin_rate", **columns)
    bins, blocks = len(held), block_indices(spectral.layers)
    names, labels = [f"SV{axis}" for axis in axes], [f"Q{index + 1}" for index in held]
    where = cells(spectral.layers, names, labels)
    value = copole_rates(codes, edges, group)  # (Q, L k)
    counts = np.tile(np.bincount(group, minlength=bins), codes.shape[1])
    contrast = (scores - scores.mean()) / ((scores - scores.mean()) ** 2).sum()
    out = []
    for null, groups in (("strata", strata), ("paper", None)):
        drawn = permutations_within(groups, len(codes), permutations, keyed_rng(seed, ANALYSIS, "gradient", null))
        rates = permuted_rates(codes, edges, drawn, group)
        draws = rates.transpose(0, 2, 1).reshape(permutations, -1)
        rows = {"quantity": "bin_rate", "n": counts} | columns
        out.append(null_rows(where, value.T.ravel(), draws, null, "greater", **rows))
        if null == "paper":
            z = (value - rates.mean(axis=0)) / np.maximum(rates.std(axis=0), 1e-12)
            out += _published_gradient(
                z.reshape(bins, -1, len(axes))[:, blocks].mean(axis=1), group, scores, names, labels, columns
            )
        else:
            shape = (len(spectral.layers), len(axes))
            observed = _slopes(codes, edges, contrast).reshape(shape)[blocks].mean(axis=0)
            null_slopes = np.array([_slopes(codes, order[edges], contrast) for order in drawn])
            slopes = null_slopes.reshape(permutations, *shape)[:, blocks].mean(axis=1)
            rows = {"quantity": "gradient_slope", "n": len(edges)} | columns
            out.append(null_rows(cells([np.nan], names), observed, slopes, null, "greater", **rows))
    return stack(out)


def _slopes(codes: NDArray, edges: NDArray, contrast: NDArray) -> NDArray[np.float64]:
    """Least-squares slope of being co-polar on the score, (A,)."""
    return contrast @ ((codes[edges[:, 0]] * codes[edges[:, 1]]) > 0)


def _published_gradient(
    z: NDArray, group: NDArray, scores: NDArray, names: list[str], labels: list[str], columns: dict[str, str]
) -> list[pd.DataFrame]:
    """Mean z of each bin and its exact Spearman with the bins' middle; z is (Q, axes)."""
    size = np.bincount(group, minlength=len(labels))
    middle = np.bincount(group, weights=scores, minlength=len(labels)) / size
    rows = {"quantity": "bin_mean_z", "n": np.tile(size, len(names))} | columns
    out = [make_rows(cells([np.nan], names, labels), z.T.ravel(), **rows)]
    for axis, name in enumerate(names):
        rho, p, floor = spearman_exact(middle, z[:, axis])
        exact = {"p": p, "p_floor": floor, "null": "exact", "side": "two-sided", "n": len(labels)}
        where = cells([np.nan], [name])
        out.append(make_rows(where, np.array([rho]), quantity="gradient_spearman_published", **exact, **columns))
    return out

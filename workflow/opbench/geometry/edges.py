"""H4: does a subspace hold which gene regulates which, or only the classes of genes that edges join (H4, F5)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutations_within, rewired
from opbench.geometry.pairs import (
    RANK_BINS,
    auroc_of_sums,
    aurocs,
    block_indices,
    clustered_aurocs,
    histogram_aurocs,
    orthonormal,
    positions,
    rank_codes,
    spearman_over_layers,
)
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, unit_rows
from opbench.io.seeds import keyed_rng

ANALYSIS = "edges"
SUBSPACES: Mapping[str, tuple[int, int]] = {"SV5-7": (5, 7), "SV2-4": (2, 4)}
#: Of a pair's nearness; a float32 of size 1 holds no more.
DECIMALS = 7
#: Negatives per positive in the published edge set.
NEGATIVES = 3


@dataclass(frozen=True)
class EdgeGrid:
    """All source × target pairs of a regulatory table among n genes, self pairs left out.

    `source`, `target` (m,) positions of each pair's genes; `edge` (m,) whether the table has it; `cell` (n, n) the
    pair's number, -1 where there is none; `edges` (E, 2).
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    edge: NDArray[np.bool_]
    cell: NDArray[np.int32]
    edges: NDArray[np.int64]


def edge_grid(table: pd.DataFrame, genes: list[str]) -> EdgeGrid:
    """The grid of the edges of `table` (source, target) with both genes among `genes`."""
    found = np.column_stack([positions(table["source"], genes), positions(table["target"], genes)]).reshape(-1, 2)
    edges = np.unique(found[(found >= 0).all(axis=1)], axis=0)
    source, target = (part.ravel() for part in np.meshgrid(*(np.unique(e) for e in edges.T), indexing="ij"))
    apart = source != target
    source, target = source[apart], target[apart]
    cell = np.full((len(genes), len(genes)), -1, dtype=np.int32)
    cell[source, target] = np.arange(len(source))
    edge = np.zeros(len(source), dtype=bool)
    edge[cell[edges[:, 0], edges[:, 1]]] = True
    return EdgeGrid(source, target, edge, cell, edges)


def grid_scores(
    spectral: Spectral, grid: EdgeGrid, subspaces: Mapping[str, tuple[int, int]], measure: str = "cosine"
) -> NDArray[np.float32]:
    """Nearness of each grid pair in each layer and subspace, (L S, m): cosine, or minus the distance in U S.

    Distances are in units of the layer's root mean square. Both are rounded to `DECIMALS`: zero rows, and pairs of
    them, are equal but for the last bits, and must tie.
    """
    out = np.empty((len(spectral.layers), len(subspaces), len(grid.source)), dtype=np.float32)
    for place, span in enumerate(subspaces.values()):
        x = spectral.axes(*span)
        size = np.sqrt((x**2).mean(axis=(1, 2), keepdims=True))
        x = unit_rows(x) if measure == "cosine" else x / np.maximum(size, np.finfo(x.dtype).tiny)
        # Pair by pair and layer by layer: matrices of all genes, or pairs of all layers, would not fit in memory.
        for layer, rows in enumerate(x):
            a, b = rows[grid.source], rows[grid.target]
            near = (a * b).sum(axis=1) if measure == "cosine" else -np.linalg.norm(a - b, axis=1)
            out[layer, place] = near.round(DECIMALS)
    return out.reshape(-1, len(grid.source))


def edge_rows(
    spectral: Spectral,
    table: pd.DataFrame,
    coexpression: NDArray,
    mean: NDArray,
    strata: NDArray[np.int64],
    subspaces: Mapping[str, tuple[int, int]] = SUBSPACES,
    permutations: int = 5000,
    bootstraps: int = 1000,
    seed: int = 0,
    measure: str = "cosine",
) -> pd.DataFrame:
    """Rows per layer and subspace, greater side.

    `edge_auroc`: edges against all other pairs of the source × target grid, under `targets` (targets exchanged between
    sources, out- and in-degrees kept: only who regulates whom is lost) and `strata` (genes permuted within strata).
    `residual_r_rb`: rank-biserial of the same after least squares on co-expression and both means, under `targets`.
    `edge_auroc_published`: against three random pairs each, under `paper` (gene positions permuted).
    `edge_auroc_matched`: against pairs of the same source with like co-expression, with an interval and no p.
    `layer_trend`: Spearman of the first with depth, the whole curve made again for each graph, less side. Intervals
    resample sources. `coexpression` (n, n), `mean` (n,) and `strata` (n,) are of the scope's genes.
    """
    grid = edge_grid(table, spectral.genes)
    columns = {"analysis": ANALYSIS, "scope": spectral.scope, "term": measure}
    if len(grid.edges) < 10 or grid.edge.all():
        reason = f"{len(grid.edges)} edges of the regulatory table have both genes in this scope; 10 are needed."
        return not_testable(ANALYSIS, reason, quantity="edge_auroc", term=measure, scope=spectral.scope)
    scores = grid_scores(spectral, grid, subspaces, measure)
    nuisance = np.column_stack([coexpression[grid.source, grid.target], mean[grid.source], mean[grid.target]])
    by_pair = np.empty((len(grid.source), 2 * len(scores)), dtype=np.float32)
    codes = np.empty(by_pair.shape[::-1], dtype=np.int16)
    basis = orthonormal(nuisance)
    for column, row in enumerate(scores):  # one at a time: all of them in double precision would not fit in memory
        for place, values in ((column, row), (column + len(scores), row - basis @ (row @ basis))):
            by_pair[:, place] = rankdata(values)
            codes[place] = rank_codes(by_pair[:, place])
    where = cells(spectral.layers, list(subspaces)).drop(columns="term")
    n, k, total = len(spectral.genes), len(scores), len(grid.source)
    columns["n"] = len(grid.edges)
    observed = auroc_of_sums(by_pair[grid.edge].sum(axis=0, dtype=np.float64), grid.edge.sum(), total)
    draws = _rewired_aurocs(grid, by_pair, n, permutations, keyed_rng(seed, ANALYSIS, "targets"))
    low, high = _source_interval(grid, codes, np.ones(total, dtype=bool), grid.edge, bootstraps, seed)
    plain = {"quantity": "edge_auroc", "ci_low": low[:k], "ci_high": high[:k]} | columns
    left = {"quantity": "residual_r_rb", "ci_low": 2 * low[k:] - 1, "ci_high": 2 * high[k:] - 1} | columns
    out = [null_rows(where, observed[:k], draws[:, :k], "targets", "greater", **plain)]
    out.append(null_rows(where, 2 * observed[k:] - 1, 2 * draws[:, k:] - 1, "targets", "greater", **left))
    shuffled = _permuted_aurocs(grid, by_pair[:, :k], strata, permutations, keyed_rng(seed, ANALYSIS, "strata"))
    out.append(null_rows(where, observed[:k], shuffled, "strata", "greater", **plain))
    out.append(_trend(spectral, observed[:k], draws[:, :k], list(subspaces), columns))
    out.append(_published(grid, codes[:k], permutations, seed, where, columns))
    matched = matched_negatives(grid, coexpression)
    both = np.concatenate([np.flatnonzero(grid.edge)[matched >= 0], matched[matched >= 0]])
    label = np.arange(len(both)) < (matched >= 0).sum()
    low, high = _source_interval(grid, codes[:k], both, label, bootstraps, seed)
    rows = columns | {"quantity": "edge_auroc_matched", "n": int(label.sum()), "ci_low": low, "ci_high": high}
    return stack([*out, make_rows(where, aurocs(scores[:, both], label), **rows)])


def _rewired_aurocs(
    grid: EdgeGrid, ranks: NDArray, n: int, permutations: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """AUROCs (N, k) by `ranks` (m, k) of graphs whose sources exchange targets; all their pairs are of the grid."""
    graphs = rewired(grid.edges, n, permutations, rng, directed=True)
    sums = [ranks[grid.cell[g[:, 0], g[:, 1]]].sum(axis=0, dtype=np.float64) for g in graphs]
    return auroc_of_sums(np.array(sums), len(grid.edges), len(grid.source)).astype(np.float32)


def _permuted_aurocs(
    grid: EdgeGrid, ranks: NDArray, strata: NDArray, permutations: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """AUROCs (N, k) with the genes of the grid permuted within strata, sources and targets apart."""
    sources, row = np.unique(grid.source, return_inverse=True)
    targets, column = np.unique(grid.target, return_inverse=True)
    a, b = row[grid.edge], column[grid.edge]
    cell = grid.cell[np.ix_(sources, targets)]
    out = []
    rows = permutations_within(strata[sources], len(sources), permutations, rng)
    columns = permutations_within(strata[targets], len(targets), permutations, rng)
    for p, q in zip(rows, columns, strict=True):
        found = cell[p[a], q[b]]
        found = found[found >= 0]  # an edge that falls on a self pair is left out of its draw
        sums = ranks[found].sum(axis=0, dtype=np.float64)
        out.append(auroc_of_sums(sums, float(len(found)), len(ranks)))
    return np.array(out, dtype=np.float32)


def _source_interval(
    grid: EdgeGrid, codes: NDArray, pairs: NDArray, label: NDArray, draws: int, seed: int
) -> tuple[NDArray, NDArray]:
    """Interval of the AUROCs of the grid's `pairs` when sources are resampled with all their pairs, two (k,)."""
    if not draws:
        return (np.full(len(codes), np.nan),) * 2
    names, source = np.unique(grid.source[pairs], return_inverse=True)
    counts = bootstrap_counts(np.arange(len(names)), draws, keyed_rng(seed, "bootstrap", ANALYSIS))
    return percentile_interval(np.column_stack([clustered_aurocs(row[pairs], label, source, counts) for row in codes]))


def _trend(spectral: Spectral, observed: NDArray, draws: NDArray, names: list[str], columns: dict) -> pd.DataFrame:
    shape = (len(spectral.layers), len(names))
    blocks = block_indices(spectral.layers)
    layers = np.array(spectral.layers)[blocks]
    value = spearman_over_layers(observed.reshape(shape)[blocks].T, layers)
    null = spearman_over_layers(np.swapaxes(draws.reshape(-1, *shape)[:, blocks], 1, 2), layers)
    where = cells([np.nan], names).drop(columns="term")
    return null_rows(where, value, null, "targets", "less", quantity="layer_trend", **columns)


def matched_negatives(grid: EdgeGrid, coexpression: NDArray) -> NDArray[np.int64]:
    """For each edge a non-edge of the same source with the nearest co-expression, (E,) grid pairs; -1 if none is left.

    Each non-edge serves once.
    """
    value = coexpression[grid.source, grid.target]
    out = np.full(int(grid.edge.sum()), -1, dtype=np.int64)
    edges = np.flatnonzero(grid.edge)
    for source in np.unique(grid.source):
        own = grid.source == source
        others = np.flatnonzero(own & ~grid.edge)
        free = value[others].astype(np.float64)
        for place in np.flatnonzero(own[edges])[: len(others)]:
            nearest = np.abs(free - value[edges[place]]).argmin()
            out[place], free[nearest] = others[nearest], np.inf
    return out


def _published(
    grid: EdgeGrid, codes: NDArray, permutations: int, seed: int, where: pd.DataFrame, columns: dict
) -> pd.DataFrame:
    """Edges against three random pairs each; gene positions are permuted, as published: pairs stay, genes change."""
    rng = keyed_rng(seed, ANALYSIS, "negatives")
    others, positive = np.flatnonzero(~grid.edge), np.flatnonzero(grid.edge)
    drawn = rng.choice(others, min(NEGATIVES * len(positive), len(others)), replace=False)
    chosen = np.concatenate([positive, drawn])
    label = np.arange(len(chosen)) < len(positive)
    genes = np.unique(np.concatenate([grid.source, grid.target]))
    cell = grid.cell[np.ix_(genes, genes)]
    cell = np.where(cell >= 0, cell, cell.T)  # nearness is symmetric: a pair scored either way is scored
    a, b = np.searchsorted(genes, grid.source[chosen]), np.searchsorted(genes, grid.target[chosen])
    offset = np.arange(len(codes)) * RANK_BINS
    places = np.ascontiguousarray(codes.T).astype(np.int32) + offset.astype(np.int32)

    def auroc(found: NDArray) -> NDArray:
        sides = (found[label & (found >= 0)], found[~label & (found >= 0)])
        counts = [np.bincount(places[s].ravel(), minlength=offset[-1] + RANK_BINS) for s in sides]
        return histogram_aurocs(*(c.reshape(len(codes), -1) for c in counts))

    orders = permutations_within(None, len(genes), permutations, keyed_rng(seed, ANALYSIS, "paper"))
    draws = np.array([auroc(cell[p[a], p[b]]) for p in orders], dtype=np.float32)
    rows = {"quantity": "edge_auroc_published"} | columns
    return null_rows(where, auroc(chosen), draws, "paper", "greater", **rows)

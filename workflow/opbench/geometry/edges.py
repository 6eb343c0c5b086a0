"""H4: does a subspace hold which gene regulates which, or only the classes of genes that edges join (H4, F5)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from opbench.geometry.nulls import (
    bootstrap_counts,
    percentile_interval,
    permutations_within,
    rewired,
)
from opbench.geometry.pairs import (
    auroc_of_sums,
    aurocs,
    block_indices,
    positions,
    residuals,
    spearman_over_layers,
    weighted_aurocs,
)
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, cosines, distances
from opbench.io.seeds import keyed_rng

ANALYSIS = "edges"
SUBSPACES: Mapping[str, tuple[int, int]] = {"SV5-7": (5, 7), "SV2-4": (2, 4)}
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
    cell: NDArray[np.int64]
    edges: NDArray[np.int64]


def edge_grid(table: pd.DataFrame, genes: list[str]) -> EdgeGrid:
    """The grid of the edges of `table` (source, target) with both genes among `genes`."""
    found = np.column_stack([positions(table["source"], genes), positions(table["target"], genes)]).reshape(-1, 2)
    edges = np.unique(found[(found >= 0).all(axis=1)], axis=0)
    source, target = (part.ravel() for part in np.meshgrid(*(np.unique(e) for e in edges.T), indexing="ij"))
    apart = source != target
    source, target = source[apart], target[apart]
    cell = np.full((len(genes), len(genes)), -1, dtype=np.int64)
    cell[source, target] = np.arange(len(source))
    edge = np.zeros(len(source), dtype=bool)
    edge[cell[edges[:, 0], edges[:, 1]]] = True
    return EdgeGrid(source, target, edge, cell, edges)


def grid_scores(
    spectral: Spectral, grid: EdgeGrid, subspaces: Mapping[str, tuple[int, int]], measure: str = "cosine"
) -> NDArray[np.float64]:
    """Nearness of each grid pair in each layer and subspace, (L S, m): cosine, or minus the distance in U S."""
    near = cosines if measure == "cosine" else lambda x: -distances(x)
    parts = [near(spectral.axes(*span))[:, grid.source, grid.target] for span in subspaces.values()]
    return np.stack(parts, axis=1).reshape(-1, len(grid.source))


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
    rest = residuals(scores, nuisance)
    ranks = np.vstack([rankdata(part, axis=1) for part in (scores, rest)]).astype(np.float32)
    where = cells(spectral.layers, list(subspaces)).drop(columns="term")
    n, k, total = len(spectral.genes), len(scores), len(grid.source)
    observed = auroc_of_sums(ranks[:, grid.edge].sum(axis=1, dtype=np.float64), grid.edge.sum(), total)
    draws = _rewired_aurocs(grid, ranks, n, permutations, keyed_rng(seed, ANALYSIS, "targets"))
    low, high = _source_interval(grid, np.vstack([scores, rest]), bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS))
    columns["n"] = len(grid.edges)
    plain = {"quantity": "edge_auroc", "ci_low": low[:k], "ci_high": high[:k]} | columns
    left = {"quantity": "residual_r_rb", "ci_low": 2 * low[k:] - 1, "ci_high": 2 * high[k:] - 1} | columns
    out = [null_rows(where, observed[:k], draws[:, :k], "targets", "greater", **plain)]
    out.append(null_rows(where, 2 * observed[k:] - 1, 2 * draws[:, k:] - 1, "targets", "greater", **left))
    shuffled = _permuted_aurocs(grid, scores, strata, permutations, keyed_rng(seed, ANALYSIS, "strata"))
    out.append(null_rows(where, observed[:k], shuffled, "strata", "greater", **plain))
    out.append(_trend(spectral, observed[:k], draws[:, :k], list(subspaces), columns))
    out += _sampled(grid, scores, coexpression, n, permutations, bootstraps, seed, where, columns)
    return stack(out)


def _rewired_aurocs(
    grid: EdgeGrid, ranks: NDArray, n: int, permutations: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """AUROCs (N, k) of graphs whose sources exchange targets; loops cannot arise, so all pairs are of the grid."""
    graphs = rewired(grid.edges, n, permutations, rng, directed=True)
    by_pair = np.ascontiguousarray(ranks.T)
    sums = [by_pair[grid.cell[g[:, 0], g[:, 1]]].sum(axis=0, dtype=np.float64) for g in graphs]
    return auroc_of_sums(np.array(sums), len(grid.edges), len(grid.source)).astype(np.float32)


def _permuted_aurocs(
    grid: EdgeGrid, scores: NDArray, strata: NDArray, permutations: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """AUROCs (N, k) with the genes of the grid permuted within strata, sources and targets apart."""
    shape = (len(np.unique(grid.source)), len(np.unique(grid.target)))
    sources, row = np.unique(grid.source, return_inverse=True)
    targets, column = np.unique(grid.target, return_inverse=True)
    ranks = np.zeros((*shape, len(scores)), dtype=np.float32)
    ranks[row, column] = rankdata(scores, axis=1).T
    held = np.zeros(shape, dtype=bool)
    held[row, column] = True
    a, b = row[grid.edge], column[grid.edge]
    out = []
    rows = permutations_within(strata[sources], shape[0], permutations, rng)
    columns = permutations_within(strata[targets], shape[1], permutations, rng)
    for p, q in zip(rows, columns, strict=True):
        # An edge that falls on a self pair is left out of its draw.
        kept = held[p[a], q[b]]
        sums = ranks[p[a], q[b]].sum(axis=0, dtype=np.float64)
        out.append(auroc_of_sums(sums, kept.sum(), len(grid.source)))
    return np.array(out, dtype=np.float32)


def _source_interval(grid: EdgeGrid, scores: NDArray, draws: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Interval of each AUROC when whole sources, with all their pairs, are resampled."""
    if not draws:
        return (np.full(len(scores), np.nan),) * 2
    names, source = np.unique(grid.source, return_inverse=True)
    counts = bootstrap_counts(np.arange(len(names)), draws, rng)
    # Wins of each source's edges over each source's other pairs: sources × sources, weighed by both draws.
    values = np.empty((draws, len(scores)))
    edges = np.bincount(source[grid.edge], minlength=len(names))
    others = np.bincount(source[~grid.edge], minlength=len(names))
    pairs = (counts @ edges) * (counts @ others)
    for index, row in enumerate(scores):
        wins = _wins(row, source, grid.edge, len(names))
        values[:, index] = np.divide(((counts @ wins) * counts).sum(axis=1), pairs, out=np.full(draws, np.nan),
                                     where=pairs > 0)  # fmt: skip
    return percentile_interval(values)


def _wins(score: NDArray, source: NDArray, edge: NDArray, count: int) -> NDArray[np.float64]:
    """How often edges of source a score above other pairs of source b, ties half: (count, count)."""
    out = np.zeros((count, count))
    positive, owner = score[edge], source[edge]
    for b in range(count):
        others = np.sort(score[~edge & (source == b)])
        below = (np.searchsorted(others, positive, "left") + np.searchsorted(others, positive, "right")) / 2
        out[:, b] = np.bincount(owner, weights=below, minlength=count)
    return out


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
    free = ~grid.edge
    out = np.full(int(grid.edge.sum()), -1, dtype=np.int64)
    for place, pair in enumerate(np.flatnonzero(grid.edge)):
        candidates = np.flatnonzero(free & (grid.source == grid.source[pair]))
        if len(candidates):
            out[place] = candidates[np.abs(value[candidates] - value[pair]).argmin()]
            free[out[place]] = False
    return out


def _sampled(
    grid: EdgeGrid, scores: NDArray, coexpression: NDArray, n: int, permutations: int, bootstraps: int, seed: int,
    where: pd.DataFrame, columns: dict,
) -> list[pd.DataFrame]:  # fmt: skip
    """The published edge set under its null, and co-expression-matched negatives of the same source."""
    rng = keyed_rng(seed, ANALYSIS, "negatives")
    others, positive = np.flatnonzero(~grid.edge), np.flatnonzero(grid.edge)
    drawn = rng.choice(others, min(NEGATIVES * len(positive), len(others)), replace=False)
    chosen = np.concatenate([positive, drawn])
    label = np.arange(len(chosen)) < len(positive)
    value = aurocs(scores[:, chosen], label)
    # Positions are permuted as published: the pairs stay, the genes under them change.
    genes = np.unique(np.concatenate([grid.source, grid.target]))
    place = np.full(n, -1)
    place[genes] = np.arange(len(genes))
    order = permutations_within(None, len(genes), permutations, keyed_rng(seed, ANALYSIS, "paper"))
    pair = np.column_stack([place[grid.source[chosen]], place[grid.target[chosen]]])
    rows = {"quantity": "edge_auroc_published"} | columns
    out = [null_rows(where, value, _position_null(scores, grid, genes, pair, label, order), "paper", "greater", **rows)]
    matched = matched_negatives(grid, coexpression)
    both = np.concatenate([positive[matched >= 0], matched[matched >= 0]])
    label = np.arange(len(both)) < (matched >= 0).sum()
    weights = bootstrap_counts(grid.source[both], bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS, "matched"))
    drawn = np.column_stack([weighted_aurocs(row[both], label, weights) for row in scores])
    low, high = percentile_interval(drawn)
    value = aurocs(scores[:, both], label)
    rows = columns | {"quantity": "edge_auroc_matched", "n": int(label.sum())}
    return [*out, make_rows(where, value, ci_low=low, ci_high=high, **rows)]


def _position_null(
    scores: NDArray, grid: EdgeGrid, genes: NDArray, pair: NDArray, label: NDArray, order: NDArray
) -> NDArray[np.float32]:
    """Published null: AUROCs (N, k) with gene positions permuted; pairs without a score in the grid are left out."""
    cell = grid.cell[np.ix_(genes, genes)]
    cell = np.where(cell >= 0, cell, cell.T)
    out = np.empty((len(order), len(scores)), dtype=np.float32)
    for row, p in enumerate(order):
        found = cell[p[pair[:, 0]], p[pair[:, 1]]]
        held = found >= 0
        part = np.take(scores, found[held], axis=1)
        rank = part.argsort(axis=1).argsort(axis=1) + 1.0
        out[row] = auroc_of_sums(rank[:, label[held]].sum(axis=1), float(label[held].sum()), int(held.sum()))
    return out

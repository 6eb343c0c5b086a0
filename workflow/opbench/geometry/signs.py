"""H5: are repression edges nearer than activation edges (spectral-geometry H5)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.edges import SUBSPACES, edge_grid, grid_scores
from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutations_within
from opbench.geometry.pairs import placements
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral
from opbench.io.seeds import keyed_rng

ANALYSIS = "signs"
#: Below so many edges of a sign nothing is compared.
LEAST = 10


def sign_rows(
    spectral: Spectral,
    table: pd.DataFrame,
    subspaces: Mapping[str, tuple[int, int]] = SUBSPACES,
    measures: tuple[str, ...] = ("cosine", "distance"),
    permutations: int = 5000,
    bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows per layer, subspace and measure (`term`): `auroc_activation`, `auroc_repression` and their `difference`.

    Edges are set against the source × target pairs that the table does not list; edges without a sign, or with both,
    are in neither. `difference` is repression less activation, two-sided, under `tf_signs` (signs permuted among the
    signed edges of a source; those that are their source's only one, among such edges of their target) and
    `paper` (signs permuted over all signed edges; the paper itself made no test). Intervals resample sources, the two
    AUROCs paired. `p_family`: max-T over layers × subspaces × measures.
    """
    grid = edge_grid(table, spectral.genes)
    signed = _signs(grid.edges, table, spectral.genes)
    kept = np.flatnonzero(signed != 0)
    repressed = signed[kept] < 0
    columns = {"analysis": ANALYSIS, "scope": spectral.scope, "n": len(kept)}
    counts = int((~repressed).sum()), int(repressed.sum())
    if min(counts) < LEAST or grid.edge.all():
        reason = f"{counts[0]} activations and {counts[1]} repressions are in this scope; {LEAST} of each are needed."
        return not_testable(ANALYSIS, reason, quantity="difference", scope=spectral.scope)
    where = cells(spectral.layers, list(subspaces), measures)
    # Placements are of edges in the grid's order, which sorts by source, then target, as `grid.edges` does.
    near = [placements(grid_scores(spectral, grid, subspaces, measure), grid.edge)[:, kept] for measure in measures]
    placed = np.stack(near, axis=1).reshape(-1, len(kept))
    pair = grid.edges[kept]
    groups = sign_strata(pair)
    out = _class_rows(where, placed, repressed, pair[:, 0], bootstraps, seed, columns)
    value = placed[:, repressed].mean(axis=1) - placed[:, ~repressed].mean(axis=1)
    low, high = _interval(placed, repressed, pair[:, 0], bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS))
    rows = {"quantity": "difference", "ci_low": low, "ci_high": high} | columns
    for null, strata in (("tf_signs", groups), ("paper", None)):
        drawn = permutations_within(strata, len(kept), permutations, keyed_rng(seed, ANALYSIS, null))
        contrast = np.where(repressed, 1 / counts[1], -1 / counts[0])[drawn].astype(np.float32)
        out.append(null_rows(where, value, contrast @ placed.T.astype(np.float32), null, "two-sided", **rows))
    free = np.array([movable(repressed, groups)])
    out.append(make_rows(cells([np.nan], [""]), free, quantity="movable_share", null="tf_signs", **columns))
    return stack(out)


def _signs(edges: NDArray, table: pd.DataFrame, genes: list[str]) -> NDArray[np.int64]:
    """1 activation, -1 repression, 0 unknown or ambiguous, of each of `edges` (E, 2)."""
    known = {(s, t): sign for s, t, sign in table[["source", "target", "sign"]].itertuples(index=False)}
    code = {"activation": 1, "repression": -1}
    return np.array([code.get(known[genes[s], genes[t]], 0) for s, t in edges], dtype=np.int64)


def sign_strata(pairs: NDArray) -> NDArray[np.int64]:
    """Group of each signed edge (E,): its source, or its target if it is the source's only signed edge.

    Groups do not look at signs, so that permuting signs within them leaves them as they are.
    """
    _, source, size = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    return np.where(size[source.ravel()] > 1, source.ravel(), len(size) + pairs[:, 1])


def movable(repressed: NDArray[np.bool_], groups: NDArray) -> float:
    """Share of signed edges in groups that hold both signs: without them the null cannot speak."""
    mixed = [repressed[groups == g].any() and (~repressed[groups == g]).any() for g in np.unique(groups)]
    return float(np.isin(groups, np.unique(groups)[mixed]).mean())


def _class_rows(
    where: pd.DataFrame, placed: NDArray, repressed: NDArray, source: NDArray, draws: int, seed: int, columns: dict
) -> list[pd.DataFrame]:
    out = []
    for quantity, chosen in (("auroc_activation", ~repressed), ("auroc_repression", repressed)):
        rng = keyed_rng(seed, "bootstrap", ANALYSIS, quantity)
        low, high = _mean_interval(placed[:, chosen], source[chosen], draws, rng)
        shown = columns | {"quantity": quantity, "n": int(chosen.sum()), "ci_low": low, "ci_high": high}
        out.append(make_rows(where, placed[:, chosen].mean(axis=1), **shown))
    return out


def _mean_interval(values: NDArray, clusters: NDArray, draws: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    if not draws:
        return (np.full(len(values), np.nan),) * 2
    return percentile_interval(_weighted_mean(bootstrap_counts(clusters, draws, rng), values))


def _weighted_mean(weights: NDArray, values: NDArray) -> NDArray[np.float64]:
    total = weights.sum(axis=1, keepdims=True).astype(np.float64)
    product = weights.astype(np.float64) @ values.T
    return np.divide(product, total, out=np.full(product.shape, np.nan), where=total > 0)


def _interval(
    placed: NDArray, repressed: NDArray, source: NDArray, draws: int, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Interval of the difference, sources resampled with their edges of both signs."""
    if not draws:
        return (np.full(len(placed), np.nan),) * 2
    weights = bootstrap_counts(source, draws, rng)
    sides = [_weighted_mean(weights[:, side], placed[:, side]) for side in (repressed, ~repressed)]
    return percentile_interval(sides[0] - sides[1])

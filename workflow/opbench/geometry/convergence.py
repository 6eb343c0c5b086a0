"""H6: do genes come nearer to PAX5 with depth than genes that start as near (spectral-geometry H6).

Distances shrink for every gene as the space contracts, so they are divided by the layer's root-mean-square pairwise
distance. A gene that was never a token has a zero row, which is no position: it is neither anchor, nor tested, nor
matched.
"""

import logging
from collections.abc import Sequence
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.nulls import percentile_interval, quantile_bins, smallest_p
from opbench.geometry.pairs import spearman_over_layers
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.tensor import GeneTensor
from opbench.io.seeds import keyed_rng

log = logging.getLogger("opbench.analyse_geometry")

ANALYSIS = "convergence"
#: Genes that start as near: within this share of the gene's own start rank, or of all genes if that is more.
RANK_WINDOW, LEAST_WINDOW = 0.2, 0.05
#: Fewer matched genes cannot give p below 1/20.
LEAST_MATCHED = 19
#: Genes of the published null.
PAPER_GENES = 10


def scaled_distances(tensor: GeneTensor, rows: NDArray, anchors: NDArray) -> NDArray[np.float64]:
    """Distance of the genes `rows` to the centroid of the genes `anchors` over the pairwise distance of `rows`, (L, n).

    The latter is the root mean square over all pairs (exact from the centred norms, so that no pair is listed), not
    the mean.
    """
    out = []
    for layer in tensor.tensor:
        x = layer[rows].astype(np.float64)
        spread = np.sqrt(2 * ((x - x.mean(axis=0)) ** 2).sum() / max(len(rows) - 1, 1))
        distance = np.linalg.norm(x - layer[anchors].astype(np.float64).mean(axis=0), axis=1)
        out.append(distance / spread if spread > 0 else np.full(len(rows), np.nan))
    return np.array(out)


def nearness_ranks(distances: NDArray) -> NDArray[np.int64]:
    """Number of genes nearer than each, per layer: (L, n) to (L, n)."""
    return np.argsort(np.argsort(distances, axis=1, kind="stable"), axis=1)


def matched_genes(
    start: NDArray, covariate: NDArray, gene: int, excluded: NDArray[np.bool_], bins: int = 10
) -> NDArray[np.int64]:
    """Genes (positions) of the start rank and the bin of `covariate` of `gene`, without it and those `excluded`."""
    window = max(RANK_WINDOW * start[gene], LEAST_WINDOW * len(start))
    bin_of = quantile_bins(covariate, bins)
    like = (np.abs(start - start[gene]) <= window) & (bin_of == bin_of[gene]) & ~excluded
    like[gene] = False
    return np.flatnonzero(like)


def matched_set_means(
    pools: Sequence[NDArray], permutations: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Means (N,) of sets with one value of each of `pools`, the first of a pool being observed, and the smallest p.

    The observed set is one of the prod(m + 1) that are exchangeable. All others are listed where all are at most
    `permutations`, so that (1 + b) / (1 + N) is exact; else N = `permutations` are drawn, the observed one not barred.
    The smallest p is that of the draws or of the sets, whichever is larger.
    """
    sets = prod(len(pool) for pool in pools)
    if sets <= permutations:
        total = np.zeros(1)
        for pool in pools:
            total = np.add.outer(total, pool).ravel()
        return total[1:] / len(pools), 1 / sets
    drawn = [pool[rng.integers(0, len(pool), permutations)] for pool in pools]
    return np.mean(drawn, axis=0), max(smallest_p(permutations), 1 / sets)


def convergence_rows(
    tensor: GeneTensor,
    rows: NDArray[np.int64],
    tested: Sequence[str],
    anchors: Sequence[str] = ("PAX5",),
    scope: str = "nonzero",
    start_layer: int = 0,
    permutations: int = 5000,
    seed: int = 0,
    matching: NDArray | None = None,
) -> pd.DataFrame:
    """Rows for each gene of `tested`: where it is, layer by layer, and how its change compares with matched genes.

    Per layer `scaled_distance` (over the root-mean-square pairwise distance) and `rank`, and mean and middle 95 % of
    the matched genes' distances (`scaled_distance_matched_mean`, `_low`, `_high`). Of the change from `start_layer` to
    the last layer `log_distance_change`, `rank_change` and `rank_trend` (Spearman of rank and depth), less side (nearer
    than they come), under the exact null `matched` (all genes of like start rank and the same decile of `matching`
    (n,), detection where it is None) and `paper` (ten random genes). For all `tested` genes together
    `mean_log_distance_change` among the sets that have, for each, itself or one of its matched genes
    (`matched_set_means`). Anchors are never tested and never matched; `axis` names those that were tokens, in their
    order, and the log warns of the others. A gene that is absent, was never a token, or has fewer than 19 matched ones,
    is `not_testable`.
    """
    place = {tensor.genes[row]: index for index, row in enumerate(rows)}
    token = tensor.count[rows] > 0
    base = {"analysis": ANALYSIS, "scope": scope}
    held = [gene for gene in anchors if gene in place and token[place[gene]]]
    if not held:
        reason = f"None of the anchors {'+'.join(anchors)} was a token in this scope."
        return not_testable(ANALYSIS, reason, scope=scope)
    if absent := [gene for gene in anchors if gene not in held]:
        log.warning("scope %s: anchors that were never tokens are left out: %s", scope, ", ".join(absent))
    label, found = "+".join(held), np.array([place[gene] for gene in held])
    distance = scaled_distances(tensor, rows, rows[found])
    rank = nearness_ranks(distance)
    first = tensor.layers.index(start_layer) if start_layer in tensor.layers else 0
    if first == len(tensor.layers) - 1:
        return not_testable(ANALYSIS, "The representation has one layer: there is no change.", scope=scope)
    change = {
        "log_distance_change": np.log(np.maximum(distance[-1], 1e-12) / np.maximum(distance[first], 1e-12)),
        "rank_change": (rank[-1] - rank[first]).astype(float),
        "rank_trend": spearman_over_layers(rank[first:].T, np.array(tensor.layers)[first:]),
    }
    matching = tensor.detection[rows] if matching is None else matching
    barred = np.zeros(len(rows), dtype=bool)
    barred[found] = True
    barred[[place[gene] for gene in tested if gene in place]] = True
    out, groups = [], {}
    for gene in tested:
        if reason := _untestable(gene, anchors, place, token):
            out.append(not_testable(ANALYSIS, reason, term=gene, **base))
            continue
        index = place[gene]
        matched = matched_genes(rank[first], matching, index, barred | ~token)
        if len(matched) >= LEAST_MATCHED:
            groups[index] = matched
        out += _curves(cells(tensor.layers, [label], [gene]), distance, rank, index, matched, base)
        out += _against(change, index, matched, gene, label, barred, seed, base)
    if len(groups) > 1:
        out.append(_together(change["log_distance_change"], groups, permutations, label, seed, base))
    return stack(out)


def _untestable(gene: str, anchors: Sequence[str], place: dict[str, int], token: NDArray[np.bool_]) -> str:
    """Why a gene cannot be tested; empty where it can."""
    if gene in anchors:
        return f"{gene} is one of the anchors."
    if gene not in place:
        return f"{gene} is not in this scope."
    return "" if token[place[gene]] else f"{gene} was never a token: its row is zero, which is no position."


def _curves(
    where: pd.DataFrame, distance: NDArray, rank: NDArray, index: int, matched: NDArray, base: dict
) -> list[pd.DataFrame]:
    """Where the gene is, and where its matched genes are, layer by layer."""
    n = distance.shape[1]
    out = [make_rows(where, distance[:, index], quantity="scaled_distance", n=n, **base)]
    out.append(make_rows(where, rank[:, index].astype(float), quantity="rank", n=n, **base))
    if len(matched) >= LEAST_MATCHED:
        ends = (*percentile_interval(distance[:, matched].T), distance[:, matched].mean(axis=1))
        for name, curve in zip(("low", "high", "mean"), ends, strict=True):
            out.append(make_rows(where, curve, quantity=f"scaled_distance_matched_{name}", n=len(matched), **base))
    return out


def _against(
    change: dict[str, NDArray], index: int, matched: NDArray, gene: str, label: str, barred: NDArray, seed: int,
    base: dict,
) -> list[pd.DataFrame]:  # fmt: skip
    where = cells([np.nan], [label], [gene])
    others = np.flatnonzero(~barred)
    rng = keyed_rng(seed, ANALYSIS, "paper", gene)
    random = rng.choice(others, min(PAPER_GENES, len(others)), replace=False)
    out = []
    for quantity, values in change.items():
        columns = base | {"quantity": quantity, "n": len(matched)}
        value = values[[index]]
        if len(matched) < LEAST_MATCHED:
            reason = f"{len(matched)} genes start as near to {label} as {gene}; {LEAST_MATCHED} are needed."
            columns |= {"null": "matched", "side": "less", "status": "not_testable", "reason": reason}
            out.append(make_rows(where, value, **columns))
        else:
            draws = values[matched][:, None]
            out.append(null_rows(where, value, draws, "matched", "less", family=False, **columns))
        paper = base | {"quantity": quantity, "n": len(random)}
        out.append(null_rows(where, value, values[random][:, None], "paper", "less", family=False, **paper))
    return out


def _together(
    change: NDArray, groups: dict[int, NDArray], permutations: int, label: str, seed: int, base: dict
) -> pd.DataFrame:
    """The tested genes' mean change among the sets of one gene of each pool, the tested gene being in its own."""
    pools = [change[np.append(gene, matched)] for gene, matched in groups.items()]
    draws, floor = matched_set_means(pools, permutations, keyed_rng(seed, ANALYSIS, "together"))
    observed = np.array([change[list(groups)].mean()])
    columns = base | {"quantity": "mean_log_distance_change", "n": len(groups), "p_floor": floor}
    where = cells([np.nan], [label], ["all tested"])
    return null_rows(where, observed, draws[:, None], "matched", "less", family=False, **columns)

"""H8: attention beside geometry on the same cells: which knows STRING or TRRUST, and does one add to the other (H8)."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutation_p, permutations_within, smallest_p
from opbench.geometry.pairs import auroc_of_sums, residuals, weighted_aurocs
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, cosines
from opbench.geometry.tensor import GeneTensor
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng

ANALYSIS = "attention"
#: Fewer edges are not tested.
LEAST = 10


class PairScores(NamedTuple):
    """Scores of the pairs i < j of n genes at each of L blocks."""

    attention: NDArray[np.float64]  #: (L, P), mean weight per co-tokenised cell, both directions.
    geometry: NDArray[np.float64]  #: (L, P), cosine on a subspace.
    detection: NDArray[np.float64]  #: (P,), log product of detection rates.
    cotokenised: NDArray[np.bool_]  #: (P,), whether any cell had both as tokens.


def mean_attention(tensor: GeneTensor, genes: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Attention per co-tokenised cell among `genes`, symmetrised, (L, n, n), and the pairs that have any, (n, n).

    An InputError if the tensor was made without attention, or without one of the genes.
    """
    if tensor.attention is None or tensor.cotokenised is None:
        raise InputError("gene tensor: holds no attention; extract it with attention genes.")
    place = {gene: row for row, gene in enumerate(tensor.attention_genes)}
    if missing := [gene for gene in genes if gene not in place]:
        raise InputError(f"gene tensor: has no attention of '{missing[0]}'; extract it with that gene named.")
    chosen = np.array([place[gene] for gene in genes])
    count = tensor.cotokenised[np.ix_(chosen, chosen)]
    summed = tensor.attention[:, chosen][:, :, chosen].astype(np.float64)
    mean = summed / np.maximum(count, 1)
    return (mean + np.swapaxes(mean, 1, 2)) / 2, count > 0


def pair_scores(tensor: GeneTensor, spectral: Spectral, span: tuple[int, int] = (2, 7)) -> PairScores:
    """Attention and geometry of all pairs of the scope's genes at every block (layer 0 on, as attention has no -1)."""
    attention, together = mean_attention(tensor, spectral.genes)
    blocks = [index for index, layer in enumerate(spectral.layers) if layer >= 0]
    i, j = np.triu_indices(len(spectral.genes), 1)
    detection = np.log(np.maximum(tensor.detection[spectral.rows].astype(np.float64), 1e-6))
    return PairScores(
        attention[:, i, j], cosines(spectral.axes(*span)[blocks])[:, i, j], detection[i] + detection[j], together[i, j]
    )


def attention_rows(
    tensor: GeneTensor,
    spectral: Spectral,
    edges: NDArray[np.int64],
    strata: NDArray[np.int64],
    span: tuple[int, int] = (2, 7),
    permutations: int = 5000,
    bootstraps: int = 500,
    seed: int = 0,
    term: str = "STRING",
) -> pd.DataFrame:
    """AUROC of `edges` (E, 2) against the other co-tokenised pairs, per block, greater side; for few genes.

    Axes: `attention`, `geometry` (cosine on the axes of `span`), both after least squares on the log product of
    detection rates (`... | detection`) and on each other's ranks as well (`geometry | attention`, `attention |
    geometry`: what one adds to the other). Null `strata`: genes permuted under the edges within strata of detection and
    expression, so that pairs are set against pairs of like detection; `paper`: over all genes. `p_family`: max-T over
    blocks × axes. `complement` is the smaller of the two conditional AUROCs. Intervals resample genes.
    """
    n = len(spectral.genes)
    scores = pair_scores(tensor, spectral, span)
    cell = np.full((n, n), -1, dtype=np.int64)
    i, j = (side[scores.cotokenised] for side in np.triu_indices(n, 1))
    cell[i, j] = cell[j, i] = np.arange(len(i))
    found = np.unique(np.sort(edges, axis=1), axis=0)
    found = found[cell[found[:, 0], found[:, 1]] >= 0]
    base = {"analysis": ANALYSIS, "scope": spectral.scope}
    if len(found) < LEAST or len(found) == len(i):
        reason = f"{len(found)} {term} pairs were ever tokens of one cell; {LEAST} are needed."
        return not_testable(ANALYSIS, reason, term=term, quantity="auroc", scope=spectral.scope)
    views = conditional_views(scores)
    stacked = np.stack(list(views.values()), axis=1).reshape(-1, len(i))  # blocks × axes
    ranks = np.ascontiguousarray(rankdata(stacked, axis=1).T.astype(np.float32))
    label = np.zeros(len(i), dtype=bool)
    label[cell[found[:, 0], found[:, 1]]] = True
    value = auroc_of_sums(ranks[label].sum(axis=0, dtype=np.float64), label.sum(), len(i))
    boot = _bootstrap(stacked, label, n, i, j, bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS, term))
    low, high = percentile_interval(boot) if bootstraps else (np.full(len(value), np.nan),) * 2
    blocks = [layer for layer in spectral.layers if layer >= 0]
    where = cells(blocks, list(views), [term])
    columns = {"quantity": "auroc", "n": int(label.sum()), "ci_low": low, "ci_high": high} | base
    out = []
    for null, groups in (("strata", strata), ("paper", None)):
        drawn = permutations_within(groups, n, permutations, keyed_rng(seed, ANALYSIS, null, term))
        draws = np.array([_permuted(ranks, cell, order[found]) for order in drawn], dtype=np.float32)
        out.append(null_rows(where, value, draws, null, "greater", **columns))
        if null == "strata":
            out.append(_complement(value, draws, list(views), blocks, term, base | {"n": int(label.sum())}))
    return stack(out)


def conditional_views(scores: PairScores) -> dict[str, NDArray[np.float64]]:
    """Scores of the co-tokenised pairs, plain and given the nuisance and each other, each (L, pairs)."""
    kept = scores.cotokenised
    attention, geometry = (rankdata(part[:, kept], axis=1) for part in (scores.attention, scores.geometry))
    nuisance = scores.detection[kept][:, None]
    pairs = zip(attention, geometry, strict=True)
    both = [
        (residuals(a, np.column_stack([nuisance, g])), residuals(g, np.column_stack([nuisance, a]))) for a, g in pairs
    ]
    return {
        "attention": attention,
        "geometry": geometry,
        "attention | detection": residuals(attention, nuisance),
        "geometry | detection": residuals(geometry, nuisance),
        "attention | geometry": np.array([a for a, _ in both]),
        "geometry | attention": np.array([g for _, g in both]),
    }


def _permuted(ranks: NDArray, cell: NDArray, edges: NDArray) -> NDArray[np.float64]:
    """AUROCs (k,) of permuted edges; those that fall on pairs that were never co-tokenised are left out."""
    found = cell[edges[:, 0], edges[:, 1]]
    found = found[found >= 0]
    return auroc_of_sums(ranks[found].sum(axis=0, dtype=np.float64), float(len(found)), len(ranks))


def _complement(
    value: NDArray, draws: NDArray, names: list[str], blocks: list[int], term: str, columns: dict
) -> pd.DataFrame:
    """Both add: the smaller of the two conditional AUROCs, per block."""
    chosen = [names.index(name) for name in ("attention | geometry", "geometry | attention")]
    smaller = value.reshape(len(blocks), -1)[:, chosen].min(axis=1)
    null = draws.reshape(len(draws), len(blocks), -1)[:, :, chosen].min(axis=2)
    where = cells(blocks, ["both"], [term])
    # Both must add: the larger p of the two tests their intersection (Berger 1982). The null shown is of the smaller.
    shown = {"null_mean": null.mean(axis=0), "null_sd": null.std(axis=0), "null_q95": np.quantile(null, 0.95, axis=0)}
    return make_rows(where, smaller, quantity="complement", p=_larger_p(value, draws, chosen, len(blocks)),
                     null="strata", side="greater", permutations=len(draws), p_floor=smallest_p(len(draws)),
                     **shown, **columns)  # fmt: skip


def _larger_p(value: NDArray, draws: NDArray, chosen: list[int], blocks: int) -> NDArray[np.float64]:
    return permutation_p(value, draws, "greater").reshape(blocks, -1)[:, chosen].max(axis=1)


def _bootstrap(
    scores: NDArray, label: NDArray, n: int, i: NDArray, j: NDArray, draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    if not draws:
        return np.empty((0, len(scores)))
    counts = bootstrap_counts(np.arange(n), draws, rng)
    weights = counts[:, i] * counts[:, j]
    return np.column_stack([weighted_aurocs(row, label, weights) for row in scores])

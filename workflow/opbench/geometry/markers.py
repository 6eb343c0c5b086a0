"""H7: do marker genes of one cell type lie together (spectral-geometry H7)."""

from collections.abc import Iterator, Mapping
from math import factorial, prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, rankdata

from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutations_within, smallest_p
from opbench.geometry.pairs import auroc_of_sums, aurocs, block_indices, spearman_over_layers, weighted_aurocs
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import cosines
from opbench.geometry.tensor import GeneTensor
from opbench.io.seeds import keyed_rng

ANALYSIS = "markers"
#: So many arrangements of the labels are listed rather than drawn.
LISTED = 20_000
#: Permutations counted at once.
CHUNK = 500
#: Panels of other genes, at most: each is a new matrix of distances at every layer.
PSEUDO_PANELS = 1000


def arrangements(labels: NDArray[np.int64]) -> int:
    """How many distinct orders `labels` have."""
    out = factorial(len(labels))
    for size in np.bincount(labels):
        out //= factorial(int(size))
    return out


def every_arrangement(labels: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    """All distinct orders of `labels`."""
    counts = np.bincount(labels)
    order: list[int] = []

    def extend() -> Iterator[tuple[int, ...]]:
        if len(order) == len(labels):
            yield tuple(order)
            return
        for label in range(len(counts)):
            if counts[label]:
                counts[label] -= 1
                order.append(label)
                yield from extend()
                order.pop()
                counts[label] += 1

    yield from extend()


def label_draws(
    labels: NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Other arrangements of `labels`, (N, n), and the smallest p that they can give.

    All are listed where there are at most `LISTED`, and the observed is left out: with (1 + b) / (1 + N) they give the
    exact p. Types of equal size can change names, and the statistic stays: so many arrangements tie with the best.
    """
    total = arrangements(labels)
    alike = prod(factorial(int(size)) for size in np.bincount(np.bincount(labels)))
    if total > LISTED:
        drawn = labels[permutations_within(None, len(labels), permutations, rng)]
        return drawn, max(smallest_p(permutations), alike / total)
    every = np.array(list(every_arrangement(labels)))
    return every[(every != labels).any(axis=1)], alike / total


def within_aurocs(ranks: NDArray, labels: NDArray, i: NDArray, j: NDArray) -> NDArray[np.float32]:
    """AUROC that pairs of one type are nearer than pairs of two: ranks of nearness (L, P), labels (N, n) to (N, L)."""
    out = np.empty((len(labels), len(ranks)), dtype=np.float32)
    for start in range(0, len(labels), CHUNK):
        part = labels[start : start + CHUNK]
        same = (part[:, i] == part[:, j]).astype(np.float64)
        sums = same @ ranks.T
        out[start : start + CHUNK] = auroc_of_sums(sums, same.sum(axis=1)[:, None], ranks.shape[1])
    return out


def marker_rows(
    tensor: GeneTensor,
    rows: NDArray[np.int64],
    panel: Mapping[str, str],
    coexpression: NDArray | None = None,
    strata: NDArray[np.int64] | None = None,
    scope: str = "nonzero",
    permutations: int = 5000,
    bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows `auroc` per layer and their `mean_auroc`: within-type pairs are nearer on the unit sphere, greater side.

    `panel` maps symbols to types. Null `labels`: types permuted over the markers, all arrangements where they are few
    (`permutations` is then one less than those, and p exact); the curve over layers is made again each time. Null
    `pseudo_panel`: genes permuted within strata (`strata` (n,), genes of `rows`) under the panel, types kept. Null
    `paper`: the Mann-Whitney p, pairs taken as independent. `layer_trend`: Spearman with depth, two-sided, under
    `labels`. With `coexpression` (m, m), r of the markers in the order of `markers_of`: its `auroc` (axis
    `coexpression`) and `excess_auroc`, the mean over layers less it, with an interval over genes.
    """
    genes, types = markers_of(tensor, rows, panel)
    columns = {"analysis": ANALYSIS, "scope": scope, "n": len(genes)}
    if len(set(types)) < 2:
        return not_testable(ANALYSIS, f"{len(set(types))} cell types have two markers in this scope; two are needed.",
                            quantity="auroc", scope=scope)  # fmt: skip
    place = np.array([tensor.place[gene] for gene in genes])
    labels = np.unique(types, return_inverse=True)[1].astype(np.int64)
    blocks = block_indices(tensor.layers)
    i, j = np.triu_indices(len(genes), 1)
    near, same = cosines(tensor.tensor[:, place])[:, i, j], labels[i] == labels[j]
    value = aurocs(near, same)
    weights = _pair_weights(len(genes), i, j, bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS))
    boot = np.column_stack([weighted_aurocs(row, same, weights) for row in near])
    low, high = percentile_interval(boot)
    ends = percentile_interval(boot[:, blocks].mean(axis=1, keepdims=True))
    layer = {"quantity": "auroc", "ci_low": low, "ci_high": high} | columns
    mean = {"quantity": "mean_auroc", "ci_low": ends[0], "ci_high": ends[1]} | columns
    where = cells(tensor.layers, ["sphere"])
    drawn, floor = label_draws(labels, permutations, keyed_rng(seed, ANALYSIS, "labels"))
    draws = within_aurocs(rankdata(near, axis=1), drawn, i, j)
    out = _both(where, value, draws, blocks, "labels", layer | {"p_floor": floor}, mean | {"p_floor": floor})
    curve, curves = (spearman_over_layers(c[:, blocks], np.array(tensor.layers)[blocks]) for c in (value[None], draws))
    trend = {"quantity": "layer_trend", "p_floor": min(1.0, 2 * floor)} | columns
    out.append(null_rows(cells([np.nan], ["sphere"]), curve, curves[:, None], "labels", "two-sided", **trend))
    paper = [mannwhitneyu(row[same], row[~same], alternative="greater").pvalue for row in near]
    out.append(make_rows(where, value, p=np.array(paper), null="paper", side="greater", **layer))
    if strata is not None:
        draws = _pseudo_draws(tensor, rows, place, labels, strata, min(permutations, PSEUDO_PANELS), seed)
        out += _both(where, value, draws, blocks, "pseudo_panel", layer, mean)
    if coexpression is not None:
        out += _baseline(coexpression[i, j], boot[:, blocks].mean(axis=1), same, weights, value[blocks], columns)
    return stack(out)


def _both(
    where: pd.DataFrame, value: NDArray, draws: NDArray, blocks: list[int], null: str, layer: dict, mean: dict
) -> list[pd.DataFrame]:
    """Rows of each layer and of the mean over blocks under one null, greater side."""
    one, many = value[blocks].mean(keepdims=True), draws[:, blocks].mean(axis=1, keepdims=True)
    whole = null_rows(cells([np.nan], ["sphere"]), one, many, null, "greater", **mean)
    return [null_rows(where, value, draws, null, "greater", **layer), whole]


def markers_of(tensor: GeneTensor, rows: NDArray, panel: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Markers among the genes `rows` and their types, types with two markers or more, in the tensor's order."""
    held = [gene for gene in (tensor.genes[row] for row in rows) if gene in panel]
    size = pd.Series([panel[gene] for gene in held], dtype=object).value_counts()
    kept = [gene for gene in held if size[panel[gene]] > 1]
    return kept, [panel[gene] for gene in kept]


def _pair_weights(n: int, i: NDArray, j: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    counts = bootstrap_counts(np.arange(n), max(draws, 2), rng)
    return counts[:, i] * counts[:, j]


def _pseudo_draws(
    tensor: GeneTensor, rows: NDArray, place: NDArray, labels: NDArray, strata: NDArray, count: int, seed: int
) -> NDArray[np.float64]:
    """AUROCs (count, L) of the panels that the markers' places hold when all genes are permuted within strata.

    The markers take part: the observed panel must be one of those that are exchangeable, and no gene is drawn twice.
    """
    at = {row: position for position, row in enumerate(rows.tolist())}
    orders = permutations_within(strata, len(rows), count, keyed_rng(seed, ANALYSIS, "pseudo"))
    panels = rows[orders[:, [at[row] for row in place.tolist()]]]
    i, j = np.triu_indices(len(place), 1)
    same = labels[i] == labels[j]
    return np.array([aurocs(cosines(tensor.tensor[:, panel])[:, i, j], same) for panel in panels])


def _baseline(
    r: NDArray, layers: NDArray, same: NDArray, weights: NDArray, value: NDArray, columns: dict
) -> list[pd.DataFrame]:
    """What co-expression alone gives on the same pairs, and how much more the layers' mean is."""
    own = aurocs(r[None], same)
    drawn = weighted_aurocs(r, same, weights)
    ends = percentile_interval(drawn[:, None])
    more = percentile_interval((layers - drawn)[:, None])
    where = cells([np.nan], ["coexpression"])
    baseline = {"quantity": "auroc", "ci_low": ends[0], "ci_high": ends[1]} | columns
    excess = {"quantity": "excess_auroc", "ci_low": more[0], "ci_high": more[1]} | columns
    return [make_rows(where, own, **baseline), make_rows(where, value.mean(keepdims=True) - own, **excess)]

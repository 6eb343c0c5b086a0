"""H3: does a six-dimensional subspace separate transcription factors from targets, beyond expression (H3)."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.logistic import cross_validated_aurocs, fit_scores, make_folds
from opbench.geometry.nulls import bootstrap_counts, percentile_interval, permutations_within
from opbench.geometry.pairs import block_indices, weighted_aurocs
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral
from opbench.io.seeds import keyed_rng

ANALYSIS = "tf_target"
#: Axes, first and last, of the published subspaces; the joint one is their union.
SUBSPACES: Mapping[str, tuple[int, int]] = {"SV2-7": (2, 7), "SV2-4": (2, 4), "SV5-7": (5, 7)}
JOINT = "SV2-7"
#: Below so many genes of a class nothing is fitted.
LEAST = 10
#: Permuted labels fitted at once.
CHUNK = 500


def gene_classes(edges: pd.DataFrame, genes: Sequence[str], factors: Sequence[str] | None = None) -> NDArray[np.int64]:
    """Class of each gene: 1 a factor, 0 a target only, -1 neither, (n,).

    Factors are the sources of `edges` with an edge among `genes`, or those of an independent list `factors`.
    """
    held = edges[edges["source"].isin(set(genes)) & edges["target"].isin(set(genes))]
    sources = set(held["source"]) if factors is None else set(factors)
    targets = set(held["target"])
    return np.array([1 if g in sources else 0 if g in targets else -1 for g in genes], dtype=np.int64)


def symbol_family(symbol: str) -> str:
    """A stand-in for the gene family: the letters before the first digit or hyphen (STAT3 -> STAT, HLA-A -> HLA)."""
    match = re.match(r"[A-Za-z]+", symbol)
    return match[0] if match else symbol


def tf_target_rows(
    spectral: Spectral,
    classes: NDArray[np.int64],
    covariates: NDArray,
    strata: NDArray[np.int64],
    subspaces: Mapping[str, tuple[int, int]] = SUBSPACES,
    full: NDArray | None = None,
    folds: int = 5,
    repeats: int = 1,
    permutations: int = 1000,
    random_subspaces: int = 1000,
    bootstraps: int = 1000,
    seed: int = 0,
    term: str = "",
) -> pd.DataFrame:
    """Held-out AUROC (logistic regression, C = 1, mean over folds) of factors against targets, per layer.

    `auroc` of each subspace, under nulls `strata` (labels permuted within strata of expression), `paper` (over all
    genes) and `random_subspaces` (six-dimensional ones of the same share of variance, for the joint one); `auroc` of
    `covariates` (n, c) alone and of all dimensions (`full` (L, n, d), if given); `delta_auroc`, covariates with the
    joint subspace less covariates alone, under `strata`; `auroc_grouped`, folds that keep `symbol_family` whole. All
    greater side; max-T over layers × subspaces. `term` names where the classes are from. `strata` and `covariates` are
    of the scope's genes. Intervals resample genes with the held-out scores fixed.
    """
    kept = classes >= 0
    y = (classes[kept] == 1).astype(np.float64)
    columns = {"analysis": ANALYSIS, "scope": spectral.scope, "n": int(kept.sum()), "term": term}
    if min(y.sum(), (1 - y).sum()) < LEAST:
        reason = (
            f"{int(y.sum())} factors and {int((1 - y).sum())} targets are in this scope; {LEAST} of each are needed."
        )
        return not_testable(ANALYSIS, reason, quantity="auroc", scope=spectral.scope, term=term)
    rng = keyed_rng(seed, ANALYSIS, "folds")
    plain = make_folds(np.arange(len(y)), folds, repeats, rng)
    families = np.array([symbol_family(gene) for gene, held in zip(spectral.genes, kept, strict=True) if held])
    grouped = make_folds(families, folds, repeats, rng)
    spaces = {name: spectral.axes(*span)[:, kept] for name, span in subspaces.items()}
    where = cells(spectral.layers, list(spaces))
    designs = [space[layer] for layer in range(len(spectral.layers)) for space in spaces.values()]
    out = _label_nulls(where, designs, y, plain, strata[kept], permutations, bootstraps, seed, columns)
    values = np.array([cross_validated_aurocs(x, y, grouped)[0] for x in designs])
    out.append(make_rows(where, values, quantity="auroc_grouped", **columns))
    out += _baselines(spectral, spaces[JOINT] if JOINT in spaces else next(iter(spaces.values())), covariates[kept],
                      y, plain, strata[kept], permutations, seed, columns)  # fmt: skip
    if full is not None:
        values = np.array([cross_validated_aurocs(layer[kept], y, plain)[0] for layer in full])
        out.append(make_rows(cells(spectral.layers, ["all"]), values, quantity="auroc", **columns))
    if random_subspaces and JOINT in subspaces:
        out.append(_random_rows(spectral, subspaces[JOINT], kept, y, plain, random_subspaces, seed, columns))
    return stack(out)


def _in_chunks(x: NDArray, labels: NDArray, folds: NDArray) -> NDArray[np.float64]:
    parts = [labels[start : start + CHUNK] for start in range(0, len(labels), CHUNK)]
    return np.concatenate([cross_validated_aurocs(x, part, folds) for part in parts])


def _label_nulls(
    where: pd.DataFrame, designs: list[NDArray], y: NDArray, folds: NDArray, strata: NDArray, permutations: int,
    bootstraps: int, seed: int, columns: dict,
) -> list[pd.DataFrame]:  # fmt: skip
    value = np.array([cross_validated_aurocs(x, y, folds)[0] for x in designs])
    weights = bootstrap_counts(np.arange(len(y)), bootstraps, keyed_rng(seed, "bootstrap", ANALYSIS))
    ends = [_interval(x, y, folds[0], weights) for x in designs]
    low, high = np.array(ends).T
    out = []
    for null, groups in (("strata", strata), ("paper", None)):
        drawn = permutations_within(groups, len(y), permutations, keyed_rng(seed, ANALYSIS, null))
        draws = np.column_stack([_in_chunks(x, y[drawn], folds) for x in designs])
        rows = {"quantity": "auroc", "ci_low": low, "ci_high": high} | columns
        out.append(null_rows(where, value, draws, null, "greater", **rows))
        # The mean over blocks, labels permuted once for all of them.
        names = list(dict.fromkeys(where["axis"]))
        blocks = block_indices(list(where["layer"][:: len(names)]))
        mean, means = (c.reshape(len(c), -1, len(names))[:, blocks].mean(axis=1) for c in (value[None], draws))
        rows = {"quantity": "mean_auroc"} | columns
        out.append(null_rows(cells([np.nan], names), mean[0], means, null, "greater", **rows))
    return out


def _interval(x: NDArray, y: NDArray, folds: NDArray, weights: NDArray) -> tuple[float, float]:
    """Node-bootstrap interval of the mean fold AUROC, held-out scores fixed."""
    if not len(weights):
        return float("nan"), float("nan")
    values = []
    for fold in np.unique(folds):
        test = folds == fold
        score = fit_scores(x, y, ~test)[0]
        values.append(weighted_aurocs(score[test], y[test] == 1, weights[:, test]))
    stacked = np.array(values)
    held = ~np.isnan(stacked)
    mean = np.where(held, stacked, 0).sum(axis=0) / np.maximum(held.sum(axis=0), 1)
    low, high = percentile_interval(np.where(held.any(axis=0), mean, np.nan)[:, None])
    return float(low[0]), float(high[0])


def _baselines(
    spectral: Spectral, joint: NDArray, covariates: NDArray, y: NDArray, folds: NDArray, strata: NDArray,
    permutations: int, seed: int, columns: dict,
) -> list[pd.DataFrame]:  # fmt: skip
    """Covariates alone (the same at every layer), and what the joint subspace adds to them."""
    drawn = permutations_within(strata, len(y), permutations, keyed_rng(seed, ANALYSIS, "delta"))
    alone, null_alone = cross_validated_aurocs(covariates, y, folds)[0], _in_chunks(covariates, y[drawn], folds)
    delta, draws = [], []
    for layer in joint:
        design = np.column_stack([covariates, layer])
        delta.append(cross_validated_aurocs(design, y, folds)[0] - alone)
        draws.append(_in_chunks(design, y[drawn], folds) - null_alone)
    name = {"quantity": "auroc"} | columns
    shown = make_rows(cells([np.nan], ["covariates"]), np.array([alone]), **name)
    added = {"quantity": "delta_auroc"} | columns
    where = cells(spectral.layers, ["covariates+joint"])
    return [shown, null_rows(where, np.array(delta), np.column_stack(draws), "strata", "greater", **added)]


def random_bases(s: NDArray, span: tuple[int, int], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`count` orthonormal bases (count, r, m) among all r axes with singular values `s`, m as many as in `span`.

    Directions are Gaussian with spread s**a; `a` is set by bisection so that the subspaces hold, on average, the
    variance of the axes of `span`. The first axes take part even where `span` leaves them out: of the later ones no
    other subspace holds as much.
    """
    first, last = span
    size = last - first + 1
    held = np.asarray(s, dtype=np.float64)
    held = held[held > 1e-9 * held[0]] / held[0]
    aim = (held[first - 1 : last] ** 2).sum()
    noise = rng.standard_normal((count, len(held), size))

    def bases(power: float, some: slice) -> NDArray:
        return np.linalg.qr(noise[some] * (held**power)[:, None])[0]

    low, high, some = 0.0, 40.0, slice(0, min(count, 64))
    for _ in range(30):
        middle = (low + high) / 2
        share = (bases(middle, some) ** 2 * (held**2)[:, None]).sum(axis=(1, 2)).mean()
        low, high = (middle, high) if share < aim else (low, middle)
    return bases((low + high) / 2, slice(None))


def _random_rows(
    spectral: Spectral, span: tuple[int, int], kept: NDArray, y: NDArray, folds: NDArray, count: int, seed: int,
    columns: dict,
) -> pd.DataFrame:  # fmt: skip
    """The joint subspace among random ones of the same dimension and share of variance.

    Only the axes that `spectral` holds can be mixed: give it all of them.
    """
    value, draws = [], []
    for index, layer in enumerate(spectral.layers):
        rng = keyed_rng(seed, ANALYSIS, "random-subspaces", layer)
        k = spectral.u.shape[2]
        bases = random_bases(spectral.s[index, :k], span, count, rng)
        space = (spectral.u[index, kept] * spectral.s[index, :k])[:, : bases.shape[1]]
        parts = [space @ bases[start : start + CHUNK] for start in range(0, count, CHUNK)]
        draws.append(np.concatenate([cross_validated_aurocs(x, y, folds) for x in parts]))
        value.append(cross_validated_aurocs(spectral.axes(*span)[index][kept], y, folds)[0])
    rows = {"quantity": "auroc"} | columns
    where = cells(spectral.layers, [JOINT])
    return null_rows(where, np.array(value), np.column_stack(draws), "random_subspaces", "greater", **rows)

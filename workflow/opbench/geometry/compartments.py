"""H1: do the poles of an axis hold a compartment's genes more often than matched genes (spectral-geometry H1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.nulls import (
    MaxT,
    bootstrap_counts,
    percentile_interval,
    permutation_p,
    permutations_within,
    smallest_p,
)
from opbench.geometry.pairs import block_indices
from opbench.geometry.rows import cells, make_rows, not_testable, null_rows, stack
from opbench.geometry.scopes import Spectral, poles
from opbench.io.seeds import keyed_rng

ANALYSIS = "compartments"
#: Permutations counted at once, and terms whose draws are held at once: all of a gene-set file's would not fit.
CHUNK, TERMS = 64, 16


def odds_ratio(inside: NDArray, pole: float | NDArray, term: NDArray, n: float | NDArray) -> NDArray[np.float64]:
    """Odds ratio of being in the pole, term genes against the others; 1/2 is added to tables with an empty cell.

    `inside` of the `term` genes are in a pole of `pole` genes among `n`; arrays broadcast.
    """
    table = np.broadcast_arrays(inside, term - inside, pole - inside, n - term - pole + inside)
    a, b, c, d = (part.astype(np.float64) for part in table)
    half = 0.5 * ((a <= 0) | (b <= 0) | (c <= 0) | (d <= 0))
    return (a + half) * (d + half) / ((b + half) * (c + half))


def pole_indicators(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Genes in the low and the high pole of every layer and axis: (L, n, k) codes to (n, 2 L k), poles last."""
    both = np.stack([codes == -1, codes == 1], axis=-1)
    return np.ascontiguousarray(np.moveaxis(both, 1, 0).reshape(codes.shape[1], -1), dtype=np.float32)


def permuted_counts(
    member: NDArray[np.bool_], indicator: NDArray[np.float32], permutations: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Term genes in each pole after permuting gene labels: (T, n), (n, P), (N, n) to (N, P, T)."""
    terms, n = member.shape
    held = member.astype(np.float32)
    out = np.empty((len(permutations), indicator.shape[1], terms), dtype=np.float32)
    for start in range(0, len(permutations), CHUNK):
        part = permutations[start : start + CHUNK]
        shuffled = held[:, part].transpose(1, 0, 2).reshape(-1, n) @ indicator
        out[start : start + CHUNK] = shuffled.reshape(len(part), terms, -1).transpose(0, 2, 1)
    return out


def compartment_rows(
    spectral: Spectral,
    member: pd.DataFrame,
    strata: NDArray[np.int64],
    axes: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    k_frac: float = 0.25,
    permutations: int = 5000,
    bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rows `odds_ratio` of the better pole of each layer, axis and term, under two nulls, greater side.

    `member` is terms × genes (columns in the order of `spectral.genes`); `strata` (n,) are the genes' strata of
    detection, expression and annotation. Null `strata`: gene labels permuted within strata, the better of two poles
    against the better of two, max-T over layers × axes × poles × terms in `p_family`. Null `paper`: labels permuted
    over all genes, and the better pole against one pole, as published (anti-conservative by up to a factor 2).
    Intervals resample genes with the poles held.
    """
    if member.empty:
        return not_testable(ANALYSIS, "No term of the localisation table has enough genes in this scope.",
                            scope=spectral.scope)  # fmt: skip
    codes = poles(spectral.u[:, :, [axis - 1 for axis in axes]], k_frac)
    rng, n = keyed_rng(seed, "bootstrap", ANALYSIS), len(spectral.genes)
    shared = _Shared(
        pole_indicators(codes), float((codes[0, :, 0] == 1).sum()),
        {null: permutations_within(groups, n, permutations, keyed_rng(seed, ANALYSIS, null))
         for null, groups in (("strata", strata), ("paper", None))},
        bootstrap_counts(np.arange(n), bootstraps, rng) if bootstraps else None,
    )  # fmt: skip
    better, worse, out = MaxT("greater"), MaxT("less"), []
    for start in range(0, len(member), TERMS):
        held = member[spectral.genes].iloc[start : start + TERMS]
        where = cells(spectral.layers, [f"SV{axis}" for axis in axes], held.index)
        out.append(_term_rows(where, held.to_numpy(dtype=bool), shared, better, worse, spectral.scope))
    frame, width = stack(out), shared.indicator.shape[1] // 2
    matched = frame.index[frame["null"] == "strata"]
    # Both poles of all cells are the family, and a cell has the better of its two.
    sizes = [min(TERMS, len(member) - start) for start in range(0, len(member), TERMS)]
    parts = np.split(better.p(), np.cumsum([2 * width * size for size in sizes])[:-1])
    best = [part.reshape(-1, 2, size).min(axis=1).ravel() for part, size in zip(parts, sizes, strict=True)]
    frame.loc[matched, "p_family"], frame.loc[matched, "p_opposite"] = np.concatenate(best), worse.p()
    return frame


@dataclass(frozen=True)
class _Shared:
    """What all terms share: poles (n, P), their size, permutations by null, bootstrap weights (B, n) or None."""

    indicator: NDArray[np.float32]
    pole: float
    permutations: dict[str, NDArray[np.int32]]
    weights: NDArray[np.float32] | None


def _term_rows(
    where: pd.DataFrame, held: NDArray[np.bool_], shared: _Shared, better: MaxT, worse: MaxT, scope: str
) -> pd.DataFrame:
    """Rows of some terms `held` (T, n), without family-wise p, whose parts go into `better` and `worse`."""
    size, n, indicator = held.sum(axis=1), held.shape[1], shared.indicator
    columns = {"analysis": ANALYSIS, "scope": scope, "quantity": "odds_ratio", "n": n}
    observed = indicator.T @ held.T.astype(np.float32)  # (P, T)
    both = odds_ratio(observed, shared.pole, size, n).reshape(-1, 2, len(size))
    low, high = _interval(held, indicator, both.argmax(axis=1), shared.weights)
    value, columns = both.max(axis=1).ravel(), columns | {"ci_low": low, "ci_high": high}
    out = []
    for null, drawn in shared.permutations.items():
        counts = permuted_counts(held, indicator, drawn)
        ratios = odds_ratio(counts, shared.pole, size, n).astype(np.float32).reshape(len(drawn), -1, 2, len(size))
        draws = ratios.max(axis=2) if null == "strata" else ratios[:, :, 1]  # as published, one pole
        draws = draws.reshape(len(drawn), -1)
        if null == "strata":
            better.add(observed.ravel(), counts.reshape(len(counts), -1))
            worse.add(value, draws)
        out.append(null_rows(where, value, draws, null, "greater", family=False, **columns))
    return stack(out)


def _interval(held: NDArray, indicator: NDArray, better: NDArray, weights: NDArray | None) -> tuple[NDArray, NDArray]:
    """Percentile interval of the better pole's odds ratio, genes resampled by `weights` (B, n); two (k,)."""
    if weights is None:
        return (np.full(better.size, np.nan),) * 2
    n = held.shape[1]
    terms = weights @ held.T.astype(np.float32)
    low, high = [], []
    for cell in range(len(better)):
        both = indicator[:, 2 * cell : 2 * cell + 2]
        size = weights @ both
        inside = np.stack([weights @ (held.T * both[:, [side]]).astype(np.float32) for side in (0, 1)], axis=1)
        chosen = np.take_along_axis(inside, better[cell][None, None, :], axis=1)[:, 0]
        ratio = odds_ratio(chosen, size[:, better[cell]], terms, n)
        ends = percentile_interval(ratio)
        low.append(ends[0])
        high.append(ends[1])
    return np.concatenate(low), np.concatenate(high)


def order_rows(
    spectral: Spectral,
    member: pd.DataFrame,
    sequence: Sequence[str],
    strata: NDArray[np.int64],
    axis: int = 1,
    k_frac: float = 0.25,
    permutations: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """Do the terms of `sequence` peak at one layer after another on an axis, by more than permuted labels do.

    Per term a row `peak_layer` (of the better pole's odds ratio, first of ties); then `peaks_in_order`: Spearman
    between place in `sequence` and peak layer, greater side. Null `strata`: labels are permuted once and the whole
    curve over layers is made again, because layers are not independent.
    """
    columns = {"analysis": ANALYSIS, "scope": spectral.scope}
    if missing := [term for term in sequence if term not in member.index]:
        reason = f"'{missing[0]}' of geometry.sequence is not in the table, or has too few genes in this scope."
        return not_testable(ANALYSIS, reason, quantity="peaks_in_order", scope=spectral.scope)
    held = member.loc[list(sequence), spectral.genes].to_numpy(dtype=bool)
    codes = poles(spectral.u[:, :, [axis - 1]], k_frac)
    indicator, size, n = pole_indicators(codes), held.sum(axis=1), held.shape[1]
    pole = float((codes[0, :, 0] == 1).sum())

    blocks = block_indices(spectral.layers)

    def curves(counts: NDArray) -> NDArray:
        ratio = odds_ratio(counts, pole, size, n)
        return ratio.reshape(*counts.shape[:-2], -1, 2, len(size)).max(axis=-2)[..., blocks, :]

    peaks = curves(indicator.T @ held.T.astype(np.float32)).argmax(axis=0)
    drawn = permutations_within(strata, n, permutations, keyed_rng(seed, ANALYSIS, "order"))
    null_peaks = curves(permuted_counts(held, indicator, drawn)).argmax(axis=1)
    terms = cells([np.nan], [f"SV{axis}"], sequence)
    layers = np.array(spectral.layers, dtype=float)[blocks]
    shown = make_rows(terms, layers[peaks], quantity="peak_layer", n=n, **columns)
    value, null = _order(peaks[None])[0], _order(null_peaks)
    whole = cells([np.nan], [f"SV{axis}"], [" < ".join(sequence)])
    both = {name: permutation_p(np.array([value]), null[:, None], name)[0] for name in ("greater", "less")}
    tested = make_rows(
        whole, np.array([value]), quantity="peaks_in_order", n=len(sequence), null="strata", side="greater",
        p=both["greater"], p_opposite=both["less"], p_floor=smallest_p(permutations),
        permutations=permutations, null_mean=null.mean(), null_sd=null.std(), null_q95=np.quantile(null, 0.95),
        **columns,
    )  # fmt: skip
    return stack([shown, tested])


def _order(peaks: NDArray) -> NDArray[np.float64]:
    """Spearman of place and peak, (N, t) to (N,); 0 where all peaks are at one layer."""
    from scipy.stats import rankdata

    ranks = rankdata(peaks, axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    place = np.arange(peaks.shape[1]) - (peaks.shape[1] - 1) / 2
    norm = np.sqrt((ranks**2).sum(axis=1) * (place**2).sum())
    return np.divide(ranks @ place, norm, out=np.zeros(len(peaks)), where=norm > 0)

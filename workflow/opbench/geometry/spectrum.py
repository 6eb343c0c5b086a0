"""Global geometry of the rows of each layer (spectral-geometry 1.5)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.rows import cells, make_rows
from opbench.geometry.scopes import Spectral
from opbench.geometry.tensor import GeneTensor
from opbench.io.seeds import keyed_rng

#: Rows whose nearest neighbours TwoNN takes, at most, as the paper did.
TWO_NN_ROWS = 2000
#: Share of the largest ratios that TwoNN leaves out (Facco et al. 2017, Sci Rep 7:12140).
TWO_NN_DISCARDED = 0.1


def effective_rank(s: NDArray) -> float:
    """Exponential of the entropy of the shares of variance s² / sum s²; NaN without variance."""
    share = _shares(s)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else float("nan")


def participation_ratio(s: NDArray) -> float:
    """(sum s²)² / sum s⁴; NaN without variance."""
    share = _shares(s)
    return float(1 / (share**2).sum()) if share.any() else float("nan")


def axes_for(s: NDArray, share: float = 0.9) -> float:
    """Axes that hold `share` of the variance."""
    shares = _shares(s)
    return float(np.searchsorted(np.cumsum(shares), share - 1e-12) + 1) if shares.any() else float("nan")


def _shares(s: NDArray) -> NDArray[np.float64]:
    square = np.asarray(s, dtype=np.float64) ** 2
    total = square.sum()
    return square / total if total > 0 else np.zeros_like(square)


def two_nn(x: NDArray, discarded: float = TWO_NN_DISCARDED) -> float:
    """Intrinsic dimension from the ratio of the second to the first neighbour's distance (Facco et al. 2017).

    A line through the origin is fitted to -log(1 - F) over log ratio without the largest ratios. Rows that repeat
    another (distance 0: zero rows) are left out; NaN with fewer than ten.
    """
    from sklearn.neighbors import NearestNeighbors

    x = np.unique(np.asarray(x, dtype=np.float64), axis=0)
    if len(x) < 10:
        return float("nan")
    distance, _ = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(x).kneighbors(x)
    ratio = np.sort(np.log(distance[:, 2] / np.maximum(distance[:, 1], np.finfo(float).tiny)))
    n = len(ratio)
    kept = int(n * (1 - discarded))
    height = -np.log1p(-np.arange(1, kept + 1) / n)
    square = (ratio[:kept] ** 2).sum()
    return float((ratio[:kept] * height).sum() / square) if square > 0 else float("nan")


def spectrum_rows(tensor: GeneTensor, spectral: Spectral, seed: int = 0) -> pd.DataFrame:
    """Six descriptive quantities of each layer of a scope; no null applies.

    `effective_rank`, `participation_ratio`, `sv1_share` (of variance), `k90`, `frobenius` (of the centred rows) and
    `two_nn` on at most 2,000 rows drawn by `seed`, the same at every layer.
    """
    n = len(spectral.rows)
    sample = spectral.rows
    if n > TWO_NN_ROWS:
        sample = keyed_rng(seed, "two-nn").choice(spectral.rows, TWO_NN_ROWS, replace=False)
    out = []
    for index, layer in enumerate(spectral.layers):
        s = spectral.s[index]
        shares = _shares(s)
        quantities = {
            "effective_rank": effective_rank(s),
            "participation_ratio": participation_ratio(s),
            "sv1_share": float(shares[0]) if shares.any() else float("nan"),
            "k90": axes_for(s),
            "frobenius": float(np.sqrt((s**2).sum())),
            "two_nn": two_nn(tensor.tensor[index, sample]),
        }
        for name, value in quantities.items():
            used = len(sample) if name == "two_nn" else n
            where = cells([layer], [""])
            out.append(
                make_rows(where, np.array([value]), analysis="spectrum", scope=spectral.scope, quantity=name, n=used)
            )
    return pd.concat(out, ignore_index=True)

"""Coverage of two bootstraps, in worlds whose true value is known: genes (`copole_rate`) and sources (`edge_auroc`).

Genes, or sources, of every world are drawn from one population, and all else is held. The true value is the mean over
the worlds: what a percentile interval, which is not corrected for bias, sets out to cover. Coverage of the other
intervals is not studied.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.edges import edge_rows
from opbench.geometry.planted_worlds import GENES
from opbench.geometry.ppi import copole_rows
from opbench.geometry.scopes import Spectral
from opbench.io.seeds import keyed_rng

#: Sources of an edge world; their targets are the other genes.
SOURCES = 40


def _spectral(places: NDArray[np.float64]) -> Spectral:
    """Genes at given `places` (n, k), at one layer."""
    genes = [f"G{index:03d}" for index in range(len(places))]
    shape = (1, places.shape[1])
    return Spectral("nonzero", genes, np.arange(len(places)), [0], places[None], np.ones(shape))


def copole_interval(rng: np.random.Generator, bootstraps: int, seed: int) -> pd.Series:
    """Genes with a place on the axis and a readiness to bind; near genes are edges more often."""
    place, ready = rng.normal(size=(2, GENES))
    i, j = np.triu_indices(GENES, 1)
    score = -3.2 + 0.6 * (ready[i] + ready[j]) - 0.4 * (place[i] - place[j]) ** 2
    edges = np.column_stack([i, j])[rng.random(len(i)) < 1 / (1 + np.exp(-score))]
    flat = np.zeros(GENES, dtype=np.int64)
    return copole_rows(_spectral(place[:, None]), edges, flat, (1,), 0.25, 1, bootstraps, seed).iloc[0]


def edge_interval(rng: np.random.Generator, bootstraps: int, seed: int) -> pd.Series:
    """Sources with a place, and a nearness of their own that their targets keep; targets are the same everywhere."""
    targets = keyed_rng("planted", "targets").normal(size=(GENES - SOURCES, 3))
    sources, keep = rng.normal(size=(SOURCES, 3)), rng.exponential(0.6, SOURCES)
    near = ((sources[:, None] - targets) ** 2).sum(axis=2)
    chance = 1 / (1 + np.exp(1.5 + keep[:, None] * (near - near.mean())))
    source, target = np.nonzero(rng.random(chance.shape) < chance)
    spectral = _spectral(np.vstack([sources, targets]))
    names = np.array(spectral.genes)
    table = pd.DataFrame({"source": names[source], "target": names[SOURCES + target]})
    facts = (np.zeros((GENES, GENES)), np.zeros(GENES), np.zeros(GENES, dtype=np.int64))
    rows = edge_rows(spectral, table, *facts, {"SV1-3": (1, 3)}, 1, bootstraps, seed, "distance")
    return rows[rows["quantity"] == "edge_auroc"].iloc[0]


#: World of each interval by its name.
INTERVALS: dict[str, Callable[[np.random.Generator, int, int], pd.Series]] = {
    "copole_rate, genes resampled": copole_interval,
    "edge_auroc, sources resampled": edge_interval,
}


def intervals(name: str, repeats: int, bootstraps: int = 199, seed: int = 0) -> pd.DataFrame:
    """`value`, `ci_low`, `ci_high` over `repeats` worlds (rows), and whether the interval misses their mean value."""
    made = [INTERVALS[name](keyed_rng(seed, "interval", name, repeat), bootstraps, repeat) for repeat in range(repeats)]
    out = pd.DataFrame(made)[["value", "ci_low", "ci_high"]].reset_index(drop=True)
    true = out["value"].mean()
    return out.assign(misses=(true < out["ci_low"]) | (true > out["ci_high"]))

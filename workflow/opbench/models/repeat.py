"""Stage: how far a cell's embedding moves when tied values fall into bins by another seed (spec K17)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.config.model import Operators
from opbench.io.seeds import keyed_rng
from opbench.io.tables import EMBEDDING_REPEAT, write_table
from opbench.models.checkpoint import read_checkpoint
from opbench.models.device import choose_device
from opbench.models.embed import POOLS, Pool, embed_pools
from opbench.models.transformer import load_model
from opbench.panels.panel import read_panel

#: Cells of a panel that are embedded three times.
CELLS = 300


def cosines(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Cosine of each row of `a` (n, d) with the same row of `b`; NaN where either is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(1), sizes, out=np.full(len(a), np.nan), where=sizes > 0)


def compare(pool: Pool, first: NDArray, others: Mapping[str, NDArray]) -> list[dict[str, object]]:
    """Rows of one pool: `first` (n, d) against the same seed again and against another seed.

    `moved` is the share of cells whose bits differ at all.
    """
    rows = []
    for seeds, other in others.items():
        found = cosines(first, other)
        moved = float((first != other).any(1).mean())
        whole = {"cells": int(np.isfinite(found).sum()), "mean": np.nanmean(found), "lowest": np.nanmin(found)}
        rows.append({"pool": pool, "seeds": seeds, "moved": moved} | whole)
    return rows


def repeat_embedding(
    run: str,
    folder: str | Path,
    panels: Mapping[str, str],
    settings: Operators,
    output: str | Path,
    device: str = "cpu",
) -> None:
    """Embed up to `CELLS` cells of each panel with `settings.seed`, with it again, and with the next seed.

    A seed spreads a cell's tied values over bins in the `embedding` convention, and draws the genes of cells that have
    more than `settings.max_length`; the released code leaves both to an unseeded generator. Contract EMBEDDING_REPEAT.
    """
    chosen = choose_device(device)
    checkpoint = read_checkpoint(folder)
    model, n_bins = load_model(checkpoint, chosen), checkpoint.args.get("n_bins", 51)
    rows = []
    for panel, path in panels.items():
        cells = read_panel(path)
        some = np.sort(keyed_rng(settings.seed, "embedding-repeat").permutation(cells.n_obs)[:CELLS])
        given = model, checkpoint.vocab, cells.layers["log1p"][some], cells.var_names.to_list()
        first, again, other = (
            embed_pools(*given, cells.obs_names[some].to_list(), POOLS, settings.max_length, seed, n_bins)
            for seed in (settings.seed, settings.seed, settings.seed + 1)
        )
        for pool in POOLS:
            found = compare(pool, first[pool], {"same": again[pool], "other": other[pool]})
            rows += [{"run": run, "panel": panel} | row for row in found]
    write_table(pd.DataFrame(rows, columns=EMBEDDING_REPEAT.names), output, EMBEDDING_REPEAT, tsv=True)

"""Stage: the null of a campaign's mean |Spearman|, which no method can be read without (decision 13)."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from opbench.config import Config
from opbench.io.seeds import keyed_rng
from opbench.io.tables import NULLS, SPLITS, read_table, write_table
from opbench.panels.panel import read_panel_obs
from opbench.readouts.pseudotime import standard_ranks, type_ranks
from opbench.readouts.scoring import MIN_DEPTHS


def mean_null(obs: pd.DataFrame, draws: int, seed: int) -> np.ndarray:
    """Mean over donors of |Spearman| between depth and one random value per cell type, (draws,).

    The random value of a type is shared by all donors of a draw, as an order learned by a method would
    be: the mean over donors is then far wider than with independent donors. obs: tested cells with
    columns donor, label, depth. Donors with fewer than three depths do not count.
    """
    labels = sorted(obs["label"].unique())
    values = keyed_rng(seed, "mean-null").random((draws, len(labels)))
    column = {label: index for index, label in enumerate(labels)}
    per_donor = []
    for _, cells in obs.groupby("donor", observed=True):
        if cells["depth"].nunique() < MIN_DEPTHS:
            continue
        types, member = np.unique(cells["label"].map(column), return_inverse=True)
        counts, n = np.bincount(member).astype(float), len(cells)
        sums = np.bincount(member, weights=standard_ranks(rankdata(cells["depth"])))
        per_donor.append(np.abs(type_ranks(values[:, types], counts, n) @ sums) / n)
    return np.mean(per_donor, axis=0) if per_donor else np.full(draws, np.nan)


def write_nulls(config: Config, panels: dict[str, str], splits: list[str], output: str) -> None:
    """Write one row per campaign that scores pseudotime."""
    rows = []
    draws = config.endpoints.nulls
    for path in splits:
        table = read_table(path, SPLITS)
        name, panel = table["campaign"].iloc[0], table["panel"].iloc[0]
        campaign = config.campaigns[name]
        tested = set(table.loc[table["role"] == "test", "donor"])
        if not campaign.pseudotime:
            continue
        obs = read_panel_obs(panels[panel])
        obs = obs[(obs["dataset"] == campaign.test) & obs["donor"].isin(tested)]
        counted = int((obs.groupby("donor", observed=True)["depth"].nunique() >= MIN_DEPTHS).sum())
        null = mean_null(obs, draws, campaign.seed)
        rows.append(
            (config.run, panel, name, "random_value_per_cell_type", draws, counted,
             float(null.mean()), float(np.quantile(null, 0.95)))
        )  # fmt: skip
    write_table(pd.DataFrame(rows, columns=NULLS.names), output, NULLS, tsv=True)

"""The declared family of the geometry's tests, corrected when all are there (spectral-geometry section 5).

One test per headline: the model's representations, primary scope, the matched null, family-wise over layers and axes
where there are several. Secondary scopes, spaces, terms and the paper's own nulls are shown and take no part.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from opbench.config import Config
from opbench.io.tables import GEOMETRY, read_tables, write_table

#: Headline -> quantity and matched null of its rows; of several rows the smallest family-wise p stands for it,
#: Bonferroni over rows without one.
HEADLINES: dict[str, dict[str, str]] = {
    "compartments": {"analysis": "compartments", "quantity": "odds_ratio", "null": "strata", "axis": "SV1"},
    "compartment_order": {"analysis": "compartments", "quantity": "peaks_in_order", "null": "strata"},
    "copole_degree": {"analysis": "ppi", "quantity": "copole_rate", "null": "degree", "term": "combined"},
    "copole_expression": {"analysis": "ppi", "quantity": "copole_rate", "null": "strata", "term": "combined"},
    "gradient": {"analysis": "ppi", "quantity": "gradient_slope", "null": "strata"},
    "pair_model": {"analysis": "ppi_model", "quantity": "partial_r", "null": "strata"},
    "tf_target": {"analysis": "tf_target", "quantity": "delta_auroc", "null": "strata"},
    "edges": {"analysis": "edges", "quantity": "edge_auroc", "null": "targets"},
    "edge_decay": {"analysis": "edges", "quantity": "layer_trend", "null": "targets"},
    "signs": {"analysis": "signs", "quantity": "difference", "null": "tf_signs", "term": "cosine"},
    "convergence": {"analysis": "convergence", "quantity": "mean_log_distance_change", "null": "matched"},
    "markers": {"analysis": "markers", "quantity": "mean_auroc", "null": "pseudo_panel"},
    "attention": {"analysis": "attention", "quantity": "complement", "null": "strata", "term": "STRING"},
}
MODEL, PRIMARY = "model", "nonzero"


def members(table: pd.DataFrame) -> dict[str, pd.Index]:
    """Headline -> rows of the table that are its tests, without those that have no p."""
    out = {}
    for name, where in HEADLINES.items():
        # Attention exists among named genes alone.
        scope = "named_nonzero" if where["analysis"] == "attention" else PRIMARY
        kept = (table["space"] == MODEL) & (table["scope"] == scope) & table["p"].notna()
        for column, value in where.items():
            kept &= table[column] == value
        out[name] = table.index[kept]
    return out


def correct(table: pd.DataFrame) -> pd.DataFrame:
    """Fill `family`, `q` (BH), `p_bonferroni` and, by Bonferroni, absent `p_family` of the family's rows."""
    table, tested = table.copy(), {}
    for name, rows in members(table).items():
        if len(rows):
            part = table.loc[rows]
            single = np.minimum(1, part["p"] * len(rows))
            table.loc[rows, "p_family"] = part["p_family"].fillna(single)
            tested[name] = float(table.loc[rows, "p_family"].min())
            table.loc[rows, "family"] = name
    if tested:
        q = dict(zip(tested, false_discovery_control(list(tested.values())), strict=True))
        for name, p in tested.items():
            rows = table["family"] == name
            table.loc[rows, "q"], table.loc[rows, "p_bonferroni"] = q[name], min(1.0, p * len(tested))
    return table


def collect_geometry(config: Config, files: Sequence[str | Path], output: str | Path) -> None:
    """Stage: stack the rows of all analyses and correct the declared family."""
    write_table(correct(read_tables(list(files), GEOMETRY)), output, GEOMETRY, tsv=True)

"""The sister paper's headlines, each one test of the declared family (spectral-geometry sections 2 and 5).

A headline is the best block of the model under its matched null, in the primary scope; where two nulls are matched it
must pass both at one block. Other scopes, axes and terms, the input layer and the paper's own nulls are shown in the
table of rows and take no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from opbench.config import Config
from opbench.io.tables import GEOMETRY, GEOMETRY_HEADLINES, read_tables, write_table

MODEL, PRIMARY = "model", "nonzero"
REFERENCES = ("random", "coexpression")
PLACE = ["layer", "axis", "term"]
#: Stands for a quantity over all layers, whose layer is NaN, where rows are matched.
WHOLE = -9.0


@dataclass(frozen=True)
class Headline:
    """Rows that hold a headline, nulls that it must pass, and the side that it claims.

    `terms`: those of the rows; "secreted" stands for `geometry.secreted`; empty: any. `early`: only blocks of the first
    third, where the statement is about early layers.
    """

    analysis: str
    quantity: str
    nulls: tuple[str, ...]
    axis: str = ""
    terms: tuple[str, ...] | Literal["secreted"] = ()
    side: Literal["greater", "less"] = "greater"
    early: bool = False


HEADLINES: dict[str, Headline] = {
    "secreted": Headline("compartments", "odds_ratio", ("strata",), "SV1", "secreted"),
    "any_compartment": Headline("compartments", "odds_ratio", ("strata",), "SV1"),
    "compartment_order": Headline("compartments", "peaks_in_order", ("strata",), "SV1"),
    "copole": Headline("ppi", "copole_rate", ("degree", "strata"), "SV2", ("combined",)),
    "gradient": Headline("ppi", "gradient_slope", ("strata",), "SV2"),
    "pair_model": Headline("ppi_model", "partial_r", ("strata",), "SV2-7", ("combined",)),
    "tf_target": Headline("tf_target", "delta_auroc", ("strata",), "covariates+joint", ("",)),
    "early_edges": Headline("edges", "edge_auroc", ("targets",), "SV5-7", ("cosine",), early=True),
    "edge_decay": Headline("edges", "layer_trend", ("targets",), "SV5-7", side="less"),
    "signs": Headline("signs", "difference", ("tf_signs",), "SV5-7", ("cosine",)),
    "convergence": Headline("convergence", "mean_log_distance_change", ("matched",), side="less"),
    "markers": Headline("markers", "mean_auroc", ("labels", "pseudo_panel"), "sphere"),
    "attention": Headline("attention", "complement", ("strata",), "both", ("STRING",)),
}


def scope_of(one: Headline) -> str:
    """The scope that a headline is tested in; attention is kept among named genes alone."""
    return "named_nonzero" if one.analysis == "attention" else PRIMARY


def headline_table(table: pd.DataFrame, secreted: Sequence[str] = ()) -> pd.DataFrame:
    """One row per space and headline (contract `GEOMETRY_HEADLINES`) from the rows of all analyses.

    `p` and `p_opposite` are family-wise over the analysis' cells (max-T; Bonferroni where an analysis makes none), in
    the headline's direction and against it, the larger of several nulls; `value`, `layer` and the rest belong to the
    block with the smallest `p`; a two-sided p counts on the side on which the value lies of its null's mean.
    `p_random` and `p_coexpression`, of the model's rows: normal one-sided p that the reference, at its own best block,
    stands as far above the same null, both with their null's standard deviation, taken as independent; of several nulls
    the larger, times the blocks that the model could choose from for one of the reference's. The random model is one
    draw: what draws vary by is not in it. `q` (Benjamini-Hochberg), `p_bonferroni` and `q_opposite` are over the
    model's headlines that have a p.
    """
    run = table["run"].iloc[0] if len(table) else ""
    spaces = [space for space in (MODEL, *REFERENCES) if (table["space"] == space).any()]
    rows = [
        {"run": run, "space": space, "headline": name} | _headline(one, table[table["space"] == space], secreted)
        for space in spaces
        for name, one in HEADLINES.items()
    ]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame.reindex(columns=GEOMETRY_HEADLINES.names)
    return _corrected(_against_references(frame))[GEOMETRY_HEADLINES.names]


def _headline(one: Headline, table: pd.DataFrame, secreted: Sequence[str]) -> dict:
    """Number, p and place of a headline in one space, or why it has none."""
    out = {
        "analysis": one.analysis, "quantity": one.quantity, "scope": scope_of(one), "axis": one.axis, "term": "",
        "side": one.side, "null": "+".join(one.nulls), "permutations": 0, "n": 0,
    } | dict.fromkeys(
        ("layer", "value", "ci_low", "ci_high", "null_mean", "null_sd", "p", "p_opposite", "p_floor", "p_paper",
         "p_random", "p_coexpression", "q", "q_opposite", "p_bonferroni"), np.nan,
    ) | {"above": {}, "cells": 0}  # fmt: skip
    mine = table[(table["analysis"] == one.analysis) & (table["scope"].isin((scope_of(one), "")))]
    mine = mine[(mine["quantity"] == one.quantity) | (mine["status"] == "not_testable")]
    held, reason = _cells(one, mine, secreted)
    if held.empty:
        return out | {"status": "not_testable", "reason": reason}
    held = held.assign(layer=held["layer"].fillna(WHOLE))
    nulls = [_directed(held[held["null"] == null], one.side).set_index(PLACE) for null in one.nulls]
    shared = nulls[0].index[np.all([nulls[0].index.isin(rows.index[rows["p"].notna()]) for rows in nulls], axis=0)]
    if shared.empty:
        return out | {"status": "not_testable", "reason": f"No block has a p of both {' and '.join(one.nulls)}."}
    nulls = [rows.loc[shared] for rows in nulls]
    worst = nulls[0]
    for other in nulls[1:]:
        harder = (other["p"] > worst["p"]) | ((other["p"] == worst["p"]) & (other["z"] < worst["z"]))
        opposite = np.fmax(worst["p_opposite"], other["p_opposite"])
        worst = worst.where(~harder, other).assign(p_opposite=opposite)
    place = worst.sort_values(["p", "z"], ascending=[True, False], kind="stable").index[0]
    best = worst.loc[place]
    kept = ("value", "ci_low", "ci_high", "null_mean", "null_sd", "p", "p_floor", "permutations", "n")
    out |= dict(zip(PLACE, place, strict=True)) | {name: best[name] for name in kept}
    out["cells"] = len(shared)
    out["above"] = {
        null: tuple(rows.loc[place, ["excess", "null_sd"]]) for null, rows in zip(one.nulls, nulls, strict=True)
    }
    at = (mine["layer"].fillna(WHOLE) == place[0]) & (mine["axis"] == place[1]) & (mine["term"] == place[2])
    paper = mine.loc[at & (mine["null"] == "paper") & (mine["quantity"] == one.quantity), "p"]
    out |= {"p_paper": paper.iloc[0] if len(paper) else np.nan, "layer": place[0] if place[0] != WHOLE else np.nan}
    return out | {"p_opposite": worst["p_opposite"].min(), "status": "ok", "reason": ""}


def _cells(one: Headline, mine: pd.DataFrame, secreted: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Rows of a headline's cells that have a p, of the blocks that it speaks of; else why there are none."""
    rows = mine[(mine["status"] == "ok") & mine["null"].isin(one.nulls) & mine["p"].notna()]
    rows = rows[(rows["axis"] == one.axis)] if one.axis else rows
    named = secreted if one.terms == "secreted" else one.terms
    if named and len(rows):
        rows = rows[rows["term"].isin(list(named))]
        if rows.empty and one.terms == "secreted":
            return rows, "No term of geometry.secreted is in the localisation table with enough genes in this scope."
    blocks = rows["layer"].isna() | (rows["layer"] >= 0)
    if one.early and blocks.any():
        blocks &= rows["layer"] < max((mine["layer"].max() + 1) / 3, 1)
    rows = rows[blocks]
    if set(one.nulls) <= set(rows["null"]):
        return rows, ""
    reasons = [reason for reason in mine["reason"] if reason]
    return rows[:0], reasons[0] if reasons else f"This run has no row of analysis '{one.analysis}'."


def _directed(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    """The rows with `p`, `p_opposite` and `z` in the direction of `side`, family-wise."""
    p = rows["p_family"].fillna((rows["p"] * len(rows)).clip(upper=1))
    excess = (rows["value"] - rows["null_mean"]) * (1 if side == "greater" else -1)
    two = rows["side"] == "two-sided"
    toward = p.where(~two | (excess > 0), 1.0)
    against = rows["p_opposite"].where(~two, p.where(excess < 0, 1.0))
    sd = rows["null_sd"].where(rows["null_sd"] > 0)
    return rows.assign(p=toward, p_opposite=against, excess=excess, z=(excess / sd).fillna(0.0))


def _against_references(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill `p_random` and `p_coexpression` of the model's rows."""
    frame = frame.copy()
    by = frame.set_index(["space", "headline"])
    for place, row in frame[(frame["space"] == MODEL) & frame["p"].notna()].iterrows():
        for space in REFERENCES:
            if (space, row["headline"]) not in by.index or not by.loc[(space, row["headline"]), "above"]:
                continue
            other = by.loc[(space, row["headline"])]
            pairs = [(row["above"][null], other["above"][null]) for null in row["above"]]
            p = [norm.sf((mine[0] - theirs[0]) / np.hypot(mine[1], theirs[1])) for mine, theirs in pairs
                 if np.hypot(mine[1], theirs[1]) > 0]  # fmt: skip
            # The best of more blocks is further above its null by choice alone.
            choice = max(1.0, row["cells"] / other["cells"])
            frame.loc[place, f"p_{space}"] = min(1.0, choice * max(p)) if len(p) == len(pairs) else np.nan
    return frame


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill `q` and `p_bonferroni` of the model's headlines."""
    tested = frame.index[(frame["space"] == MODEL) & frame["p"].notna()]
    if len(tested):
        p = frame.loc[tested, "p"].astype(float)
        frame.loc[tested, "q"] = false_discovery_control(p)
        frame.loc[tested, "p_bonferroni"] = (p * len(tested)).clip(upper=1)
    opposed = tested[frame.loc[tested, "p_opposite"].notna()]
    if len(opposed):
        frame.loc[opposed, "q_opposite"] = false_discovery_control(frame.loc[opposed, "p_opposite"].astype(float))
    return frame


def collect_geometry(config: Config, files: Sequence[str | Path], output: str | Path, headlines: str | Path) -> None:
    """Stage: stack the rows of all analyses, and test each headline."""
    table = read_tables(list(files), GEOMETRY)
    write_table(table, output, GEOMETRY, tsv=True)
    write_table(headline_table(table, config.geometry.secreted), headlines, GEOMETRY_HEADLINES, tsv=True)

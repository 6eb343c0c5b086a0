"""Donor means of every method on every endpoint, coloured between chance and oracle."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from opbench.figures.style import (
    DOUBLE,
    INK,
    MM,
    REAL,
    SUPERVISED,
    Label,
    endpoint_name,
    endpoint_order,
    is_null,
    method_name,
    method_order,
    number,
)
from opbench.figures.values import campaign_tables, why_not

CELL_H, CELL_W = 6.6, 11.0  # mm, the most a cell is given
LEFT, PROTOCOL, HEAD, FOOT, RIGHT = 40.0, 19.0, 37.0, 20.5, 17.0  # mm
ANGLE = 60  # degrees, of the column names
#: The light part of a sequential map, so that dark numbers stay readable in every cell.
COLOURS = LinearSegmentedColormap.from_list("light_blues", colormaps["Blues"](np.linspace(0.04, 0.62, 64)))
#: Chance here is far below what an arbitrary order of cell types gives, so that a shade from it would flatter.
UNSHADED = ("pseudotime_spearman_abs",)
GAP = 0.35  # of a cell, before the supervised endpoints
SHORT = {"failed": "fail", "not applicable": "n/a", "not_applicable": "n/a", "out of memory": "oom",
         "no value": "none"}  # fmt: skip


def _source(summary: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Means with intervals, the position between chance and oracle, and why a cell is empty."""
    rows = summary.reset_index()
    rows = rows[~rows["endpoint"].map(is_null)].copy()
    mean = rows.set_index(["endpoint", "method"])["mean"]
    chance, oracle = (mean[mean.index.get_level_values(1) == m].droplevel(1) for m in ("chance", "oracle"))
    low, high = rows["endpoint"].map(chance), rows["endpoint"].map(oracle)
    # A bracket that is not wider than nothing scales nothing: the cell keeps its number and stays white.
    width = (high - low).where(high > low)
    rows["scaled"] = ((rows["mean"] - low) / width).clip(0, 1).mask(rows["endpoint"].isin(UNSHADED))
    reasons = values.groupby(["endpoint", "method"])["status"].agg(why_not)
    keys = pd.MultiIndex.from_frame(rows[["endpoint", "method"]])
    rows["status"] = reasons.reindex(keys).to_numpy()
    rows.loc[rows["mean"].notna(), "status"] = "ok"
    return rows[["endpoint", "method", "protocol", "leaking", "verdict", "n_donors", "mean", "ci_low", "ci_high",
                 "scaled", "status"]]  # fmt: skip


def _cell(ax: Axes, x: float, y: int, row: pd.Series, most: int) -> None:
    """One cell: mean over half the interval's width, or hatching with the reason."""
    if row["mean"] != row["mean"]:
        ax.add_patch(Rectangle((x, y), 1, 1, facecolor="#F2F2F2", edgecolor="#B0B0B0", hatch="////", lw=0))
        ax.text(x + 0.5, y + 0.5, SHORT.get(row["status"], row["status"]), ha="center", va="center",
                bbox={"facecolor": "#F2F2F2", "lw": 0, "pad": 0.8})  # fmt: skip
        return
    scaled = row["scaled"]
    face = "white" if scaled != scaled else COLOURS(scaled)
    ax.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", lw=0.8))
    if row["n_donors"] < most:
        corner = [(x + 0.76, y + 0.04), (x + 0.96, y + 0.04), (x + 0.96, y + 0.24)]
        ax.add_patch(Polygon(corner, facecolor=INK, lw=0))
    half = (row["ci_high"] - row["ci_low"]) / 2
    ax.text(x + 0.5, y + 0.29, number(row["mean"]).replace("−0.", "−."), ha="center", va="center")
    if half == half:
        ax.text(x + 0.5, y + 0.72, f"±{number(half).lstrip('0')}", ha="center", va="center")


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Methods × endpoints of campaign `scope`: unweighted donor means (SUMMARY; SCORES for why there is none)."""
    summary, values = campaign_tables(tables, scope, "method_endpoint_heatmap")
    source = _source(summary, values)
    methods = method_order(list(source["method"]))
    scored = source.groupby("endpoint")["n_donors"].max()
    endpoints = endpoint_order(list(scored.index[scored > 0]))
    empty = endpoint_order(list(scored.index[scored == 0]))
    position, x = {}, 0.0
    for index, endpoint in enumerate(endpoints):
        x += GAP if endpoint in SUPERVISED and index else 0
        position[endpoint], x = x, x + 1
    room = DOUBLE / MM - LEFT - PROTOCOL - RIGHT
    cell_w = min(CELL_W, room / max(x, 1))
    foot = FOOT + (3.6 * (_unscored(empty).count("\n") + 1) if empty else 0)
    total = HEAD + CELL_H * len(methods) + foot
    figure = Figure(figsize=(DOUBLE, total * MM))
    width, height = cell_w * max(x, 1) * MM / DOUBLE, CELL_H * len(methods) / total
    ax = figure.add_axes(((LEFT + PROTOCOL) * MM / DOUBLE, foot / total, width, height))
    ax.set(xlim=(0, max(x, 1)), ylim=(len(methods), 0))
    ax.axis("off")
    by_cell = source.set_index(["endpoint", "method"])
    for endpoint in endpoints:
        left, most = position[endpoint], int(scored[endpoint])
        star = "" if by_cell.loc[endpoint, "verdict"].any() else " *"
        name = endpoint_name(endpoint).replace("balanced accuracy", "bal. acc.")
        ax.text(left + 0.5, -0.75, name + star, rotation=ANGLE, ha="left", va="bottom", rotation_mode="anchor")
        ax.text(left + 0.5, -0.35, f"{most}", ha="center", va="center", color="#666666")
        for y, method in enumerate(methods):
            if (endpoint, method) in by_cell.index:
                _cell(ax, left, y, by_cell.loc[endpoint, method], most)
    _row_names(ax, source, methods, cell_w)
    _legend(figure, total, foot, empty, bool(source["scaled"].notna().any()))
    return figure, source.sort_values(["endpoint", "method"]).reset_index(drop=True)


def _unscored(empty: list[str]) -> str:
    """Endpoints without a column, named."""
    return textwrap.fill("Not scored by any method: " + "; ".join(endpoint_name(e) for e in empty) + ".", 115)


def _row_names(ax: Axes, source: pd.DataFrame, methods: list[str], cell_w: float) -> None:
    facts = source.groupby("method")[["protocol", "leaking"]].first()
    edge = -(PROTOCOL + 1.0) / cell_w
    ax.text(-1.0 / cell_w, -0.35, "n donors", ha="right", va="center", color="#666666")
    for y, method in enumerate(methods):
        weight = "bold" if Label.parse(method).name == REAL else "normal"
        name = method_name(method)
        ax.text(edge, y + 0.5, name, ha="right", va="center", fontweight=weight)
        ax.text(-1.0 / cell_w, y + 0.5, facts.at[method, "protocol"], ha="right", va="center", color="#666666")


def _legend(figure: Figure, total: float, foot: float, empty: list[str], scaled: bool) -> None:
    width = DOUBLE / MM
    if scaled:
        bar = figure.add_axes((6 / width, (foot - 7) / total, 30 / width, 2.6 / total))
        mappable = ScalarMappable(Normalize(0, 1), COLOURS)
        figure.colorbar(mappable, cax=bar, orientation="horizontal", ticks=[0, 1])
        bar.set_xticks([0, 1], labels=["chance", "oracle"])
        bar.tick_params(length=0)
    shade = " Shade: chance to oracle of the column." if scaled else " No shade: chance or oracle was not run."
    text = (
        f"Mean over donors, ± half the width of its bootstrap interval.{shade}\n"
        "* descriptive, carries no verdict.   Dark corner: fewer donors than the column's n.\n"
        "Hatched: no value (n/a: not applicable; fail: failed; oom: out of memory).\n"
        "Pseudotime, |Spearman| stays white: it is to be read beside the figure of its null."
    )
    figure.text((LEFT + 6) / width, (foot - 3.5) / total, text, va="top", linespacing=1.5)
    if empty:
        figure.text(2 / width, 1 / total, _unscored(empty), va="bottom", linespacing=1.4)

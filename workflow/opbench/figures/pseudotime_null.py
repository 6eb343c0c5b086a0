"""Is |Spearman| of pseudotime and depth above what cell-type order alone gives?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.style import (
    DOUBLE,
    INK,
    MM,
    OKABE_ITO,
    REAL,
    REFERENCES,
    Label,
    method_name,
    method_order,
)
from opbench.figures.values import campaign_tables, why_not

SCORE = "pseudotime_spearman_abs"
NULLS = [
    f"pseudotime_null_{kind}" for kind in ("permuted_mean", "permuted_q95", "random_mean", "random_q95", "cells_q95")
]
_PERMUTED, _RANDOM, _CELLS = "#C9C9C9", "#E6C99A", OKABE_ITO["vermillion"]


def _rows(ax: Axes, table: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> None:
    """Per method: two null bands from mean to 95 % point, the cell-level point, donors, mean and interval."""
    offset = canvas.spread(sorted(table["donor"].unique()))
    for y, method in enumerate(methods):
        mine = table[(table["method"] == method) & table["value"].notna()]
        if mine.empty:
            canvas.no_value(ax, y, why_not(table.loc[table["method"] == method, "status"]))
            continue
        null = mine[NULLS].mean()
        for kind, colour, top in (("permuted", _PERMUTED, -0.4), ("random", _RANDOM, 0.0)):
            low, high = null[f"pseudotime_null_{kind}_mean"], null[f"pseudotime_null_{kind}_q95"]
            if high == high:
                ax.fill_betweenx([y + top, y + top + 0.4], low, high, color=colour, lw=0, zorder=1)
        cells = null["pseudotime_null_cells_q95"]
        if cells == cells:
            ax.plot([cells, cells], [y - 0.4, y + 0.4], color=_CELLS, lw=1.2, zorder=2)
        above = mine["above_permuted_q95"].to_numpy()
        canvas.donor_dots(ax, mine["value"], [y + offset[d] for d in mine["donor"]], method, False, above)
        row = means.loc[method]
        canvas.mean_bar(ax, row["mean"], row["ci_low"], row["ci_high"], y)
        known = int(mine["pseudotime_null_permuted_q95"].notna().sum())
        ax.text(
            1.02,
            y,
            f"{int(above.sum())} / {known}" if known else "no null",
            transform=ax.get_yaxis_transform(),
            va="center",
        )


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """|Spearman| per donor and method of campaign `scope` against three nulls (SCORES, SUMMARY; NULLS if given)."""
    summary, values = campaign_tables(tables, scope, "pseudotime_null")
    table = values[values["endpoint"] == SCORE].drop(columns="endpoint")
    nulls = values[values["endpoint"].isin(NULLS)].pivot(index=["method", "donor"], columns="endpoint", values="value")
    table = table.merge(nulls.reindex(columns=NULLS).reset_index(), on=["method", "donor"], how="left")
    # Oracle and chance bracket the other endpoints; where they have a pseudotime they are shown last.
    methods = method_order(list(table.loc[table["value"].notna(), "method"]))
    silent = [
        m for m in method_order(list(table["method"])) if m not in methods and Label.parse(m).name not in REFERENCES
    ]
    methods = method_order(methods + silent)
    if not table["value"].notna().any():
        return canvas.note_figure(f"No method of campaign {scope} has a pseudotime."), table
    table["above_permuted_q95"] = table["value"] > table["pseudotime_null_permuted_q95"]
    means = summary.loc[SCORE]
    foot, height = 19, len(methods) * 6.0 + 14
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)))
    ax = figure.subplots()
    leaking = table.groupby("method")["leaking"].any()
    names = [method_name(m, bool(leaking[m])) for m in methods]
    canvas.method_axis(ax, names, [Label.parse(m).name == REAL for m in methods], labelled=True)
    _rows(ax, table, means, methods)
    n = table.loc[table["value"].notna(), "donor"].nunique()
    ax.set_xlim(0, 1.03)
    ax.set_xlabel("|Spearman| of pseudotime and depth, by donor")
    ax.set_title(f"n = {n} donor{'s' * (n != 1)}")
    ax.text(1.02, -0.62, "donors\nabove", transform=ax.get_yaxis_transform(), va="bottom")
    mean_null = _mean_null(ax, tables, scope)
    _legend(figure, mean_null == mean_null)
    extra = means[["mean", "ci_low", "ci_high"]].reset_index()
    table = table.merge(extra, on="method", how="left").assign(null_of_mean_q95=mean_null)
    return figure, table[table["method"].isin(methods)].reset_index(drop=True)


def _mean_null(ax: Axes, tables: dict[str, pd.DataFrame], scope: str) -> float:
    """Draw the 95 % point of the null of the mean over donors; NaN where the run has none."""
    nulls = tables.get("nulls")
    mine = nulls[nulls["campaign"] == scope] if nulls is not None else None
    if mine is None or mine.empty:
        return float("nan")
    ax.axvline(mine["q95"].iloc[0], color=INK, lw=0.9, ls="--", zorder=2)
    return float(mine["q95"].iloc[0])


def _legend(figure: Figure, with_mean: bool) -> None:
    handles = [
        canvas.key("o", "donor above the 95 % point of its own permuted null", size=3),
        canvas.key("o", "donor not above it", fill=False, size=3),
        canvas.key("D", "mean over donors, bootstrap interval"),
        Patch(facecolor=_PERMUTED, label="null: depths permuted among cell types, mean to 95 % point"),
        Patch(facecolor=_RANDOM, label="null: one random value per cell type, mean to 95 % point"),
        Line2D([], [], color=_CELLS, lw=1.2, label="null: single cells permuted, 95 % point (too weak)"),
    ]
    if with_mean:
        handles.append(
            Line2D([], [], color=INK, lw=0.9, ls="--", label="95 % point of the null of the mean over donors")
        )
    canvas.bottom_legend(figure, handles, 2)

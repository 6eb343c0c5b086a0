"""What is lost when the operator is cut down: endpoints over bytes on disk, beside the chain of the controls."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from opbench.figures import canvas
from opbench.figures.arms import BANDS, LOOKS, OTHER, arm_name, arms_in, repeats
from opbench.figures.chain import chain_rows
from opbench.figures.chain_marks import line_keys
from opbench.figures.style import DOUBLE, GREY, MM, OKABE_ITO, endpoint_name, endpoint_order, number

#: Endpoints that fit on a page; the source table holds all.
MOST = 8
LEVEL = 0.05
#: Variant that is no step of the chain of ranks, so that no line leads to it.
APART = "sparse"
MARGIN = OKABE_ITO["yellow"]
LEAST = 0.05  # range of a panel
WIDE = 1.18  # half a margin's patch, as a factor of bytes
ROW = 52  # mm per row of panels
_KEYS = ["arm", "variant", "endpoint"]


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, variant and endpoint: means over draws (or seeds), and their extremes.

    `lost` and `within` are the shares of them with a significant loss, or non-inferior. The interval is of the paired
    difference to the reference, drawn at the value.
    """
    at = rows["value"] - rows["effect"]
    rows = rows.assign(
        lost=rows["outcome"].str.startswith("loss").astype(float), reference_value=at, floor=at - rows["margin"],
        within=rows["outcome"].eq("non_inferior").astype(float), at_low=at + rows["ci_low"],
        at_high=at + rows["ci_high"],
    )  # fmt: skip
    return rows.groupby(_KEYS, sort=True).agg(
        bytes=("bytes", "mean"), value=("value", "mean"), draw_low=("value", "min"), draw_high=("value", "max"),
        ci_low=("at_low", "mean"), ci_high=("at_high", "mean"), reference=("reference", "first"),
        reference_value=("reference_value", "mean"), floor=("floor", "mean"), lost=("lost", "mean"),
        within=("within", "mean"),
        n_donors=("n", "max"), n_draws=("draw", "nunique"),
    ).reset_index()  # fmt: skip


def _losses(rows: pd.DataFrame) -> pd.DataFrame:
    """Significant losses by arm and variant: mean, least and most over draws, of how many endpoints."""
    one = rows[rows["losses"].notna()].groupby(["arm", "variant", "draw"])[["losses", "endpoints"]].first()
    return one.groupby(["arm", "variant"]).agg(mean=("losses", "mean"), least=("losses", "min"), most=("losses", "max"),
                                               endpoints=("endpoints", "max"))  # fmt: skip


def _size(value: float, _: int = 0) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def _control(ax: Axes, table: pd.DataFrame, arm: str, layer: float) -> None:
    """One control: a band over its draws, or a line; what is no step of the chain of ranks stands apart."""
    colour, marker, line = LOOKS.get(arm, OTHER)
    chain, apart = table[table["variant"] != APART], table[table["variant"] == APART]
    if arm in BANDS:
        ax.fill_between(chain["bytes"], chain["draw_low"], chain["draw_high"], color=colour, alpha=0.35, lw=0, zorder=1)
        ax.plot(chain["bytes"], chain["value"], color=colour, lw=0.8, ls=line, zorder=2)
        ax.vlines(apart["bytes"], apart["draw_low"], apart["draw_high"], color=colour, lw=3, alpha=0.5, zorder=1)
        return
    style = {"color": colour, "marker": marker, "ms": 3.0, "mec": "white", "mew": 0.3, "lw": 0.7, "zorder": layer}
    ax.plot(chain["bytes"], chain["value"], ls=line, **style)
    ax.plot(apart["bytes"], apart["value"], ls="", **style)


def _real(ax: Axes, table: pd.DataFrame) -> None:
    """The real operator with its intervals and margins; a loss in half of its seeds shows, non-inferiority in all."""
    colour = LOOKS["real"][0]
    for _, row in table[table["floor"].notna()].iterrows():
        x = [row["bytes"] / WIDE, row["bytes"] * WIDE]
        ax.fill_between(x, row["floor"], row["reference_value"], color=MARGIN, alpha=0.8, lw=0, zorder=4)
    chain = table[table["variant"] != APART]
    ax.plot(chain["bytes"], chain["value"], color=colour, lw=1.1, zorder=9)
    ax.vlines(table["bytes"], table["ci_low"], table["ci_high"], color=colour, lw=1.0, zorder=9)
    for _, row in table.iterrows():
        lost, whole = row["lost"] >= 0.5, row["within"] == 1 or row["floor"] != row["floor"]
        look = {"marker": "v", "ms": 4.6} if lost else {"marker": "o", "ms": 3.6}
        face = colour if whole and not lost else "white"
        ax.plot([row["bytes"]], [row["value"]], ls="", zorder=11, mfc=face, mec=colour, mew=0.9, **look)


def _panel(ax: Axes, table: pd.DataFrame, arms: list[str]) -> None:
    for layer, arm in enumerate(reversed(arms)):
        mine = table[table["arm"] == arm].sort_values("bytes")
        if arm == "real":
            _real(ax, mine)
        else:
            _control(ax, mine, arm, 3 + layer / 10)
    # No axis that magnifies what is small, with long labels to say so.
    low, high = ax.get_ylim()
    rest = max(LEAST - (high - low), 0) / 2
    ax.set_ylim(low - rest, high + rest)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator([10.0**k for k in range(3, 12, 2)]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(_size))


def _board(ax: Axes, losses: pd.DataFrame, rows: pd.DataFrame, arms: list[str], variants: list[str]) -> None:
    """Losses of every arm by variant, in figures."""
    names = [f"{arm_name(arm)} ({repeats(rows[rows['arm'] == arm])})" for arm in arms]
    canvas.method_axis(ax, names, [arm == "real" for arm in arms], labelled=True)
    ax.set_xlim(-0.5, len(variants) - 0.5)
    sizes = rows[rows["arm"] == arms[0]].groupby("variant")["bytes"].mean()
    ax.set_xticks(range(len(variants)), [f"{name}\n{_size(sizes.get(name, np.nan))}" for name in variants])
    ax.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    for y, arm in enumerate(arms):
        for x, variant in enumerate(variants):
            text = "–"
            if (arm, variant) in losses.index:
                row = losses.loc[arm, variant]
                text = number(row["mean"], 0 if row["mean"].is_integer() else 1)
                text += f" ({row['least']:.0f}–{row['most']:.0f})" if row["most"] > row["least"] else ""
            ax.text(x, y, text, ha="center", va="center", fontweight="bold" if arm == "real" else "normal")


def _handles(rows: pd.DataFrame, arms: list[str]) -> list:
    colour = LOOKS["real"][0]
    return [
        *line_keys(rows, arms, "mean, least to most"),
        canvas.key("v", "real operator, significant loss", fill=False, colour=colour, size=4.6),
        canvas.key("o", "real operator, not shown non-inferior (filled: shown)", fill=False, colour=colour),
        Line2D([], [], color=colour, lw=0.9, marker="|", ls="", label="interval of the paired difference"),
        Patch(facecolor=MARGIN, alpha=0.8, edgecolor=GREY,
              label="from the reference down to the non-inferiority margin"),
    ]  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Compaction chain of panel `scope` (COMPACTION): losses by variant and arm, then a panel per endpoint."""
    rows, why = chain_rows(tables["compaction"], scope, "Compaction")
    if why:
        return canvas.note_figure(why), rows
    source, losses, arms = _means(rows), _losses(rows), arms_in(rows)
    first = rows[rows["arm"] == arms[0]]
    variants = list(first.groupby("variant")["bytes"].mean().sort_values(ascending=False, kind="stable").index)
    endpoints = endpoint_order(list(source["endpoint"]))[:MOST]
    handles = _handles(rows, arms)
    columns, foot, board = min(4, len(endpoints)), 7 + 3.6 * -(-len(handles) // 2), len(arms) * 4 + 17
    lines = -(-len(endpoints) // columns)
    height = board + 4 + lines * ROW + foot
    figure = Figure(figsize=(DOUBLE, height * MM))
    outer = figure.add_axes((0.27, 1 - (board - 2) / height, 0.72, (board - 17) / height))
    _board(outer, losses, rows, arms, variants)
    of = f"of {losses['endpoints'].max():.0f} " if len(losses) else ""
    title = f"{scope}: how many {of}endpoints are significantly lost (q < {LEVEL}) against the variant's reference"
    outer.set_title(f"{title}, mean (least–most)", x=-0.36)
    picked = first.loc[first["selection"] != "", "selection"]
    if len(picked):
        figure.text(2 / (DOUBLE / MM), 1 - (board + 2.5) / height, f"top1: {picked.iloc[0]}", va="center")
    low, high = source["bytes"].min(), source["bytes"].max()
    for index, endpoint in enumerate(endpoints):
        line, column = divmod(index, columns)
        left, wide = 0.055 + column * 0.94 / columns, 0.94 / columns - 0.055
        ax = figure.add_axes((left, (foot + 9 + (lines - 1 - line) * ROW) / height, wide, (ROW - 21.5) / height))
        mine = source[source["endpoint"] == endpoint]
        _panel(ax, mine, arms)
        ax.set_xlim(low / 1.5, high * 1.5)
        name, _, what = endpoint_name(endpoint).partition(", ")
        ax.set_title("\n".join(filter(None, (name, what, f"n = {int(mine['n_donors'].max())} donors"))))
        if line == lines - 1:
            ax.set_xlabel("bytes on disk")
    canvas.bottom_legend(figure, handles, 2)
    return figure, source

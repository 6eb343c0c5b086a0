"""Correlations between the axes of the latent: the real head, one random draw, and their mean size for every arm."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.arms import arm_name, arms_in, is_random
from opbench.figures.chain import chain_rows, head_rows, left_out, p_text, part_name, part_order
from opbench.figures.chain_marks import arm_labels, strip, strip_keys
from opbench.figures.style import DOUBLE, MM, number

FINDING = "axis_correlation"
#: Colour-blind safe, and white at no correlation.
CMAP = "PuOr_r"
SIDE = 44  # mm of a heatmap


def _matrix(rows: pd.DataFrame) -> np.ndarray:
    """Symmetric matrix of r with ones on its diagonal, from rows of pairs (either triangle, or both)."""
    size = int(max(rows["i"].max(), rows["j"].max())) + 1
    matrix = np.full((size, size), np.nan)
    matrix[rows["i"], rows["j"]] = rows["value"]
    matrix[rows["j"], rows["i"]] = rows["value"]
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _heatmap(ax: Axes, rows: pd.DataFrame, title: str) -> None:
    matrix = _matrix(rows)
    ax.imshow(matrix, cmap=CMAP, vmin=-1, vmax=1, interpolation="nearest")
    ticks = range(0, len(matrix), 1 if len(matrix) <= 10 else 5)
    ax.set_xticks(ticks, [str(tick + 1) for tick in ticks])
    ax.set_yticks(ticks, [str(tick + 1) for tick in ticks])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    off = np.abs(matrix[~np.eye(len(matrix), dtype=bool)])
    ax.set_title(f"{title}\nmean |r| off the diagonal {number(np.nanmean(off))}")


def _first(rows: pd.DataFrame, arm: str) -> tuple[pd.DataFrame, str]:
    """Rows of the first draw, or seed, of one arm; with its name."""
    mine = rows[rows["arm"] == arm]
    mine = mine[mine["draw"] == mine["draw"].min()]
    kind = "draw" if is_random(arm) else "seed"
    return mine, f"{arm_name(arm)}, {kind} {int(mine['draw'].iloc[0])}"


def _size(means: pd.DataFrame, parts: list[str], axes: list[Axes]) -> None:
    """Strips of the mean |r| by arm, one panel a part."""
    arms = arms_in(means)
    for index, (ax, part) in enumerate(zip(axes, parts, strict=True)):
        mine = means[means["part"] == part]
        canvas.method_axis(ax, arm_labels(means, arms), [arm == "real" for arm in arms], labelled=index == 0)
        for y, arm in enumerate(arms):
            if (chosen := mine[mine["arm"] == arm]).empty:
                canvas.no_value(ax, y, "no value")
                continue
            strip(ax, chosen, y, arm)
        n = f"n = {int(mine['n'].max())} anchors" if len(mine) else "no value"
        text = p_text(mine[mine["arm"] == "real"])
        ax.set_title(f"{part_name(part)}, {n}" + (f"\nreal: {text}" if text else ""))
        ax.set_xlabel("mean |r| off the diagonal")


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Axis correlations of panel `scope` (LATENT_FINDINGS): heatmaps of the first part, strips of all parts below.

    The axes of a head have no order of their own, so that cells of two heatmaps do not correspond.
    """
    table = tables["latent_findings"]
    rows, why = chain_rows(table[table["finding"] == FINDING], scope, "Axis correlations")
    if why:
        return canvas.note_figure(why), rows
    rows, head = head_rows(rows)
    note = left_out(table[table["finding"] == FINDING], rows)
    pairs = rows[(rows["quantity"] == "r") & (rows["i"] != rows["j"])]
    means = rows[rows["quantity"] == "mean_abs_r"]
    parts, shown = part_order(list(rows["part"])), []
    if len(pairs):
        pairs = pairs[pairs["part"] == part_order(list(pairs["part"]))[0]]
        arms = arms_in(pairs)
        shown = [arm for arm in arms if arm == "real"] + [arm for arm in arms if arm != "real"][:1]
    top = SIDE + 20 if shown else 4
    below = len(arms_in(means)) * 3.6 + 20 if len(means) else 0
    foot, width = 15, DOUBLE / MM
    height = top + below + foot
    figure = Figure(figsize=(DOUBLE, height * MM))
    for index, arm in enumerate(shown):
        mine, title = _first(pairs, arm)
        ax = figure.add_axes(((12 + 72 * index) / width, 1 - (17 + SIDE) / height, SIDE / width, SIDE / height))
        _heatmap(ax, mine, title)
    if shown:
        bar = figure.add_axes(((12 + 72 * len(shown)) / width, 1 - (17 + SIDE) / height, 3 / width, SIDE / height))
        figure.colorbar(ScalarMappable(Normalize(-1, 1), colormaps[CMAP]), cax=bar, label="Pearson r of two axes")
    if len(means):
        left, gap = 52, 5
        each = (width - left - 4 - gap * (len(parts) - 1)) / len(parts)
        axes = [
            figure.add_axes(
                ((left + (each + gap) * k) / width, (foot + 9) / height, each / width, (below - 20) / height)
            )
            for k in range(len(parts))
        ]
        _size(means, parts, axes)
        canvas.bottom_legend(figure, strip_keys("null, from its mean to its 95 % point"), 3)
    part = part_name(str(pairs["part"].iloc[0])).lower() if shown else ""
    what = f"; heatmaps: {part} part, {int(pairs['n'].max())} anchors" if shown else ""
    title = f"{scope}: latent axes, {head}{what}; p is the median over seeds{note}"
    figure.text(2 / width, 1 - 1.5 / height, title, va="top", size=8)
    return figure, rows.reset_index(drop=True)

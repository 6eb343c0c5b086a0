"""Marks that figures of the discovery chain share: strips of draws beside a null, and the legends of arms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import BANDS, FIXED, LOOKS, OTHER, RANDOM, REAL, arm_colour, arm_name, repeats
from opbench.figures.style import GREY, INK, PALE


def arm_labels(rows: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """Printed names of `arms` with their repeats in these rows."""
    return [f"{arm_name(arm)} ({repeats(rows[rows['arm'] == arm])})" for arm in arms]


def strip(ax: Axes, rows: pd.DataFrame, y: float, arm: str, marker: str = "o", height: float = 0.46) -> None:
    """One dot per draw or seed around `y`, the mean of several, and the arm's null from its mean to its 95 % point.

    rows: one arm's values of one quantity, with `null_mean` and `null_q95` (averaged over the rows).
    """
    values = rows.sort_values(["draw", "seed"])["value"].to_numpy()
    if "null_q95" in rows.columns and rows["null_q95"].notna().any():
        low, high = rows["null_mean"].mean(), rows["null_q95"].mean()
        low = high if low != low else low
        ax.fill_betweenx([y - height * 0.85, y + height * 0.85], low, high, color=PALE, lw=0, zorder=1)
        ax.plot([high] * 2, [y - height * 0.85, y + height * 0.85], color=GREY, lw=0.8, zorder=2)
    offsets = np.linspace(-height / 2, height / 2, len(values)) if len(values) > 1 else np.zeros(1)
    colour = arm_colour(arm)
    ax.scatter(values, y + offsets, s=8, marker=marker, color=colour, lw=0, alpha=0.85, zorder=3)
    if len(values) > 1:
        ax.plot([values.mean()] * 2, [y - height * 0.75, y + height * 0.75], color=INK, lw=1.1, zorder=4)


def strip_keys(null: str) -> list[Line2D | Patch]:
    """Legend of `strip`; `null` names what the band is."""
    return [
        canvas.key("o", "real operator, one seed of the head", colour=REAL, size=3),
        canvas.key("o", "control, one draw of its matrix", colour=RANDOM, size=3),
        canvas.key("o", "control with one matrix, one seed", colour=FIXED, size=3),
        Line2D([], [], color=INK, lw=1.1, marker="|", ls="", label="mean of an operator"),
        Patch(facecolor=PALE, edgecolor=GREY, label=null),
    ]


def line_keys(rows: pd.DataFrame, arms: Sequence[str], band: str) -> list:
    """Legend where arms share an axis: bands of random arms, lines of the others."""
    handles: list = []
    for arm in arms:
        colour, marker, line = LOOKS.get(arm, OTHER)
        name = f"{arm_name(arm)}, {repeats(rows[rows['arm'] == arm])}"
        if arm in BANDS:
            handles.append(Patch(facecolor=colour, alpha=0.5, label=f"{name}: {band}"))
        else:
            handles.append(Line2D([], [], color=colour, marker=marker, ms=3.2, ls=line, label=name))
    return handles

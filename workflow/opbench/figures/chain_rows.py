"""What figures of the chain share: rows with a value, arms with their draws, strips of draws beside a null."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import FIXED, RANDOM, REAL, arm_name, arm_order
from opbench.figures.chain import (
    arm_colour,
    head_name,
    is_random,
    missing,
    part_name,
    part_order,
    preferred_head,
    scored,
)
from opbench.figures.style import GREY, INK, OKABE_ITO, PALE

#: Arm -> colour, marker and line, where arms share an axis; others are black crosses.
LOOKS = {
    "real": (REAL, "o", "-"),
    "gaussian_halves": (GREY, "", "-"),
    "gaussian_blocks": (GREY, "", "-"),
    "shuffle": (OKABE_ITO["orange"], "", "-"),
    "row_permuted": (OKABE_ITO["purple"], "v", ":"),
    "uniform": (OKABE_ITO["green"], "s", "--"),
    "coexpression": (OKABE_ITO["vermillion"], "^", "-."),
    "identity": (INK, "D", "--"),
    "label_lookup": ("#7F4F24", "P", ":"),
}
OTHER = (INK, "x", ":")
#: Arms whose draws are a band, where arms share an axis.
BANDS = ("gaussian_halves", "gaussian_blocks", "shuffle")


def chain_rows(table: pd.DataFrame, scope: str, what: str) -> tuple[pd.DataFrame, str]:
    """Rows of panel `scope` that hold a value, and a sentence that says why there are none (empty where there are).

    what: the table's contents in print, e.g. `Compaction`.
    """
    mine = table[table["panel"] == scope]
    rows = scored(mine) if {"status", "value"} <= set(mine.columns) else mine
    return rows, "" if len(rows) else missing(what, scope, mine)


def left_out(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Parts of `table` that have no row in `rows`, each with its reason; starts a new line, empty where none lacks."""
    others = table[(table["panel"] == rows["panel"].iloc[0]) & ~table["part"].isin(rows["part"])]
    said = others[others["reason"] != ""].groupby("part")["reason"].agg(lambda texts: texts.value_counts().index[0])
    text = "; ".join(f"{part_name(part)}: {said[part]}" for part in part_order(list(said.index)))
    return f"\n{textwrap.fill(f'Not shown: {text}', 130)}" if text else ""


def arms_in(rows: pd.DataFrame) -> list[str]:
    """The real operator, then the controls in the house's order."""
    return sorted(arm_order(list(rows["arm"])), key=lambda arm: arm != "real")


def operator_name(arm: str) -> str:
    """The printed name of an arm, the real one included."""
    return "Real operator" if arm == "real" else arm_name(arm)


def repeats(rows: pd.DataFrame) -> str:
    """How often one arm was repeated, and by what: draws of its matrix, or seeds of the head on one matrix."""
    n, kind = rows["draw"].nunique(), "draw" if is_random(str(rows["arm"].iloc[0])) else "seed"
    return f"{n} {kind}{'s' * (n != 1)}"


def arm_labels(rows: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """Printed names of `arms` with their repeats in these rows."""
    return [f"{operator_name(arm)} ({repeats(rows[rows['arm'] == arm])})" for arm in arms]


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


def p_text(rows: pd.DataFrame) -> str:
    """The median p over seeds in print, with the smallest p that the permutations allow; empty without any."""
    if "p" not in rows.columns or not rows["p"].notna().any():
        return ""
    p, floor = float(rows["p"].median()), float(rows["p_floor"].median())
    return f"p = {p:.2g}" + (f" (floor {floor:.2g})" if floor == floor else "")


def head_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows of the preferred head at its largest width, with its printed name."""
    rows = rows[rows["head"] == (head := preferred_head(list(rows["head"])))]
    width = int(rows["width"].max())
    return rows[rows["width"] == width], f"{head_name(head).lower()} of width {width}"


def line_keys(rows: pd.DataFrame, arms: Sequence[str], band: str, looks: Mapping[str, tuple] = LOOKS) -> list:
    """Legend where arms share an axis: bands of random arms, lines of the others."""
    handles: list = []
    for arm in arms:
        colour, marker, line = looks.get(arm, OTHER)
        name = f"{operator_name(arm)}, {repeats(rows[rows['arm'] == arm])}"
        if arm in BANDS:
            handles.append(Patch(facecolor=colour, alpha=0.5, label=f"{name}: {band}"))
        else:
            handles.append(Line2D([], [], color=colour, marker=marker, ms=3.2, ls=line, label=name))
    return handles

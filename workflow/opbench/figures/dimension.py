"""Transfer objective and trustworthiness over the latent width, for the real operator and its control arms."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures.arms import LOOKS, OTHER, arm_name, arms_in, repeats
from opbench.figures.canvas import bottom_legend, key, note_figure
from opbench.figures.chain import head_name, missing, per_draw, preferred_head, scored
from opbench.figures.style import DOUBLE, INK, MM

#: Part under which both are written, one gate `<quantity>_<width>` for each width.
PART, QUANTITIES = "dimension", {"objective": "Transfer objective", "trust": "Trustworthiness"}
#: Width of the cluster of arms at one latent width, and the most between two of them.
CLUSTER, STEP = 0.72, 0.14


def _rows(gates: pd.DataFrame) -> pd.DataFrame:
    """Rows of both quantities, which `quantity` names."""
    rows = gates[gates["part"] == PART]
    return rows.assign(quantity=rows["gate"].str.extract(r"^(.*)_\d+$", expand=False))


def _panel(ax: Axes, points: pd.DataFrame, widths: list[int], arms: list[str]) -> None:
    """Arms side by side at each width: mean with the range of draws (or head seeds); the real one's dots joined."""
    half = min(CLUSTER, STEP * (len(arms) - 1)) / 2
    offsets = np.linspace(-half, half, len(arms))
    for arm, offset in zip(arms, offsets, strict=True):
        (colour, marker, _), real = LOOKS.get(arm, OTHER), arm == "real"
        mine = points[points["arm"] == arm].groupby("width")["value"].agg(["mean", "min", "max"]).reindex(widths)
        x = np.arange(len(widths)) + offset
        ax.vlines(x, mine["min"], mine["max"], color=colour, lw=1.2 if real else 0.8, zorder=3)
        ax.plot(x, mine["mean"], color=colour, marker=marker, ms=4.2 if real else 3.4, mew=0.6,
                lw=1.0 if real else 0.4, alpha=1 if real else 0.9, zorder=5 if real else 4)  # fmt: skip
    for edge in range(len(widths) - 1):
        ax.axvline(edge + 0.5, color="#E5E5E5", lw=0.6, zorder=0)
    ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    ax.set_xlim(-0.5, len(widths) - 0.5)


def _title(quantity: str, rows: pd.DataFrame) -> str:
    """What is drawn, of how many anchors, and what the table says that it is."""
    text = rows["reason"].str.partition(";")[0]
    said = text[text != ""].mode()
    name = QUANTITIES[quantity]
    lines = [
        name,
        *(line.removeprefix(f"{name.lower()} ") for line in said.head(1)),
        f"n = {int(rows['n'].max())} anchors",
    ]
    return "\n".join(lines)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Objective and trustworthiness of panel `scope` by latent width (GATES): a row of panels per budget."""
    gates = tables["gates"][tables["gates"]["panel"] == scope]
    rows = _rows(gates)
    found = scored(rows)
    if found.empty:
        return note_figure(missing("Latent width", scope, rows)), rows.iloc[:0]
    head = preferred_head(list(found["head"]))
    found = found[found["head"] == head]
    points = per_draw(found, ["quantity", "budget", "width"])
    budgets, widths = sorted(set(points["budget"])), sorted(set(points["width"]))
    quantities = [name for name in QUANTITIES if (points["quantity"] == name).any()]
    arms = arms_in(points)
    foot, height = 4 + 3.7 * -(-(len(arms) + 1) // 3), 15 + 43 * len(budgets)
    figure = Figure(figsize=(DOUBLE * 0.85, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.05)
    grid = figure.subplots(len(budgets), len(quantities), sharex=True, squeeze=False)
    limit = gates.loc[(gates["gate"] == "trustworthiness") & (gates["part"] == "external"), "threshold"].max()
    for line, budget in zip(grid, budgets, strict=True):
        for ax, quantity in zip(line, quantities, strict=True):
            mine = points[(points["budget"] == budget) & (points["quantity"] == quantity)]
            if quantity == "trust" and limit == limit:
                ax.axhline(limit, color=INK, lw=0.7, ls="--", zorder=1)
            _panel(ax, mine, widths, arms)
            if budget == budgets[0]:
                ax.set_title(_title(quantity, found[found["quantity"] == quantity]))
        line[0].set_ylabel(f"{budget} budget" if budget else "")
    for ax in grid[-1]:
        ax.set_xlabel("latent width")
    figure.suptitle(f"{head_name(head)} on panel {scope}", x=0.01, ha="left")
    _legend(figure, points, arms)
    table = points.assign(panel=scope, head=head)
    return figure, table[["panel", "head", "quantity", "budget", "width", "arm", "draw", "value", "n"]]


def _legend(figure: Figure, points: pd.DataFrame, arms: list[str]) -> None:
    handles = []
    for arm in arms:
        colour, marker, _ = LOOKS.get(arm, OTHER)
        handles.append(key(marker, f"{arm_name(arm)}, {repeats(points[points['arm'] == arm])}", colour=colour))
    handles.append(key("|", "least to most; dashed: threshold", size=6))
    bottom_legend(figure, handles, 3)

"""Does a lens bring T-cell subtypes out of the three-dimensional view, more than it does under permuted labels?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import arm_colour, arms_in
from opbench.figures.chain import chain_rows, head_rows, left_out, p_text, part_name, part_order
from opbench.figures.chain_marks import arm_labels, strip
from opbench.figures.style import DOUBLE, GREY, INK, MM, PALE

FINDING = "t_lens"
#: Quantity -> (marker, printed name), from the view before the lens to all of the latent.
VIEWS = {
    "view3": ("o", "3-D view, before"),
    "lens": ("D", "3-D view through the lens, after"),
    "best_axis": ("^", "best single axis"),
    "full": ("s", "all axes"),
}
ROW = 9.5  # mm per arm


def _arm(ax: Axes, rows: pd.DataFrame, y: float, arm: str, views: list[str]) -> None:
    """Lines of one arm, one a view, with its null, and a stroke from before the lens to after it."""
    step = 0.8 / len(views)
    places = {view: y - 0.4 + step * (index + 0.5) for index, view in enumerate(views)}
    means = {}
    for view, place in places.items():
        mine = rows[rows["quantity"] == view]
        if mine.empty:
            ax.text(0.99, place, "no value", transform=ax.get_yaxis_transform(), ha="right", va="center",
                    style="italic", color="#666666", zorder=7)  # fmt: skip
            continue
        strip(ax, mine, place, arm, marker=VIEWS[view][0], height=step * 0.52)
        means[view] = mine["value"].mean()
    if {"view3", "lens"} <= set(means):
        ax.plot([means["view3"], means["lens"]], [places["view3"], places["lens"]], color=arm_colour(arm),
                lw=0.9, zorder=2.5)  # fmt: skip


def _keys(views: list[str]) -> list:
    handles: list = [canvas.key(VIEWS[view][0], VIEWS[view][1], colour=INK, size=3.4) for view in views]
    return [
        *handles,
        Line2D([], [], color=INK, lw=1.1, marker="|", ls="", label="mean over draws or seeds"),
        Patch(facecolor=PALE, edgecolor=GREY, label="permuted labels, from their mean to their 95 % point"),
    ]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """AUROC of the T-cell contrast on panel `scope` by part, arm and view (LATENT_FINDINGS)."""
    table = tables["latent_findings"]
    mine = table[(table["finding"] == FINDING) & table["quantity"].isin(VIEWS)]
    rows, why = chain_rows(mine, scope, "T-cell lens")
    if why:
        return canvas.note_figure(why), rows
    rows, head = head_rows(rows)
    note = left_out(mine, rows)
    parts, arms = part_order(list(rows["part"])), arms_in(rows)
    views = [view for view in VIEWS if (rows["quantity"] == view).any()]
    foot, height = 15, len(arms) * ROW + 25 + 4 * note.count("\n")
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.04)
    grid = figure.subplots(1, len(parts), sharey=True, sharex=True, squeeze=False)[0]
    names = [label.replace(" (", "\n(") for label in arm_labels(rows, arms)]
    for index, (ax, part) in enumerate(zip(grid, parts, strict=True)):
        mine = rows[rows["part"] == part]
        canvas.method_axis(ax, names, [arm == "real" for arm in arms], labelled=index == 0)
        ax.axvline(0.5, color=INK, lw=0.5, ls=":", zorder=1)
        for y, arm in enumerate(arms):
            _arm(ax, mine[mine["arm"] == arm], y, arm, views)
        lens = mine[(mine["arm"] == "real") & (mine["quantity"] == "lens")]
        text = p_text(lens)
        n = f"n = {int(mine['n'].max())} donors"
        ax.set_title(f"{part_name(part)}\n{n}\n" + (f"real, lens: {text}" if text else "real, lens: no p"))
        ax.set_xlabel("AUROC of the T-cell subtypes")
    canvas.bottom_legend(figure, _keys(views), 3)
    figure.suptitle(
        f"{scope}: T-cell subtypes in the latent, {head}; p is the median over seeds{note}", x=0.01, ha="left"
    )
    return figure, rows.reset_index(drop=True)

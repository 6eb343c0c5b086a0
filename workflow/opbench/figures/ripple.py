"""Is the latent a plane with a ripple, and does the ripple outlast its null? The real head beside its controls."""

import pandas as pd
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.arms import arms_in
from opbench.figures.chain import chain_rows, head_rows, left_out, p_text, part_name, part_order
from opbench.figures.chain_marks import arm_labels, strip, strip_keys
from opbench.figures.style import DOUBLE, MM

#: Quantity -> title of its row of panels.
QUANTITIES = {
    "plane_share": "Share of the variance in 3-D that the best plane holds",
    "ripple_r2": "Ripple: R² of the third principal axis from the plane",
    "ripple_r2_quadratic": "Ripple: R² of the third principal axis from a quadratic in the first two",
    "ripple_r2_cubic": "Ripple: R² of the third principal axis from a cubic in the first two",
    "significant_axes": "Axes beyond the plane that follow depth, q < 0.05",
    "residual_axes_significant": "Axes beyond the plane that follow depth, q < 0.05",
}
ROW = 3.6  # mm per arm


def _panel(ax, rows: pd.DataFrame, arms: list[str]) -> None:
    for y, arm in enumerate(arms):
        mine = rows[rows["arm"] == arm]
        if mine.empty:
            canvas.no_value(ax, y, "no value")
            continue
        strip(ax, mine, y, arm)


def _title(quantity: str, part: str, rows: pd.DataFrame, first: bool) -> str:
    facts = f"{part_name(part)}, " + (f"n = {int(rows['n'].max())} anchors" if len(rows) else "no value")
    text = p_text(rows[rows["arm"] == "real"])
    of = f"of {int(rows['j'].max())} axes" if "axes" in quantity and (rows["j"] > 0).any() else ""
    tests = ", ".join(filter(None, (of, f"real: {text}" if text else "")))
    return "\n".join([QUANTITIES[quantity] if first else "", facts, tests])


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Plane share and ripple of panel `scope`: a row of panels per quantity, a column per part (LATENT_FINDINGS)."""
    table = tables["latent_findings"]
    rows, why = chain_rows(table[table["quantity"].isin(QUANTITIES)], scope, "Plane and ripple of the latent")
    if why:
        return canvas.note_figure(why), rows
    rows, head = head_rows(rows)
    note = left_out(table[table["quantity"].isin(QUANTITIES)], rows)
    quantities = [name for name in QUANTITIES if (rows["quantity"] == name).any()]
    parts, arms = part_order(list(rows["part"])), arms_in(rows)
    foot, height = 16, len(quantities) * (len(arms) * ROW + 15) + 4
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.04)
    grid = figure.subplots(len(quantities), len(parts), sharey=True, squeeze=False)
    for line, quantity in zip(grid, quantities, strict=True):
        for index, (ax, part) in enumerate(zip(line, parts, strict=True)):
            mine = rows[(rows["quantity"] == quantity) & (rows["part"] == part)]
            canvas.method_axis(ax, arm_labels(rows, arms), [arm == "real" for arm in arms], labelled=index == 0)
            _panel(ax, mine, arms)
            ax.set_title(_title(quantity, part, mine, index == 0))
    canvas.bottom_legend(figure, strip_keys("null of the permutation, from its mean to its 95 % point"), 2)
    figure.suptitle(
        f"{scope}: plane and ripple of the latent, {head}; p is the median over seeds{note}", x=0.01, ha="left"
    )
    return figure, rows.reset_index(drop=True)

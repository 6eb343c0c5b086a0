"""Do axes hold which gene regulates which, or only what kind of genes are joined; and does it fade with depth?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK, OKABE_ITO

#: Quantity -> (title, label of y, value without an effect, null).
ROWS = {
    "edge_auroc": ("Edges against all other pairs of the grid", "AUROC", 0.5, "targets"),
    "residual_r_rb": ("The same, co-expression and mean expression regressed out", "rank-biserial r", 0.0, "targets"),
    "edge_auroc_published": ("Edges against three random pairs each, as published", "AUROC", 0.5, "paper"),
}
MATCHED = "edge_auroc_matched"
ROW, FOOT, HEAD = 38.0, 30.0, 6.0  # mm


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """A row per statistic with its null, a column per subspace, a curve per space (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "edges")
    if rows.empty:
        return canvas.note_figure(why), rows
    rows = rows[rows["scope"] == geometry.primary(rows)]
    measure = geometry.preferred(list(rows["term"]), "cosine")
    rows = rows[rows["term"] == measure]
    quantities = [name for name in ROWS if name in set(rows["quantity"])]
    spaces = geometry.ordered(list(rows["axis"]), ["SV5-7", "SV2-4"])
    layers = geometry.layers_of(rows) or [0.0]
    if not quantities:
        return canvas.note_figure("The analysis edges holds none of the quantities that this figure draws."), rows
    height = ROW * len(quantities) + FOOT + HEAD
    width = DOUBLE if len(spaces) > 1 else 0.6 * DOUBLE
    figure, grid = geometry.page(len(quantities), len(spaces), width, height, FOOT, sharex=True, sharey="row")
    for line, quantity in zip(grid, quantities, strict=True):
        for ax, subspace in zip(line, spaces, strict=True):
            _panel(ax, rows[rows["axis"] == subspace], quantity, layers)
            geometry.layer_axis(ax, layers, quantity == quantities[-1])
            n = geometry.n_text(geometry.pick(rows, quantity=quantity), "edges")
            ax.set_title(f"{ROWS[quantity][0]}\n{subspace}, {n}")
        line[0].set_ylabel(ROWS[quantity][1])
    _legend(figure, rows, height)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(rows, measure), round(geometry.PAGE * width / DOUBLE))
    return figure, rows


def _panel(ax: Axes, rows: pd.DataFrame, quantity: str, layers: list[float]) -> None:
    _, _, zero, null = ROWS[quantity]
    geometry.layer_axis(ax, layers)
    mine = geometry.pick(rows, quantity=quantity)
    model = geometry.pick(mine, space="model")
    geometry.null_band(ax, geometry.pick(model, null=null), geometry.PAPER if null == "paper" else geometry.NULL)
    if quantity == "edge_auroc":
        geometry.null_band(ax, geometry.pick(model, null="strata"), INK, outline=True)
    # The model comes last: it lies on top.
    for space in reversed(geometry.ordered(list(mine["space"]), list(geometry.SPACES))):
        geometry.curve(ax, geometry.once(geometry.pick(mine, space=space)), *geometry.look(space))
    if quantity == "edge_auroc":
        like = geometry.pick(rows, quantity=MATCHED, space="model")
        shifted = like.assign(layer=like["layer"] + 0.25)
        ax.vlines(shifted["layer"], shifted["ci_low"], shifted["ci_high"], color=OKABE_ITO["sky"], lw=0.7, zorder=3)
        ax.plot(shifted["layer"], shifted["value"], ls="", marker="D", ms=2.8, mfc="white", mec=OKABE_ITO["sky"],
                mew=0.8, zorder=4)  # fmt: skip
    passed = geometry.pick(model, null=null)
    passed = passed[passed["p_family"] <= geometry.LEVEL]
    ax.plot(passed["layer"], passed["value"], ls="", marker="o", ms=5, mfc="none", mec=INK, mew=0.7, zorder=7)
    ax.axhline(zero, color=GREY, lw=0.6, zorder=1)
    if mine.empty:
        ax.text(0.5, 0.5, "not testable", transform=ax.transAxes, ha="center", color=GREY, style="italic")


def _legend(figure: Figure, rows: pd.DataFrame, height: float) -> None:
    handles = [
        *geometry.space_keys(list(rows["space"])),
        canvas.key("D", "model, pairs of like co-expression", False, OKABE_ITO["sky"], 2.8),
        geometry.band_key("matched null: targets exchanged"),
        geometry.band_key("genes permuted within strata, 95 % point", INK, outline=True),
        geometry.band_key("the paper's null: genes permuted", geometry.PAPER),
        canvas.key("o", "max-T p ≤ 0.05 under the row's null", False, size=4.6),
    ]
    columns = 3 if figure.get_size_inches()[0] > 0.8 * DOUBLE else 2
    canvas.bottom_legend(figure, handles, columns, bottom=12.5 / height)


def _notes(rows: pd.DataFrame, measure: str) -> list[str]:
    said = []
    for row in geometry.pick(rows, quantity="layer_trend", space="model").to_dict("records"):
        p = geometry.p_text(row["p"], row["p_floor"])
        said.append(f"{row['axis']} Spearman {geometry.signed(row['value'])}, p {p}")
    trend = f"Fading with depth, the whole curve made again for each graph: {'; '.join(said)}. " if said else ""
    return [
        f"{geometry.scope_name(geometry.primary(rows)).capitalize()}, nearness by {measure or 'the only measure'}. "
        "Bars: 95 % interval, sources resampled (the published statistic has none). Bands: mean to "
        "95 % point of the null, model.",
        f"{trend}{geometry.permutations_text(rows)}",
    ]

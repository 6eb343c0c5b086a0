"""How many directions do gene representations use, layer by layer, and does training or the choice of rows make it?"""

import pandas as pd
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY

#: Quantity -> printed name, in the order of rows.
QUANTITIES = {
    "effective_rank": "effective rank",
    "participation_ratio": "participation\nratio",
    "sv1_share": "share of\nvariance, SV1",
    "k90": "axes for 90 %\nof variance",
    "two_nn": "dimension,\nTwoNN",
}
ROW, HEAD, FOOT = 25.0, 14.0, 15.0  # mm


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """A row per quantity, a column per scope of genes, a line per space (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "spectrum")
    rows = rows[rows["quantity"].isin(QUANTITIES)]
    if rows.empty:
        return canvas.note_figure(why or "The spectrum holds none of the quantities that this figure draws."), rows
    layers, quantities = geometry.layers_of(rows), [name for name in QUANTITIES if name in set(rows["quantity"])]
    scopes = geometry.ordered(list(rows["scope"]), list(geometry.SCOPES))
    height = HEAD + ROW * len(quantities) + FOOT
    width = DOUBLE if len(scopes) > 1 else 0.6 * DOUBLE
    figure, grid = geometry.page(len(quantities), len(scopes), width, height, FOOT, sharex=True, sharey="row")
    for line, quantity in zip(grid, quantities, strict=True):
        for ax, genes in zip(line, scopes, strict=True):
            here = geometry.pick(rows, quantity=quantity, scope=genes)
            for space, mine in here.groupby("space"):
                geometry.curve(ax, mine, *geometry.look(space))
            if here.empty:
                ax.text(0.5, 0.5, "no value", transform=ax.transAxes, ha="center", color=GREY, style="italic")
            geometry.layer_axis(ax, layers, quantity == quantities[-1])
        line[0].set_ylim(bottom=0)  # once all are drawn: setting one end ends the scaling of the whole row
        line[0].set_ylabel(QUANTITIES[quantity])
    figure.align_ylabels(grid[:, 0])
    for ax, genes in zip(grid[0], scopes, strict=True):
        whole = geometry.pick(rows, scope=genes, quantity=["effective_rank", quantities[0]])
        ax.set_title(f"{geometry.scope_name(genes)}\n{geometry.n_text(whole, 'genes')}")
    canvas.bottom_legend(figure, geometry.space_keys(list(rows["space"])), 3, bottom=9 / height)
    letters = round(geometry.PAGE * width / DOUBLE)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(rows), letters)
    return figure, rows


def _notes(rows: pd.DataFrame) -> list[str]:
    most = rows.loc[rows["quantity"] == "two_nn", "n"].max()
    sample = f" TwoNN is of at most {most:,.0f} rows drawn once." if most == most else ""
    return [
        "Descriptive: no null applies and no interval is made, the control is the random model of the same shape. "
        "in: before the first block. A level over the whole width is a space without layers." + sample
    ]

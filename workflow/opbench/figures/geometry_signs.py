"""Are repression edges nearer than activation edges, once signs are permuted among the edges of a factor?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK, OKABE_ITO

#: Quantity -> printed name, colour, marker and line.
CLASSES = {
    "auroc_activation": ("activation", OKABE_ITO["green"], "^", "-"),
    "auroc_repression": ("repression", OKABE_ITO["vermillion"], "v", "--"),
}
DIFFERENCE, MATCHED, PAPER = "difference", "tf_signs", "paper"
ROW, FOOT, HEAD = 46.0, 26.0, 8.0  # mm


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """AUROC by sign and their difference, a column per subspace and measure (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "signs")
    drawn = rows[rows["quantity"].isin([*CLASSES, DIFFERENCE])]
    if drawn.empty:
        return canvas.note_figure(why or "No signed edges could be compared."), drawn
    rows, drawn = (part[part["scope"] == geometry.primary(drawn)] for part in (rows, drawn))
    measures = geometry.ordered(list(drawn["term"]), ["cosine", "distance"])
    columns = [(axis, m) for m in measures for axis in geometry.ordered(list(drawn["axis"]), ["SV5-7", "SV2-4"])][:4]
    layers = geometry.layers_of(drawn) or [0.0]
    height = 2 * ROW + FOOT + HEAD
    width = DOUBLE if len(columns) > 2 else 0.7 * DOUBLE
    figure, grid = geometry.page(2, len(columns), width, height, FOOT, sharex=True, sharey="row")
    for (above, below), (axis, measure) in zip(grid.T, columns, strict=True):
        mine = drawn[(drawn["axis"] == axis) & (drawn["term"] == measure)]
        _classes(above, geometry.pick(mine, space="model"), layers)
        _difference(below, mine, layers)
        above.set_title(f"{axis}, {measure}")
        geometry.layer_axis(above, layers, False)
        geometry.layer_axis(below, layers)
    grid[0, 0].set_ylabel("AUROC against unlisted\npairs, model")
    grid[1, 0].set_ylabel("repression less activation")
    _legend(figure, drawn, height)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(rows, drawn), round(geometry.PAGE * width / DOUBLE))
    return figure, drawn


def _classes(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    geometry.layer_axis(ax, layers)
    for quantity, (_, *look) in CLASSES.items():
        mine = geometry.once(geometry.pick(rows, quantity=quantity))
        shift = -0.12 if quantity == "auroc_activation" else 0.12
        geometry.curve(ax, mine.assign(layer=mine["layer"] + shift), *look)
    ax.axhline(0.5, color=GREY, lw=0.6, zorder=1)


def _difference(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    """The model's difference on its nulls, and that of the other spaces."""
    geometry.layer_axis(ax, layers)
    mine = geometry.pick(rows, quantity=DIFFERENCE)
    model = geometry.pick(mine, space="model")
    geometry.null_band(ax, geometry.pick(model, null=MATCHED))
    geometry.null_band(ax, geometry.pick(model, null=PAPER), geometry.PAPER, outline=True)
    for space in reversed(geometry.ordered(list(mine["space"]), list(geometry.SPACES))):
        curve = geometry.once(geometry.pick(mine, space=space))
        # Only the model's interval: four of them at every layer could not be read.
        bare = curve if space == "model" else curve.assign(ci_low=float("nan"), ci_high=float("nan"))
        geometry.curve(ax, bare, *geometry.look(space))
    passed = geometry.pick(model, null=MATCHED)
    passed = passed[passed["p_family"] <= geometry.LEVEL]
    ax.plot(passed["layer"], passed["value"], ls="", marker="o", ms=5, mfc="none", mec=INK, mew=0.7, zorder=7)
    ax.axhline(0, color=GREY, lw=0.6, zorder=1)


def _legend(figure: Figure, rows: pd.DataFrame, height: float) -> None:
    handles = []
    for quantity, (name, colour, marker, line) in CLASSES.items():
        n = geometry.n_text(geometry.pick(rows, quantity=quantity, space="model"), "edges")
        handles.append(Line2D([], [], color=colour, marker=marker, ms=2.8, ls=line, label=f"{name}, {n or 'no edge'}"))
    handles += [
        *geometry.space_keys(list(rows["space"])),
        geometry.band_key("matched null: signs permuted within a factor"),
        geometry.band_key("signs permuted over all edges", geometry.PAPER, outline=True),
        canvas.key("o", "max-T p ≤ 0.05 under the matched null", False, size=4.6),
    ]
    columns = 3 if figure.get_size_inches()[0] > 0.8 * DOUBLE else 2
    canvas.bottom_legend(figure, handles, columns, bottom=9.0 / height)


def _notes(rows: pd.DataFrame, drawn: pd.DataFrame) -> list[str]:
    share = geometry.first_value(geometry.pick(rows, quantity="movable_share", space="model"))
    said = f" {100 * share:.0f} % of signed edges are in groups that hold both signs." if share == share else ""
    return [
        f"{geometry.scope_name(geometry.primary(drawn)).capitalize()}. Bars: 95 % interval, sources resampled. Bands: "
        f"middle 95 % of the null, model.{said} The paper itself made no test. "
        f"{geometry.permutations_text(drawn[drawn['null'] == MATCHED])}"
    ]

"""Do genes come nearer to an anchor with depth than genes that start as near?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK

CURVE, CHANGE, TOGETHER = "scaled_distance", "log_distance_change", "mean_log_distance_change"
#: Genes with curves on a page; the source table holds all.
MOST, COLUMNS = 8, 4
ROW, LINE, FOOT, HEAD = 40.0, 4.6, 29.0, 4.0  # mm


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """A panel per gene with its matched genes, then the change of all with both nulls (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "convergence")
    if rows.empty:
        return canvas.note_figure(why), rows
    rows = rows[rows["scope"] == geometry.primary(rows)]
    genes = _genes(rows)
    if not genes:
        return canvas.note_figure("No gene has a curve of distances."), rows.iloc[:0]
    shown, layers = genes[:MOST], geometry.layers_of(rows)
    lines, columns = -(-len(shown) // COLUMNS), min(COLUMNS, len(shown))
    forest = LINE * (len(genes) + 2) + 13
    height = HEAD + ROW * lines + forest + FOOT
    figure, grid = geometry.page(lines, columns, DOUBLE, height, FOOT + forest, sharey=True)
    grid = grid.ravel()
    for ax in grid[len(shown) :]:
        ax.set_visible(False)
    for ax, gene in zip(grid, shown, strict=False):
        _panel(ax, rows[rows["term"] == gene], gene, layers)
    grid[0].set_ylim(bottom=0)  # once all are drawn: setting one end ends the scaling of all
    grid[0].set_ylabel("scaled distance")
    _forest(figure, rows, genes)
    _legend(figure, rows, height)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(tables, rows, genes, scope))
    return figure, rows


def _genes(rows: pd.DataFrame) -> list[str]:
    """Genes with a curve in the model, those of the published claim first."""
    return geometry.ordered(list(rows.loc[(rows["quantity"] == CURVE) & (rows["space"] == "model"), "term"]),
                            ["BATF", "BACH2"])  # fmt: skip


def _panel(ax: Axes, rows: pd.DataFrame, gene: str, layers: list[float]) -> None:
    """The gene in the model and the random model, and the middle 95 % of its matched genes in the model."""
    geometry.layer_axis(ax, layers)
    model = rows[rows["space"] == "model"]
    low, high, mean = (geometry.pick(model, quantity=f"{CURVE}_matched_{name}") for name in ("low", "high", "mean"))
    if len(low) and len(low) == len(high):
        ax.fill_between(low["layer"], low["value"], high["value"], color=geometry.NULL, alpha=0.55, lw=0, zorder=1)
        ax.plot(mean["layer"], mean["value"], color=INK, lw=0.8, ls=":", zorder=3)
    for space in ("random", "model"):
        geometry.curve(ax, geometry.pick(rows, quantity=CURVE, space=space), *geometry.look(space))
    said = geometry.n_text(mean, "matched genes") or "too few matched genes"
    ax.set_title(f"{gene}\n{said}")


def _forest(figure: Figure, rows: pd.DataFrame, genes: list[str]) -> None:
    """Log change of the scaled distance by gene, with the matched genes' mean and spread, and p of both nulls."""
    names, texts = [*genes, "mean of all tested"], []
    ax = geometry.forest_axes(figure, FOOT, len(names), LINE, 30, 78)
    for y, gene in enumerate(names):
        quantity = TOGETHER if gene == names[-1] else CHANGE
        mine = rows[(rows["quantity"] == quantity) & ((rows["term"] == gene) | (quantity == TOGETHER))]
        matched = geometry.pick(mine, space="model", null="matched")
        if len(matched) and matched["null_mean"].notna().all():
            row = matched.iloc[0]
            ends = row["null_mean"] + 1.96 * row["null_sd"] * np.array([-1, 1])
            ax.plot(ends, [y, y], color=geometry.NULL, lw=5, solid_capstyle="butt", zorder=1)
            ax.plot([row["null_mean"]] * 2, [y - 0.3, y + 0.3], color=INK, lw=0.8, zorder=2)
        for space in ("random", "model"):
            colour, marker, _ = geometry.look(space)
            value = geometry.first_value(geometry.pick(mine, space=space))
            ax.plot([value], [y], marker=marker, ms=3.4, color=colour, ls="", zorder=4)
        sides = (("model", "matched"), ("model", "paper"), ("random", "matched"))
        texts.append([_p(geometry.pick(mine, space=space, null=null)) for space, null in sides])
    geometry.text_columns(ax, ("matched p", "paper's p", "random, matched"), texts, 1.12, 0.28)
    ax.axvline(0, color=GREY, lw=0.6, zorder=0)
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_xlabel("log change of scaled distance, first block to last (nearer: left)")


def _p(rows: pd.DataFrame) -> str:
    return geometry.p_text(rows["p"].iloc[0], rows["p_floor"].iloc[0]) if len(rows) else "–"


def _legend(figure: Figure, rows: pd.DataFrame, height: float) -> None:
    handles = [
        *geometry.space_keys([space for space in rows["space"].unique() if space != "coexpression"]),
        geometry.band_key("genes of like start rank and token count, middle 95 %"),
        Line2D([], [], color=INK, lw=0.8, ls=":", label="their mean, model"),
    ]
    canvas.bottom_legend(figure, handles, 2, bottom=16 / height)


def _notes(tables: dict[str, pd.DataFrame], rows: pd.DataFrame, genes: list[str], scope: str) -> list[str]:
    anchor = "+".join(sorted({name for name in rows["axis"] if name}))
    table = tables["geometry"]
    out = table[(table["run"] == scope) & (table["analysis"] == "convergence") & (table["space"] == "model")]
    out = out[(out["status"] != "ok") & (out["scope"] == geometry.primary(rows)) & (out["reason"] != "")]
    reasons = " ".join(dict.fromkeys(out["reason"]))
    more = f" The first {MOST} of {len(genes)} genes have panels." if len(genes) > MOST else ""
    return [
        f"Distance to {anchor or 'the anchor'}, {geometry.scope_name(geometry.primary(rows))}; divided by the layer's "
        "root mean square distance of all pairs, since every distance shrinks as the space contracts. Matched p is "
        "exact over the matched genes, the paper's over ten random genes; ≤ marks the smallest that so many genes "
        f"give.{more}",
        reasons[:260],
    ]

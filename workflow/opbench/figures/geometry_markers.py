"""Do marker genes of one cell type lie together, beyond what co-expression alone gives?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, OKABE_ITO

SPHERE, BASELINE = "sphere", "coexpression"
LABELS, PSEUDO, PAPER = ("labels",), "pseudo_panel", "paper"
ROW, LINE, FOOT, HEAD = 46.0, 4.2, 26.0, 4.0  # mm
#: Heads of the columns of p beside the forest.
TEXTS = ("p, labels", "pseudo-panel", "paper's, last layer")


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """AUROC by layer, a panel per scope; below, means over blocks with the baseline and p (GEOMETRY, run `scope`)."""
    rows, why = geometry.analysis_rows(tables, scope, "markers")
    if rows.empty:
        return canvas.note_figure(why), rows
    scopes = geometry.ordered(list(rows["scope"]), list(geometry.SCOPES))
    layers = geometry.layers_of(rows) or [0.0]
    entries = _entries(rows, scopes)
    forest = LINE * (len(entries) + 1) + 14
    height = HEAD + ROW + forest + FOOT
    figure, (grid,) = geometry.page(1, max(len(scopes), 2), DOUBLE, height, FOOT + forest, sharey=True)
    for ax in grid[len(scopes) :]:
        ax.set_visible(False)
    for ax, genes in zip(grid, scopes, strict=False):
        _panel(ax, rows[rows["scope"] == genes], layers)
        n = geometry.n_text(geometry.pick(rows, scope=genes, quantity="auroc", axis=SPHERE), "markers")
        ax.set_title(f"{geometry.scope_name(genes)}\n{n}")
    grid[0].set_ylabel("AUROC, same type nearer")
    _forest(figure, rows, entries)
    _legend(figure, rows, height)
    geometry.ticks_in_view(figure)
    geometry.foot_text(figure, _notes(rows))
    return figure, rows


def _panel(ax: Axes, rows: pd.DataFrame, layers: list[float]) -> None:
    geometry.layer_axis(ax, layers)
    mine = geometry.pick(rows, quantity="auroc", axis=SPHERE)
    model = geometry.pick(mine, space="model")
    geometry.null_band(ax, geometry.pick(model, null=LABELS))
    geometry.null_band(ax, geometry.pick(model, null=PSEUDO), geometry.PAPER, outline=True)
    for space in reversed(geometry.ordered(list(mine["space"]), list(geometry.SPACES))):
        geometry.curve(ax, geometry.once(geometry.pick(mine, space=space)), *geometry.look(space))
    base = geometry.pick(rows, quantity="auroc", axis=BASELINE, space="model")
    for row in base.to_dict("records")[:1]:
        ax.axhline(row["value"], color=OKABE_ITO["vermillion"], lw=1.0, ls="-.", zorder=2)
        x = ax.get_xlim()[1] - 0.35
        ax.plot([x, x], [row["ci_low"], row["ci_high"]], color=OKABE_ITO["vermillion"], lw=1.4, zorder=5)
    ax.axhline(0.5, color=GREY, lw=0.6, zorder=1)


def _entries(rows: pd.DataFrame, scopes: list[str]) -> list[tuple[str, str]]:
    """Space and scope of the forest's rows: all spaces in each scope that has a mean."""
    held = rows[rows["quantity"] == "mean_auroc"]
    spaces = geometry.ordered(list(held["space"]), list(geometry.SPACES))
    found = set(zip(held["space"], held["scope"], strict=True))
    return [(space, genes) for genes in scopes for space in spaces if (space, genes) in found]


def _forest(figure: Figure, rows: pd.DataFrame, entries: list[tuple[str, str]]) -> None:
    """Mean over blocks with its interval, the nulls' mean to 95 % point, co-expression as a bar across, p as text."""
    texts, ax = [], geometry.forest_axes(figure, FOOT, len(entries), LINE, 56, 56)
    for y, (space, genes) in enumerate(entries):
        mine = geometry.pick(rows, space=space, scope=genes, axis=SPHERE)
        mean = geometry.pick(mine, quantity="mean_auroc")
        labels, pseudo = geometry.pick(mean, null=LABELS), geometry.pick(mean, null=PSEUDO)
        if len(labels) and labels["null_mean"].notna().all():
            ax.plot(labels[["null_mean", "null_q95"]].to_numpy()[0], [y, y], color=geometry.NULL, lw=5,
                    solid_capstyle="butt", zorder=1)  # fmt: skip
        if len(pseudo):
            ax.plot([pseudo["null_q95"].iloc[0]], [y], marker="|", ms=7, color=geometry.PAPER, ls="", zorder=2)
        colour, marker, _ = geometry.look(space)
        row = mean.iloc[0]
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=1.0, zorder=4)
        ax.plot([row["value"]], [y], marker=marker, ms=3.4, color=colour, ls="", zorder=5)
        base = geometry.first_value(geometry.pick(rows, space=space, scope=genes, axis=BASELINE, quantity="auroc"))
        ax.plot([base, base], [y - 0.36, y + 0.36], color=OKABE_ITO["vermillion"], lw=1.2, zorder=3)
        paper = geometry.pick(mine, quantity="auroc", null=PAPER)
        three = (labels, pseudo, paper.tail(1))
        texts.append([geometry.p_text(r["p"].iloc[0], r["p_floor"].iloc[0]) if len(r) else "–" for r in three])
    geometry.text_columns(ax, TEXTS, texts, 1.14, 0.40)
    names = [f"{geometry.space_name(s).split(',')[0]}, {geometry.scope_name(g)}" for s, g in entries]
    ax.axvline(0.5, color=GREY, lw=0.6, zorder=0)
    ax.set_ylim(max(len(entries), 1) - 0.5, -0.6)
    ax.set_yticks(np.arange(len(entries)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("AUROC, mean over blocks")


def _legend(figure: Figure, rows: pd.DataFrame, height: float) -> None:
    handles = [
        *geometry.space_keys(list(rows["space"])),
        Line2D([], [], color=OKABE_ITO["vermillion"], lw=1.0, ls="-.", label="co-expression r of the same pairs"),
        geometry.band_key("types permuted over the markers, mean to 95 %"),
        geometry.band_key("pseudo-panel of like genes, 95 % point", geometry.PAPER, outline=True),
    ]
    canvas.bottom_legend(figure, handles, 3, bottom=13.5 / height)


def _notes(rows: pd.DataFrame) -> list[str]:
    excess = []
    for row in geometry.pick(rows, quantity="excess_auroc", space="model").to_dict("records"):
        ends = f"[{geometry.number(row['ci_low'], 3)}, {geometry.number(row['ci_high'], 3)}]"
        excess.append(f"{geometry.scope_name(row['scope'])} {geometry.signed(row['value'], 3)} {ends}")
    said = f" Mean over blocks less co-expression, model: {'; '.join(excess)}." if excess else ""
    return [
        "Bars: 95 % interval, genes resampled. The paper's null takes pairs as independent (Mann-Whitney)." + said,
        geometry.permutations_text(rows[rows["null"].isin(LABELS)]),
    ]

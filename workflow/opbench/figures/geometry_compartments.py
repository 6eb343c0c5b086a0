"""Do the poles of the first axis hold a compartment's genes more often than genes of like expression?"""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import NullLocator

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.style import DOUBLE, GREY, INK, MM, OKABE_ITO

MATCHED, PAPER = "strata", "paper"
#: Terms that fit on a page; the source table holds all.
MOST = 24
#: Colours end here: an odds ratio of few genes can be any.
LARGEST = 8.0
ROW, HEAD, FOOT = 4.2, 12.0, 45.0  # mm
MARK = OKABE_ITO["vermillion"]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Maps of layers × terms on the first axis by space and scope, and the last layer with intervals (GEOMETRY)."""
    rows, why = geometry.analysis_rows(tables, scope, "compartments")
    ratios = rows[rows["quantity"] == "odds_ratio"]
    if ratios.empty:
        return canvas.note_figure(why or "No odds ratio of a compartment could be tested."), ratios
    axis = geometry.preferred(list(ratios["axis"]), "SV1")
    here = ratios[ratios["axis"] == axis]
    columns = _columns(here)
    terms = _terms(here)
    layers = geometry.layers_of(here)
    height = HEAD + ROW * max(len(terms), 4) + FOOT
    figure = Figure(figsize=(DOUBLE, height * MM))
    left, top, tall = 37.0, HEAD, ROW * max(len(terms), 4)
    wide = (DOUBLE / MM - left - 39) / max(len(columns), 2)
    for index, (space, genes) in enumerate(columns):
        ax = figure.add_axes(geometry.box(left + index * wide, top, wide - 4, tall, height))
        mine = geometry.pick(here, space=space, scope=genes)
        image = _map(ax, mine, terms, layers, index == 0)
        n = geometry.n_text(mine, "genes")
        ax.set_title(f"{geometry.space_name(space).split(',')[0].capitalize()}\n{geometry.scope_name(genes)}\n{n}")
    last = figure.add_axes(geometry.box(DOUBLE / MM - 36, top, 34, tall, height))
    _last_layer(last, here, columns, terms, layers[-1])
    _legend(figure, image, height, columns)
    geometry.foot_text(figure, _notes(rows, ratios, here, terms, axis))
    return figure, here


def _columns(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The model in the primary scope and with zero rows in, the random model in the primary one."""
    first = geometry.primary(rows)
    wanted = [("model", first), ("model", "all_rows"), ("random", first)]
    held = set(zip(rows["space"], rows["scope"], strict=True))
    found = [pair for pair in dict.fromkeys(wanted) if pair in held]
    return found or sorted(held)[:3]


def _terms(rows: pd.DataFrame) -> list[str]:
    """Terms by their smallest matched p in the model, then by odds ratio; as many as fit."""
    model = rows[(rows["space"] == "model") & (rows["scope"] == geometry.primary(rows))]
    model = model if len(model) else rows
    best = model.groupby("term").agg(p=("p_family", "min"), value=("value", "max"))
    return list(best.sort_values(["p", "value"], ascending=[True, False]).index[:MOST])


def _map(ax: Axes, rows: pd.DataFrame, terms: list[str], layers: list[float], labelled: bool) -> AxesImage:
    """Odds ratios by layer and term; dots tell the matched null's p, frames the paper's."""
    values = geometry.once(rows, "term").pivot_table(index="term", columns="layer", values="value")
    shown = values.reindex(index=terms, columns=layers).to_numpy(dtype=float)
    norm = LogNorm(1, LARGEST)
    image = ax.imshow(np.clip(shown, 1, LARGEST), aspect="auto", cmap="Blues", norm=norm)
    place = {"term": {t: i for i, t in enumerate(terms)}, "layer": {layer: i for i, layer in enumerate(layers)}}
    held = rows[rows["term"].isin(terms) & rows["layer"].isin(layers)]
    x, y = held["layer"].map(place["layer"]).to_numpy(), held["term"].map(place["term"]).to_numpy()
    matched, paper = (held["null"] == MATCHED).to_numpy(), (held["null"] == PAPER).to_numpy()
    single, family = (held["p"] <= geometry.LEVEL).to_numpy(), (held["p_family"] <= geometry.LEVEL).to_numpy()
    for chosen, face in ((matched & family, MARK), (matched & single & ~family, "white")):
        ax.scatter(x[chosen], y[chosen], s=9, facecolors=face, edgecolors=MARK, linewidths=0.8, zorder=4)
    for column, line in zip(x[paper & single], y[paper & single], strict=True):
        ax.add_patch(Rectangle((column - 0.44, line - 0.44), 0.88, 0.88, fill=False, ec=INK, lw=0.6, zorder=3))
    ax.set_yticks(range(len(terms)), [_short(term) for term in terms] if labelled else [""] * len(terms))
    geometry.layer_columns(ax, layers)
    ax.set_xlabel("layer")
    return image


def _short(term: str) -> str:
    return term if len(term) <= 24 else term[:23].rstrip() + "…"


def _last_layer(ax: Axes, rows: pd.DataFrame, columns: list[tuple[str, str]], terms: list[str], layer: float) -> None:
    """Odds ratios of the last layer with their intervals, a marker per space and scope."""
    offsets = np.linspace(-0.24, 0.24, len(columns)) if len(columns) > 1 else [0.0]
    for pair, offset in zip(columns, offsets, strict=True):
        (colour, marker, _), hollow = geometry.look(pair[0]), pair[1] == "all_rows"
        mine = geometry.once(geometry.pick(rows, space=pair[0], scope=pair[1], layer=layer), "term").set_index("term")
        for y, term in enumerate(terms):
            if term not in mine.index:
                continue
            row = mine.loc[term]
            ax.plot([row["ci_low"], row["ci_high"]], [y + offset] * 2, color=colour, lw=0.8, zorder=3)
            ax.plot(row["value"], y + offset, marker=marker, ms=3, color=colour, mfc="white" if hollow else colour,
                    mew=0.7, ls="", zorder=4)  # fmt: skip
    ax.axvline(1, color=GREY, lw=0.6, zorder=1)
    ax.set_xscale("log", base=2)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, 1 / 8), min(high, 32))
    ticks = [t for t in (0.25, 1, 4, 16) if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(len(terms) - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("odds ratio")
    ax.set_title(f"Layer {geometry.layer_name(layer)}\n95 % interval over genes")


def _legend(figure: Figure, image: AxesImage, height: float, columns: list[tuple[str, str]]) -> None:
    bar = figure.add_axes((4 / 183, 25.5 / height, 28 / 183, 2.2 / height))
    figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[1, 2, 4, 8])
    bar.set_xticks([1, 2, 4, 8], ["≤ 1", "2", "4", "≥ 8"])
    bar.xaxis.set_minor_locator(NullLocator())
    bar.set_title("odds ratio, better pole", pad=2)
    handles = [
        canvas.key("o", "matched null, max-T p ≤ 0.05", colour=MARK, size=3.4),
        Line2D([], [], ls="", marker="o", ms=3.4, mfc="white", mec=MARK, label="matched null, this cell's p ≤ 0.05"),
        Patch(facecolor="none", edgecolor=INK, lw=0.6, label="the paper's null, p ≤ 0.05"),
    ]
    for space, genes in columns:
        (colour, marker, _), hollow = geometry.look(space), genes == "all_rows"
        name = f"{geometry.space_name(space).split(',')[0]}, {geometry.scope_name(genes)}"
        handles.append(canvas.key(marker, name, not hollow, colour, 3.4))
    figure.legend(handles=handles, loc="lower right", ncols=2, bbox_to_anchor=(0.99, 20.5 / height))


def _notes(rows: pd.DataFrame, ratios: pd.DataFrame, here: pd.DataFrame, terms: list[str], axis: str) -> list[str]:
    genes = geometry.primary(ratios)
    matched = ratios[(ratios["null"] == MATCHED) & (ratios["space"] == "model") & (ratios["scope"] == genes)]
    passed, others = int((matched["p_family"] <= geometry.LEVEL).sum()), len(matched)
    lines = [
        f"{axis}. Matched null: labels permuted within strata of token count, detection, expression and annotation, "
        f"the better of two poles against the better of two. The paper's: permuted over all genes, against one pole. "
        f"{geometry.permutations_text(matched)}",
        f"All axes, model: {passed:,} of {others:,} cells of layer, axis and term pass max-T in the scope "
        f"'{geometry.scope_name(genes)}'.",
    ]
    if (count := here["term"].nunique()) > len(terms):
        lines.append(f"The {len(terms)} of {count} terms with the smallest matched p are drawn.")
    order = geometry.pick(rows, quantity="peaks_in_order", space="model", scope=genes)
    if len(order):
        row = order.iloc[0]
        said = textwrap.shorten(row["term"], 70, placeholder="…")
        lines.append(f"Peaks in the order {said}: Spearman {geometry.signed(row['value'])}, matched p "
                     f"{geometry.p_text(row['p'], row['p_floor'])}.")  # fmt: skip
    return lines

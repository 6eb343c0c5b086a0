"""What figures of the geometry share: rows of an analysis, names of spaces and scopes, layer axes, curves and nulls."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures.chain import reasons, scored
from opbench.figures.style import DOUBLE, INK, MM, OKABE_ITO, number
from opbench.figures.values import of_scope

#: Space -> printed name, colour, marker and line, in the order of legends.
SPACES = {
    "model": ("model", OKABE_ITO["blue"], "o", "-"),
    "random": ("random model, same shape", OKABE_ITO["orange"], "s", "--"),
    "coexpression": ("co-expression SVD", OKABE_ITO["green"], "^", ":"),
}
#: Scope -> printed name; the first that a table has is the one drawn where there is room for one.
SCOPES = {
    "nonzero": "tokenised genes",
    "all_rows": "all rows, zero rows in",
    "named_nonzero": "tokenised and named",
}
#: Level of a p that a figure marks.
LEVEL = 0.05
NULL, PAPER = "#BFBFBF", OKABE_ITO["purple"]
PAGE = 134  # letters of a line of the smallest type on a page


def analysis_rows(tables: dict[str, pd.DataFrame], scope: str, *analyses: str) -> tuple[pd.DataFrame, str]:
    """Scored rows of `analyses` in run `scope` (GEOMETRY), or none and the sentence that says why."""
    rows = of_scope(tables["geometry"], "run", scope, "geometry") if len(tables["geometry"]) else tables["geometry"]
    rows = rows[rows["analysis"].isin(analyses)]
    name = " and ".join(analyses).replace("_", " ")
    if rows.empty:
        return rows, f"The analysis {name} did not run in {scope}, or wrote no row."
    found = scored(rows)
    return found, "" if len(found) else f"Nothing of the analysis {name} could be tested in {scope}. {reasons(rows)}"


def ordered(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Names in the order of `known`, others by name after them."""
    place = list(known)
    return sorted(set(names), key=lambda name: (place.index(name) if name in place else len(place), name))


def primary(rows: pd.DataFrame) -> str:
    """The scope that is drawn where there is room for one."""
    return ordered(list(rows["scope"]), list(SCOPES))[0]


def primary_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """Each quantity in the primary scope of its own: what holds all pairs of genes is made for small scopes alone."""
    if rows.empty:
        return rows
    kept = [part[part["scope"] == primary(part)] for _, part in rows.groupby(["analysis", "quantity"], sort=False)]
    return pd.concat(kept).sort_index()


def preferred(names: Sequence[str], *wanted: str) -> str:
    """The first of `wanted` that is there, else the first by name; empty where there is none."""
    return next((name for name in wanted if name in set(names)), min(names, default=""))


def space_name(space: str) -> str:
    """The printed name of a space."""
    return SPACES[space][0] if space in SPACES else space.replace("_", " ")


def scope_name(scope: str) -> str:
    """The printed name of a scope."""
    return SCOPES.get(scope, scope.replace("_", " "))


def look(space: str) -> tuple[str, str, str]:
    """Colour, marker and line of a space."""
    return SPACES[space][1:] if space in SPACES else (INK, "x", "-.")


def pick(rows: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Rows with these values, by layer."""
    for name, value in where.items():
        rows = rows[rows[name].isin(value) if isinstance(value, (list, tuple, set)) else rows[name] == value]
    return rows.sort_values("layer", kind="stable")


def once(rows: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """One row per key of a quantity that stands once under each null; rows with an interval first."""
    order = rows.assign(_bare=rows["ci_low"].isna()).sort_values("_bare", kind="stable")
    return order.drop_duplicates([*keys, "layer"]).drop(columns="_bare").sort_values("layer", kind="stable")


def layers_of(rows: pd.DataFrame) -> list[float]:
    """Layers with rows of the models, from the input on; co-expression has but one, which is no layer of a model."""
    models = rows[(rows["space"] != "coexpression") & rows["layer"].notna()]
    return sorted(set((models if len(models) else rows[rows["layer"].notna()])["layer"]))


def layer_name(layer: float) -> str:
    """A layer in print; what enters the first block is `in`."""
    return "in" if layer < 0 else f"{layer:.0f}"


def layer_axis(ax: Axes, layers: Sequence[float], label: bool = True) -> None:
    """Layers on x, a tick at each or at every third."""
    step = 1 if len(layers) <= 5 else 3
    shown = [layer for layer in layers if layer < 0 or (layer - max(layers[0], 0)) % step == 0]
    ax.set_xticks(shown, [layer_name(layer) for layer in shown])
    ax.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    ax.set_xlabel("layer" if label else "")


def layer_columns(ax: Axes, layers: Sequence[float]) -> None:
    """The same ticks where layers are the columns of an image; no frame."""
    step = 1 if len(layers) <= 5 else 3
    ticks = [i for i, layer in enumerate(layers) if layer < 0 or (layer - max(layers[0], 0)) % step == 0]
    ax.set_xticks(ticks, [layer_name(layers[i]) for i in ticks])
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)


def box(x: float, top: float, wide: float, tall: float, height: float) -> tuple[float, float, float, float]:
    """A rectangle in mm from the upper left corner of a page `height` mm high, as shares of the figure."""
    return x * MM / DOUBLE, 1 - (top + tall) / height, wide * MM / DOUBLE, tall / height


def curve(ax: Axes, rows: pd.DataFrame, colour: str, marker: str, line: str, hollow: bool = False) -> None:
    """A quantity over layers with its intervals; one layer alone is a level, its interval at the margin."""
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return
    x, y = rows["layer"].to_numpy(), rows["value"].to_numpy()
    if len(rows) == 1:
        ax.axhline(y[0], color=colour, ls=line, lw=1.0, zorder=4)
        if rows["ci_low"].notna().all():
            x = ax.get_xlim()[1] - 0.15  # at the margin, since a second band would hide the null's
            ax.plot([x, x], [rows["ci_low"].iloc[0], rows["ci_high"].iloc[0]], color=colour, lw=1.4, zorder=6)
        return
    ax.vlines(x, rows["ci_low"], rows["ci_high"], color=colour, lw=0.7, zorder=4)
    face = "white" if hollow else colour
    ax.plot(x, y, color=colour, marker=marker, ms=2.8, mfc=face, mec=colour, mew=0.5, ls=line, lw=0.9, zorder=5)


def null_limits(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """What 95 % of a null's draws do not pass: mean to 95 % point, or mean ± 1.96 standard deviations of two sides."""
    spread = 1.96 * rows["null_sd"]
    two, less = rows["side"] == "two-sided", rows["side"] == "less"
    low = rows["null_mean"] - spread.where(two, (1.645 * rows["null_sd"]).where(less, 0.0))
    high = (rows["null_mean"] + spread).where(two, rows["null_q95"].where(~less, rows["null_mean"]))
    return low, high


def null_band(ax: Axes, rows: pd.DataFrame, colour: str = NULL, outline: bool = False) -> None:
    """A null over layers as a band, or as a dotted outline where two of them lie in one panel."""
    rows = rows[rows["null_mean"].notna()]
    if rows.empty:
        return
    low, high = (part.to_numpy() for part in null_limits(rows))
    x = rows["layer"].to_numpy()
    if len(rows) == 1:
        x, low, high = np.array(ax.get_xlim()), np.repeat(low, 2), np.repeat(high, 2)
    if outline:
        ax.plot(x, high, color=colour, lw=0.9, ls=(0, (1, 1)), zorder=3)
        if (rows["side"] != "greater").any():
            ax.plot(x, low, color=colour, lw=0.9, ls=(0, (1, 1)), zorder=3)
        return
    ax.fill_between(x, low, high, color=colour, alpha=0.55, lw=0, zorder=1)


def band_key(label: str, colour: str = NULL, outline: bool = False) -> Line2D | Patch:
    """The legend entry of a null."""
    if outline:
        return Line2D([], [], color=colour, lw=0.9, ls=(0, (1, 1)), label=label)
    return Patch(facecolor=colour, alpha=0.55, label=label)


def space_keys(spaces: Sequence[str]) -> list[Line2D]:
    """Legend entries of spaces."""
    out = []
    for space in ordered(list(spaces), list(SPACES)):
        colour, marker, line = look(space)
        shown = "" if space == "coexpression" else marker
        out.append(Line2D([], [], color=colour, marker=shown, ms=2.8, ls=line, lw=1.0, label=space_name(space)))
    return out


def p_text(p: float, floor: float = np.nan) -> str:
    """A p with two digits; `≤` where it is the smallest that the permutations can give."""
    if p != p:
        return "–"
    text = f"{p:.2g}" if p >= 1e-3 else f"{p:.0e}".replace("e-0", "e-")
    return ("≤ " if floor == floor and p <= floor * (1 + 1e-9) else "") + text.replace("-", "−")


def first_value(rows: pd.DataFrame, column: str = "value") -> float:
    """The number of the first row, NaN where there is none."""
    return float(rows[column].iloc[0]) if len(rows) else float("nan")


def n_text(rows: pd.DataFrame, noun: str) -> str:
    """The n of rows: one number, or from the least to the most."""
    counts = rows.loc[rows["n"] > 0, "n"]
    if counts.empty:
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low:,} {noun}" if low == high else f"n = {low:,} to {high:,} {noun}"


def permutations_text(rows: pd.DataFrame) -> str:
    """How many permutations there were, and the smallest p that they give."""
    drawn = rows[rows["permutations"] > 0]
    if drawn.empty:
        return ""
    counts = sorted(set(drawn["permutations"]))
    said = f"{counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "")
    return f"{said} permutations, smallest p {p_text(drawn['p_floor'].min())}."


def page(
    rows: int, columns: int, width: float, height: float, foot: float, head: float = 0, **grid: object
) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels, with `foot` and `head` mm left free; `width` in inches, `height` in mm."""
    figure = Figure(figsize=(width, height * MM), layout="constrained")
    figure.get_layout_engine().set(
        rect=(0, foot / height, 1, 1 - (foot + head) / height), w_pad=0.03, h_pad=0.03, wspace=0.02
    )
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def ticks_in_view(figure: Figure) -> None:
    """Keep the ticks of y that lie inside their axes: labels of others would count as texts beyond the page."""
    for ax in figure.axes:
        low, high = ax.get_ylim()
        if ax.get_visible() and ax.axison and low < high and not ax.images:
            ax.set_yticks([tick for tick in ax.get_yticks() if low <= tick <= high])
            ax.set_ylim(low, high)


def forest_axes(figure: Figure, foot: float, rows: int, line: float, left: float, wide: float) -> Axes:
    """Axes of `rows` lines above `foot` mm (and 10 of labels), from `left` mm, `wide` mm, texts at its right."""
    width, height = (size / MM for size in figure.get_size_inches())
    return figure.add_axes((left / width, (foot + 10) / height, wide / width, rows * line / height))


def text_columns(ax: Axes, heads: Sequence[str], lines: Sequence[Sequence[str]], first: float, step: float) -> None:
    """Columns of texts at the right of a forest, `first` and `step` in widths of its axes."""
    for y, texts in enumerate([heads, *lines], -1):
        for column, text in enumerate(texts):
            x = first + step * column
            ax.text(x, y + (0.05 if y < 0 else 0), text, transform=ax.get_yaxis_transform(), ha="center", va="center")


def foot_text(figure: Figure, lines: Sequence[str], letters: int = PAGE) -> None:
    """Footnotes at the bottom of a page, wrapped."""
    text = "\n".join(textwrap.fill(line, letters) for line in lines if line)
    height = figure.get_size_inches()[1] / MM
    figure.text(0.01, 1 / height, text, va="bottom", ha="left", linespacing=1.25, color="#444444")


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign."""
    return ("+" if value > 0 else "") + number(value, digits)

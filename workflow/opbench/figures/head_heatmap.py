"""Residualised correlation of every single head, and the best head among the maxima of as many random matrices."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from opbench.figures import canvas
from opbench.figures.arms import FIXED, RANDOM, REAL, arm_colour, arm_name, controls_of, is_random
from opbench.figures.chain import missing, part_name, part_order, per_draw, scored
from opbench.figures.style import DOUBLE, GREY, INK, MM, OKABE_ITO, number

BEST, QUANTITY = "best", "residualised"
MOST_CELL, HEAD, FOOT, LEFT, BAR, STRIP, GAP, ROW = 9.0, 17.0, 22.0, 11.0, 17.0, 60.0, 22.0, 7.0  # mm
#: Dots of a row lie below its name.
LOWER = 0.2


def _setting(found: pd.DataFrame) -> tuple[int, str]:
    """Width and budget with most real rows, ties to the widest."""
    counts = found[found["arm"] == "real"].groupby(["width", "budget"]).size()
    width, budget = max(counts.index, key=lambda pair: (counts[pair], pair))
    return int(width), str(budget)


def _heads(found: pd.DataFrame) -> pd.DataFrame:
    """Real heads: mean over head seeds with their range, and their place by that mean (1: largest)."""
    real = found[(found["arm"] == "real") & (found["head"] != BEST)]
    groups = real.groupby(["part", "head", "layer", "index"])
    out = groups.agg(
        value=(QUANTITY, "mean"), low=(QUANTITY, "min"), high=(QUANTITY, "max"), rank=("rank", "mean"),
        chosen=("chosen", "any"), seeds=("draw", "nunique"), n=("n", "max"), key=("key", "first"),
    ).reset_index()  # fmt: skip
    place = out.groupby(["part", "key"])["rank"].rank(method="first")
    return out.assign(place=place.astype(int))


def _heatmap(ax: Axes, heads: pd.DataFrame, norm: tuple[float, float]) -> None:
    """Layers down, heads across; the number in a cell is its place by the scan's key, the frame the chosen head."""
    layers, indexes = sorted(set(heads["layer"])), sorted(set(heads["index"]))
    grid = heads.pivot(index="layer", columns="index", values="value").reindex(index=layers, columns=indexes)
    shades = colormaps["viridis"]
    ax.imshow(np.ma.masked_invalid(grid), cmap=shades, vmin=norm[0], vmax=norm[1], aspect="equal")
    for row in heads.itertuples():
        x, y = indexes.index(row.index), layers.index(row.layer)
        share = (row.value - norm[0]) / max(norm[1] - norm[0], 1e-12)
        ax.text(x, y, str(row.place), ha="center", va="center", color=INK if share > 0.6 else "white",
                fontweight="bold" if row.place <= 5 else "normal")  # fmt: skip
        if row.chosen:
            ax.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, ec=OKABE_ITO["vermillion"], lw=1.8))
    ax.set_xticks(range(len(indexes)), [str(i) for i in indexes])
    ax.set_yticks(range(len(layers)), [str(i) for i in layers])
    ax.tick_params(length=0)
    ax.set_xlabel("head", labelpad=2)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _maxima(ax: Axes, heads: pd.DataFrame, best: pd.DataFrame, names: dict[str, str]) -> None:
    """All real heads as ticks, the best of them as a line with the range of its seeds, and each draw's maximum."""
    rows = ["Single heads of the real operator", *names.values()]
    canvas.method_axis(ax, rows, [False] * len(rows), labelled=False)
    single = np.full(len(heads), LOWER)
    ax.plot(heads["value"], single, ls="", marker="|", ms=5.5, mew=0.7, color=REAL, alpha=0.7, zorder=3)
    real = best.loc[best["arm"] == "real", QUANTITY]
    if len(real):
        ax.axvline(real.mean(), color=REAL, lw=1.3, zorder=4)
        ax.axvspan(real.min(), real.max(), color=REAL, alpha=0.18, lw=0, zorder=1)
    for y, arm in enumerate(names, 1):
        values = best.loc[best["arm"] == arm, QUANTITY].to_numpy()
        if not len(values):
            canvas.no_value(ax, y + LOWER, "no value")
            continue
        colour = arm_colour(arm)
        jitter = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot([values.min(), values.max()], [y + LOWER] * 2, color=colour, lw=0.9, zorder=3)
        ax.scatter(values, y + LOWER + jitter, s=9, color=colour, lw=0, zorder=5)
        ax.plot([values.mean()] * 2, [y + LOWER - 0.24, y + LOWER + 0.24], color=INK, lw=1.0, zorder=6)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=2))
    for y, name in enumerate(rows):
        below = _below(best, list(names)[y - 1]) if y else ""
        ax.text(0.01, y - 0.47, name + below, transform=ax.get_yaxis_transform(), va="top", ha="left", zorder=7,
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.3})  # fmt: skip


def _below(best: pd.DataFrame, arm: str) -> str:
    """How many draws (or seeds) of an arm lie below the best real head, on one part."""
    real, values = best.loc[best["arm"] == "real", QUANTITY], best.loc[best["arm"] == arm, QUANTITY]
    if real.empty or values.empty:
        return ""
    return f": {(values < real.mean()).sum()} of {len(values)} {'draws' if is_random(arm) else 'seeds'} below"


def _names(found: pd.DataFrame, arms: list[str]) -> dict[str, str]:
    """Names of control arms; an arm with one matrix for all heads has no largest of many."""
    single = found[found["head"] != BEST]
    many = single.groupby(["arm", "part", "draw"])["head"].nunique().groupby("arm").max()
    return {arm: arm_name(arm) + (" (one matrix)" if many.get(arm, 2) == 1 else "") for arm in arms}


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Head scan of panel `scope` (HEADS): a heatmap per part, and beneath it the maxima of the control arms."""
    rows = tables["heads"][tables["heads"]["panel"] == scope]
    found = scored(rows, QUANTITY)
    if ((found["arm"] == "real") & (found["head"] != BEST)).sum() == 0:
        return canvas.note_figure(missing("Head scan", scope, rows)), rows.iloc[:0]
    width, budget = _setting(found)
    found = found[(found["width"] == width) & (found["budget"] == budget)]
    heads = _heads(found)
    best = per_draw(found[found["head"] == BEST], ["part"], QUANTITY)
    parts, arms = part_order(list(heads["part"])), controls_of(best)
    norm = float(heads["value"].min()), float(heads["value"].max())
    layers, indexes = heads["layer"].nunique(), heads["index"].nunique()
    room = (DOUBLE / MM - LEFT - BAR - GAP * (len(parts) - 1)) / len(parts)
    cell = min(MOST_CELL, max(room / indexes, 3.0), 110 / layers)
    strip = ROW * (len(arms) + 1)
    side = max(cell * indexes, min(room, STRIP))
    page = LEFT + side * len(parts) + GAP * (len(parts) - 1) + BAR, HEAD + cell * layers + 14 + strip + 12 + FOOT
    figure = Figure(figsize=(page[0] * MM, page[1] * MM))
    strips = []
    for place, part in enumerate(parts):
        left = LEFT + (side + GAP) * place
        mine, bests = heads[heads["part"] == part], best[best["part"] == part]
        ax = figure.add_axes(_box(page, left, HEAD, cell * indexes, cell * layers))
        _heatmap(ax, mine, norm)
        ax.set_title(f"{part_name(part)}\nn = {mine['n'].max()} anchors")
        if place == 0:
            ax.set_ylabel("layer", labelpad=3)
        box = _box(page, left, HEAD + cell * layers + 14, side, strip)
        strips.append(figure.add_axes(box, sharex=strips[0] if strips else None))
        _maxima(strips[-1], mine, bests, _names(found, arms))
        real = bests.loc[bests["arm"] == "real", QUANTITY].mean()
        strips[-1].set_xlabel(f"residualised correlation\nbest head {number(real, 3)}", labelpad=2)
    bar = figure.add_axes(_box(page, page[0] - BAR + 3, HEAD, 2.5, min(cell * layers, 40)))
    _bar(figure, bar, norm)
    _words(figure, heads, best, (width, budget, scope), page)
    table = pd.concat([heads.assign(arm="real"), best.assign(head=BEST).rename(columns={QUANTITY: "value"})])
    return figure, table.assign(panel=scope, width=width, budget=budget).reset_index(drop=True)


def _box(page: tuple[float, float], left: float, top: float, width: float, height: float) -> tuple:
    """A box in shares of the page from millimetres, counted from the upper left corner."""
    return left / page[0], 1 - (top + height) / page[1], width / page[0], height / page[1]


def _bar(figure: Figure, ax: Axes, norm: tuple[float, float]) -> None:
    figure.colorbar(ScalarMappable(Normalize(*norm), colormaps["viridis"]), cax=ax)
    ax.yaxis.set_major_locator(MaxNLocator(4))


def _words(figure: Figure, heads: pd.DataFrame, best: pd.DataFrame, setting: tuple[int, str, str], page: tuple) -> None:
    """Title, legend and what the numbers in the cells are."""
    (width, budget, scope), seeds = setting, int(heads["seeds"].max())
    key = heads["key"].iloc[0].replace(QUANTITY, "residualised correlation")
    title = (
        f"Single heads on panel {scope}: residualised correlation, width {width}, {budget} budget\n"
        f"mean of {seeds} head seed{'s' * (seeds != 1)}; in a cell its place by {key}, the first five bold"
    )
    figure.text(1 / page[0], 1 - 1.5 / page[1], title, va="top", linespacing=1.3)
    handles = [
        Patch(facecolor="white", edgecolor=OKABE_ITO["vermillion"], lw=1.8, label="chosen for compaction"),
        Line2D([], [], ls="", marker="|", ms=7, color=REAL, label="one head"),
        Line2D([], [], color=REAL, lw=1.3, label="best real head; band: its seeds; below: less than it"),
    ]
    kinds = {is_random(arm) for arm in controls_of(best)}
    if True in kinds:
        handles.append(canvas.key("o", "one draw: the largest of as many matrices", colour=RANDOM, size=3.4))
    if False in kinds:
        handles.append(canvas.key("o", "one head seed of a fixed arm: its largest", colour=FIXED, size=3.4))
    handles.append(Line2D([], [], ls="", marker="|", ms=6, color=INK, label="mean of an arm"))
    if not kinds:
        handles.append(canvas.key("x", "no control was scanned", colour=GREY))
    canvas.bottom_legend(figure, handles, 2)

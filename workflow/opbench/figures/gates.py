"""Gates by part with their thresholds, the null branch among them, beside every draw of the control arms."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from opbench.figures import canvas
from opbench.figures.arms import FIXED, RANDOM, REAL, arm_colour, arm_name, controls_of
from opbench.figures.chain import GATES, head_name, missing, part_name, part_order, preferred_head, reasons, scored
from opbench.figures.style import DOUBLE, GREY, INK, MM

#: Gates that are drawn hollow in the row of the gate that they belong to, by the end of their names.
VARIANTS = {"between": ("o", "pairs of different cell types alone"), "weighted": ("s", "weighted by anchors")}
PLAIN = "plain"
#: Dots that still show one by one.
MANY = 60
#: Gates without a row of their own: the permutation's null and p are shown with the correlation that it permutes, and
#: the reference of trustworthiness is that gate's own null.
PERMUTATION, CORRELATION = "blocked_permutation", "correlation"
TRUST, MARGIN = "trustworthiness", "trust_margin"
WITHIN = (PERMUTATION, "trust_reference", MARGIN)
#: Parts with another ruler, which should fail.
NULL_PARTS = ("null_branch", "null_labels")
#: Parts that are no part of the figure: they hold other quantities.
OTHER_PARTS = ("dimension",)
#: Least and greatest height of a row, what a panel needs besides, and all panels together, in mm.
ROW, WIDE_ROW, EDGE, TALLEST = 2.4, 3.2, 8.6, 196.0


def _setting(rows: pd.DataFrame) -> tuple[str, int, str]:
    """Head, width and budget of the figure: the preferred head, then what most real rows have, the widest, plateau."""
    head = preferred_head(list(rows["head"]))
    counts = rows[(rows["head"] == head) & (rows["arm"] == "real")].groupby(["width", "budget"]).size()
    width, budget = max(counts.index, key=lambda pair: (counts[pair], pair))
    return head, int(width), str(budget)


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per part, gate, its variant, arm and draw."""
    found = rows["gate"].str.extract(f"^(?P<gate>.*?)(?:_(?P<variant>{'|'.join(VARIANTS)}))?$")
    rows = rows.assign(gate=found["gate"], variant=found["variant"].fillna(PLAIN))
    columns = {name: (name, "mean") for name in ("value", "p", "p_floor", "null_mean", "null_q95", "threshold")}
    columns |= {"passed": ("passed", "mean"), "n": ("n", "max")}
    points = rows.groupby(["part", "gate", "variant", "arm", "draw"]).agg(**columns).reset_index()
    keys, null = ["part", "arm", "draw"], ["null_mean", "null_q95"]
    permuted = points[points["gate"] == PERMUTATION].set_index(keys)[null]
    mine = (points["gate"] == CORRELATION) & (points["variant"] == PLAIN)
    found = permuted.reindex(pd.MultiIndex.from_frame(points.loc[mine, keys]))
    points.loc[mine, null] = points.loc[mine, null].fillna(pd.DataFrame(found.to_numpy(), points.index[mine], null))
    return points


def _gates(points: pd.DataFrame, most: int) -> list[str]:
    """Gates that fit, known ones first."""
    known = list(GATES)
    names = set(points.loc[points["variant"] == PLAIN, "gate"]) - set(WITHIN)
    return sorted(names, key=lambda g: (known.index(g) if g in known else len(known), g))[:most]


def _bars(ax: Axes, points: pd.DataFrame, other: pd.Series, parts: list[str]) -> None:
    """The real operator: a bar per part (its mean over head seeds), seeds as dots, own null and threshold."""
    ax.axvline(0, color=INK, lw=0.6, zorder=2)
    for level in sorted(set(points["threshold"].dropna())):
        ax.axvline(level, color=INK, lw=0.8, ls="--", zorder=6)
    for y, part in enumerate(parts):
        mine = points[points["part"] == part]
        plain = mine[mine["variant"] == PLAIN]
        if plain.empty:
            canvas.no_value(ax, y, "not testable")
            continue
        gated = plain["threshold"].notna().any()
        failed = gated and plain["passed"].mean() < 0.5
        colour = GREY if part in NULL_PARTS else REAL
        face = "white" if failed else colour
        ax.barh(y, plain["value"].mean(), height=0.72, facecolor=face, edgecolor=colour, alpha=1 if failed else 0.45,
                hatch="////" if failed else None, lw=0.7, zorder=1)  # fmt: skip
        jitter = np.linspace(-0.2, 0.2, len(plain)) if len(plain) > 1 else np.zeros(1)
        ax.scatter(plain["value"], y + jitter, s=6, color=INK if part in NULL_PARTS else REAL, lw=0, zorder=4)
        low, high = plain[["null_mean", "null_q95"]].mean()
        if high == high:
            ax.plot([low, high], [y, y], color=INK, lw=0.9, zorder=5)
            ax.plot([high], [y], marker="|", ms=6, mew=1.0, color=INK, zorder=5)
        _variants(ax, mine, y)
        ax.text(
            1.02, y, f"n = {plain['n'].max():.0f}", transform=ax.get_yaxis_transform(), va="center", color="#555555"
        )
        if part in other.index:
            ax.plot([other[part]], [y], marker="d", ms=3.6, mfc="white", mec=INK, mew=0.6, ls="", zorder=7)


def _variants(ax: Axes, rows: pd.DataFrame, y: int) -> None:
    """Means of the hollow gates of one arm and part."""
    for variant, (marker, _) in VARIANTS.items():
        values = rows.loc[rows["variant"] == variant, "value"]
        if len(values):
            ax.plot([values.mean()], [y], marker=marker, ms=3.6, mfc="white", mec=INK, mew=0.6, ls="", zorder=7)


def _strip(ax: Axes, points: pd.DataFrame, arms: list[str]) -> None:
    """One part: every draw of the control arms with their range, the real operator's mean and range of seeds behind."""
    real = points.loc[(points["arm"] == "real") & (points["variant"] == PLAIN), "value"]
    if len(real):
        ax.axvspan(real.min(), real.max(), color=REAL, alpha=0.18, lw=0, zorder=1)
        ax.axvline(real.mean(), color=REAL, lw=1.2, zorder=2)
    for level in sorted(set(points["threshold"].dropna())):
        ax.axvline(level, color=INK, lw=0.8, ls="--", zorder=2)
    for y, arm in enumerate(arms):
        mine = points[points["arm"] == arm]
        plain = mine.loc[mine["variant"] == PLAIN, "value"].to_numpy()
        if not len(plain):
            canvas.no_value(ax, y, "no value")
            continue
        colour = arm_colour(arm)
        jitter = np.linspace(-0.25, 0.25, len(plain)) if len(plain) > 1 else np.zeros(1)
        ax.plot([plain.min(), plain.max()], [y, y], color=colour, lw=0.8, zorder=3)
        ax.scatter(plain, y + jitter, s=5, color=colour, lw=0, alpha=0.9 if len(plain) < MANY else 0.3, zorder=4)
        ax.plot([plain.mean()] * 2, [y - 0.36, y + 0.36], color=INK, lw=0.9, zorder=5)
        _variants(ax, mine, y)


def _rows_of(ax: Axes, names: list[str], labelled: bool) -> None:
    canvas.method_axis(ax, names, [False] * len(names), labelled)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], min_n_ticks=2))


def _permuted(points: pd.DataFrame) -> str:
    """The largest p of the blocked permutation over the real operator's seeds by part, with the smallest reachable."""
    rows = points[(points["arm"] == "real") & (points["gate"] == PERMUTATION) & points["p"].notna()]
    rows = rows[~rows["part"].isin(NULL_PARTS)]
    if rows.empty:
        return ""
    worst = rows.groupby("part")["p"].max()
    texts = [f"{part_name(part).lower()} {worst[part]:.2g}" for part in part_order(list(worst.index))]
    limit, floor = rows["threshold"].max(), rows["p_floor"].max()
    wanted = f" (threshold {limit:.2g}, smallest reachable {floor:.2g})"
    return f"Permutation{wanted}, largest p of the seeds: {', '.join(texts)}."


def _ruled(points: pd.DataFrame) -> str:
    """The largest p of the real internal gates over head seeds against the rulers of the null branch."""
    mine = (points["arm"] == "real") & (points["part"] == "internal") & (points["variant"] == PLAIN)
    rows = points[mine & (points["gate"] != PERMUTATION) & points["p"].notna()]
    if rows.empty:
        return ""
    worst = rows.groupby("gate")["p"].max()
    texts = [f"{gate} {worst[gate]:.2g}" for gate in GATES if gate in worst.index]
    return f"Null branch (smallest reachable {rows['p_floor'].max():.2g}), internal: {', '.join(texts)}."


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Gates of panel `scope` (GATES): a row per gate; bars of the real operator by part, then a strip per part."""
    rows = tables["gates"]
    rows = rows[(rows["panel"] == scope) & ~rows["part"].isin(OTHER_PARTS)]
    found = scored(rows)
    if (found["arm"] == "real").sum() == 0:
        return canvas.note_figure(missing("Gates", scope, rows)), rows.iloc[:0]
    head, width, budget = _setting(found)
    mine = found[(found["head"] == head) & (found["width"] == width)]
    points = _points(mine[mine["budget"] == budget])
    second = _points(mine[(mine["budget"] != budget) & (mine["arm"] == "real")])
    second = second[second["variant"] == PLAIN].groupby(["gate", "part"])["value"].mean()
    parts, arms = part_order(list(rows["part"])), controls_of(points)
    strips = [part for part in parts if points.loc[points["part"] == part, "arm"].nunique() > 1]
    most = max(len(parts), len(arms))
    gates = _gates(points, int(TALLEST // (most * ROW + EDGE)))
    tall = min(most * WIDE_ROW + EDGE, TALLEST / len(gates))
    figure, grid = _layout(len(gates), len(strips), tall)
    names = [part_name(part) for part in parts]
    for line, gate in zip(grid, gates, strict=True):
        here = points[points["gate"] == gate]
        _rows_of(line[0], names, True)
        _bars(line[0], here[here["arm"] == "real"], second.get(gate, pd.Series(dtype=float)), parts)
        line[0].set_title(GATES.get(gate, gate.replace("_", " ").capitalize()))
        for index, (ax, part) in enumerate(zip(line[1:], strips, strict=True)):
            _rows_of(ax, [arm_name(arm) for arm in arms], index == 0)
            compared = points[points["gate"] == MARGIN] if gate == TRUST and _has_margin(points) else here
            _strip(ax, compared[compared["part"] == part], arms)
            ax.set_title(part_name(part) if gate == gates[0] else "")
    page = figure.get_size_inches()[1] / MM
    title = f"{head_name(head)}, width {width}, {budget} budget, panel {scope}"
    figure.text(0.01, 1 - 1.5 / page, title, va="top", size=8)
    left_out = [GATES.get(gate, gate.replace("_", " ")).lower() for gate in _gates(points, len(points))[len(gates) :]]
    more = f"Not drawn, but in the table: {'; '.join(left_out)}. " if left_out else ""
    _words(figure, mine, points, budget, more + reasons(rows[rows["arm"] == "real"]))
    return figure, points.assign(panel=scope, head=head, width=width, budget=budget)


def _has_margin(points: pd.DataFrame) -> bool:
    """Whether arms are compared by trustworthiness above their own null, since spreads of features differ by arm."""
    return bool((points["gate"] == MARGIN).any())


def _layout(gates: int, strips: int, tall: float) -> tuple[Figure, np.ndarray]:
    foot, height = 43.0, gates * tall + 8
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(
        rect=(0, foot / (height + foot), 1, (height - 6) / (height + foot)), w_pad=0.03, h_pad=0.01
    )
    ratios = [1.25, *[1.0] * strips]
    grid = figure.subplots(gates, 1 + strips, squeeze=False, width_ratios=ratios)
    for line in grid:
        for ax in line[2:]:
            ax.sharex(line[1])
    return figure, grid


def _words(figure: Figure, mine: pd.DataFrame, points: pd.DataFrame, budget: str, why: str) -> None:
    """Legend and footnotes; what a frozen head does not hold out is said here, since its gates are named as if."""
    others = sorted(set(mine["budget"]) - {budget})
    handles = [
        Patch(facecolor=REAL, alpha=0.45, label="real operator, mean over head seeds (dots)"),
        Patch(facecolor=GREY, alpha=0.45, label="the same, another ruler per dot"),
        Patch(facecolor="white", edgecolor=REAL, hatch="////", label="hatched: most seeds miss the threshold"),
        Line2D([], [], color=INK, lw=0.8, ls="--", label="threshold"),
        Line2D([], [], color=INK, lw=0.9, marker="|", ms=6, label="the gate's own null: mean to 95 % point"),
        canvas.key("o", "one draw of a random arm; line: range", colour=RANDOM, size=3),
        canvas.key("o", "one head seed of a fixed arm; line: range", colour=FIXED, size=3),
        Line2D([], [], color=REAL, lw=1.2, label="real operator, mean; band: its seeds"),
        Line2D([], [], color=INK, marker="|", ms=6, ls="", label="mean of an arm"),
    ]
    handles += [canvas.key(marker, text, fill=False) for marker, text in VARIANTS.values()]
    handles += [canvas.key("d", f"{' and '.join(others)} budget", fill=False, size=3.6)] if others else []
    height = figure.get_size_inches()[1] / MM
    canvas.bottom_legend(figure, handles, 3, bottom=24 / height)
    lines = [
        "n: anchors, holdouts or gates. Internal values are in sample, but for holdouts, which are of heads fitted "
        "again; elsewhere nothing is held out, and 'branch' is within branches. Own nulls: random projections "
        "(trustworthiness), rulers of the null branch (internal, where scored), else labels permuted in blocks of "
        "donor and tissue." + " Arms are compared by trustworthiness less that null's mean." * _has_margin(points),
        " ".join(filter(None, (_permuted(points), _ruled(points)))),
        why,
    ]
    text = "\n".join(textwrap.fill(line, 135) for line in lines if line)
    figure.text(0.01, 1 / height, text, va="bottom", ha="left", linespacing=1.3)

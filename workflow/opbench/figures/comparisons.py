"""The extracted head minus every other method: donor-level effects, and where the split-level test differs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures.style import (
    INK,
    MM,
    OKABE_ITO,
    REAL,
    REFERENCES,
    SMALL,
    Label,
    endpoint_name,
    endpoint_order,
    is_null,
    method_colour,
    method_name,
    method_order,
    number,
)

LEVEL = 0.05
_WARN = OKABE_ITO["vermillion"]
_MARKERS = "osDv"
PAGE = 240.0  # mm, the most a figure may be high


def oriented(comparisons: pd.DataFrame, scope: str) -> pd.DataFrame:
    """Rows of campaign `scope` as extracted head minus other, one per (endpoint, real, other).

    Effects of pairs that are stored the other way round change sign. Heads are compared within their budget.
    Columns: n, effect, ci_low, ci_high, q of the donors and n, effect, q of the splits (NaN where untested),
    and family.
    """
    rows = comparisons[(comparisons["campaign"] == scope) & ~comparisons["endpoint"].map(is_null)]
    a, b = (rows[side].map(lambda text: Label.parse(text).name == REAL) for side in ("method_a", "method_b"))
    kept, swapped = rows[a & ~b], rows[b & ~a]
    turned = swapped.assign(
        method_a=swapped["method_b"], method_b=swapped["method_a"], effect=-swapped["effect"],
        ci_low=-swapped["ci_high"], ci_high=-swapped["ci_low"],
    )  # fmt: skip
    both = pd.concat([kept, turned], ignore_index=True).rename(columns={"method_a": "real", "method_b": "other"})
    budgets = [both[side].map(lambda text: Label.parse(text).budget) for side in ("real", "other")]
    both = both[(budgets[0] == budgets[1]) | (budgets[0] == "") | (budgets[1] == "")]
    key = ["endpoint", "real", "other"]
    donor = both[(both["unit"] == "donor") & (both["family"] != "healthy")].set_index(key)
    split = both[both["unit"] == "split"].set_index(key)[["n", "effect", "p", "q"]].add_prefix("split_")
    columns = ["family", "n", "effect", "ci_low", "ci_high", "p", "q", "p_floor"]
    return donor[columns].join(split, how="left").sort_index().reset_index()


def _reach(rows: pd.DataFrame) -> float:
    """Half-width of the x axis: three typical rows wide, so that methods far off do not squeeze the close ones."""
    near = rows[~rows["base"].isin(REFERENCES)]
    edges = (near if len(near) else rows)[["effect", "ci_low", "ci_high"]].abs().max(axis=1)
    return 1.12 * float(np.clip(edges.max(), 0.01, max(3 * edges.median(), 0.03)))


def _tick(reach: float) -> float:
    """The roundest value that still leaves room for its label."""
    scale = 10.0 ** np.floor(np.log10(reach))
    return float(max(t * scale for t in (0.5, 1, 2, 5) if t * scale <= 0.85 * reach))


def _row(ax: Axes, y: float, row: pd.Series, marker: str, reach: float) -> None:
    """Effect and interval of the donors; an effect beyond the axis becomes an arrow with its number."""
    colour = method_colour(row["other"])
    face = colour if row["q"] < LEVEL else "white"
    if abs(row["effect"]) > reach:
        side = 1 if row["effect"] > 0 else -1
        ax.plot(
            [side * reach * 0.97], [y], marker=">" if side > 0 else "<", ms=3.6, color=colour, mfc=face, clip_on=False
        )
        half = (row["ci_high"] - row["ci_low"]) / 2
        sign = "+" if side > 0 else ""
        text = f"{sign}{number(row['effect'])}" + (f" ±{number(half).lstrip('0')}" if half == half else "")
        align = "right" if side > 0 else "left"
        ax.text(side * reach * 0.87, y, text, ha=align, va="center", fontsize=SMALL)
        return
    if row["ci_low"] == row["ci_low"]:
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=1.1, zorder=3, solid_capstyle="butt")
    ax.plot([row["effect"]], [y], marker=marker, ms=4, color=colour, mfc=face, mew=0.9, zorder=4)


def _split_mark(ax: Axes, y: float, row: pd.Series) -> None:
    """The paper's test over splits in a column of its own, in red where it disagrees with the donors'."""
    if row["split_q"] != row["split_q"]:
        ax.text(1.06, y, "·", transform=ax.get_yaxis_transform(), ha="center", va="center", clip_on=False)
        return
    by_split, by_donor = row["split_q"] < LEVEL, row["q"] < LEVEL
    colour = _WARN if row["q"] == row["q"] and by_split != by_donor else "#666666"
    ax.plot([1.06], [y], marker="^", ms=3.4, color=colour, mfc=colour if by_split else "white", mew=0.8,
            transform=ax.get_yaxis_transform(), clip_on=False)  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Forest plot of campaign `scope`, one panel per verdict endpoint, or per endpoint where none is (COMPARISONS).

    A verdict endpoint has any row of that family. Its rows without q, as those of random arms, are drawn hollow.
    """
    pairs = tables["comparisons"]
    rows = oriented(pairs, scope)
    verdict = pairs.loc[(pairs["campaign"] == scope) & (pairs["family"] == "verdict"), "endpoint"].unique()
    rows = rows[rows["endpoint"].isin(verdict)] if len(verdict) else rows
    if rows.empty:
        return canvas.note_figure(f"Campaign {scope} compares the extracted head with no other method."), rows
    rows["base"] = rows["other"].map(lambda text: Label.parse(text).name)
    # A row is a method or one of its arms; its budgets share it.
    rows["row"] = rows["other"].str.replace(r" \[.*\]$", "", regex=True)
    bases, reals = method_order(list(rows["row"])), method_order(list(rows["real"]))
    shift = dict(zip(reals, np.linspace(-0.23, 0.23, len(reals)) if len(reals) > 1 else [0.0], strict=True))
    endpoints = endpoint_order(list(rows["endpoint"]))
    foot = 21
    figure, axes = canvas.endpoint_grid(
        len(endpoints), len(bases), foot, row=_row_height(len(endpoints), len(bases), len(reals), foot)
    )
    names = [method_name(base, base == "leaking_head") for base in bases]
    for index, (ax, endpoint) in enumerate(zip(axes, endpoints, strict=True)):
        here = rows[rows["endpoint"] == endpoint]
        canvas.method_axis(ax, names, [False] * len(bases), labelled=index % 4 == 0)
        reach, most = _reach(here), int(here["n"].max())
        ax.axvline(0, color=INK, lw=0.6, zorder=1)
        ax.set_xlim(-reach, reach)
        tick = _tick(reach)
        ax.set_xticks([-tick, 0, tick], labels=[f"−{tick:g}", "0", f"{tick:g}"])
        for y, base in enumerate(bases):
            mine = here[here["row"] == base]
            if mine.empty:
                canvas.no_value(ax, y, "no pair")
            for _, row in mine.iterrows():
                at = y + shift[row["real"]]
                _row(ax, at, row, _MARKERS[reals.index(row["real"]) % 4], reach)
                _split_mark(ax, at, row)
            if len(mine) and mine["n"].max() < most:
                ax.text(0.0, y, f"n={int(mine['n'].max())}", transform=ax.get_yaxis_transform(), va="center", zorder=7)
        ax.text(1.06, -0.62, "split", transform=ax.get_yaxis_transform(), ha="center", va="bottom", color="#666666")
        title, _, what = endpoint_name(endpoint).partition(", ")
        star = "" if endpoint in verdict else " *"
        ax.set_title(f"{title}{star}\n{what or ' '}\nn = {most} donor{'s' * (most != 1)}")
    _legend(figure, reals)
    return figure, rows.drop(columns=["base", "row"]).reset_index(drop=True)


def _row_height(endpoints: int, rows: int, reals: int, foot: float) -> float:
    """Height of a row in mm: room for two markers on a figure no taller than a page, if that leaves names legible."""
    lines = -(-endpoints // 4)
    room = ((PAGE - foot) / lines - 16.5) / rows
    return max(canvas.ROW, min(5.0 if reals > 1 else canvas.ROW, room))


def _legend(figure: Figure, reals: list[str]) -> None:
    handles = [canvas.key(_MARKERS[i % 4], f"{method_name(m)} minus row", fill=False) for i, m in enumerate(reals)]
    handles += [
        canvas.key("o", "filled: donor-level q < 0.05"),
        canvas.key("o", "hollow: undecided, or no q", fill=False),
        canvas.key("^", "filled: split-level q < 0.05", colour="#666666", size=3.4),
        canvas.key("^", "split and donor tests disagree", colour=_WARN, size=3.4),
        Line2D([], [], linestyle="", label="right of 0: the extracted head is better"),
        canvas.key(">", "beyond the axis (mean ± half its interval)", fill=False, size=3.6),
    ]
    height = figure.get_figheight() / MM
    canvas.bottom_legend(figure, handles, 3, bottom=6.5 / height)
    note = (
        "No q: random arms (several draws; the interval resamples donors and draws), leaking methods, oracle, chance;\n"
        "and all rows of a panel marked *, which is descriptive."
    )
    figure.text(0.5, 0.5 / height, note, ha="center", va="bottom", linespacing=1.3)

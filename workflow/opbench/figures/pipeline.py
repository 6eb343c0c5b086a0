"""Schematic of the chain: from checkpoint to claims, with the control operators on a lane of their own below."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from opbench.figures import canvas
from opbench.figures.arms import FIXED, REAL, arm_name, controls_of, is_random
from opbench.figures.chain import ALL_GATES, head_name, missing, part_name, part_order, preferred_head, scored
from opbench.figures.style import DOUBLE, GREY, INK, MM

#: Left edges and width of the six columns, in mm; tops and heights of the lanes.
COLUMN, STEP, LEFT = 26.6, 31.0, 0.8
REAL_TOP, REAL_HEIGHT, GAP, LINE, PAD = 8.0, 21.0, 9.0, 3.7, 2.0
WHITE, PALE_BLUE, PALE_GREY, PALE_ORANGE = "white", "#E3EFF7", "#F3F3F3", "#FDF1DC"


def _counts(parts: pd.DataFrame, overlap: pd.DataFrame) -> pd.DataFrame:
    """Anchors, donors and cells in anchors of each part; cells and donors that it shares with the internal one."""
    counts = parts.groupby("part").agg(
        anchors=("anchor", "size"), donors=("donor", "nunique"), cells=("n_cells", "sum")
    )
    counts = counts.loc[part_order(list(counts.index))]
    shared = overlap[overlap["part_a"] == "internal"].set_index("part_b")
    for name in ("shared_cells", "shared_donors"):
        counts[name] = shared[name].reindex(counts.index)
    return counts


def _heads(heads: pd.DataFrame | None) -> tuple[int, int]:
    """Layers and heads of the model, as far as the scan knows them."""
    if heads is None:
        return 0, 0
    single = heads[(heads["arm"] == "real") & (heads["head"] != "best") & (heads["layer"] >= 0)]
    return single["layer"].nunique(), single["index"].nunique()


def _box(
    ax: Axes, place: tuple[float, float, float, float], title: str, lines: list[str], face: str, edge: str
) -> None:
    """A box of (left, top, width, height) in mm with a bold title and lines below it."""
    left, top, width, height = place
    shape = "round,pad=0,rounding_size=1.2"
    ax.add_patch(FancyBboxPatch((left, top), width, height, boxstyle=shape, fc=face, ec=edge, lw=0.8))
    ax.text(left + PAD, top + 1.6, title, va="top", fontweight="bold")
    ax.text(left + PAD, top + 1.6 + LINE + 0.4, "\n".join(lines), va="top", linespacing=1.3)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=6, color=colour, lw=0.9, shrinkA=0,
                                 shrinkB=0))  # fmt: skip


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _real_lane(facts: dict) -> list[tuple[str, list[str]]]:
    """Title and lines of the six boxes of the real operator."""
    layers, heads = facts["layers"], facts["heads"]
    known = layers * heads > 0
    checkpoint = [_many(layers, "layer") + f" of {heads}", "attention heads"] if known else ["attention heads"]
    sums = [_many(layers * heads, "matrix").replace("matrixs", "matrices")] if known else ["a matrix per head"]
    widths = ", ".join(map(str, facts["widths"]))
    fits = [f"widths {widths}", _many(facts["seeds"], "seed"), " and ".join(facts["budgets"])] if widths else []
    gates = [_many(facts["gates"], "statistic"), f"on {_many(facts['tested'], 'part')}"]
    gates += [f"{facts['limits']} with a threshold"] if facts["limits"] else []
    return [
        ("Checkpoint", [*checkpoint, "frozen"]),
        ("Attention sums", [*sums, "genes × genes,", "over corpus cells"]),
        ("Operator", ["drift: differences", "of layer blocks;", "single heads"]),
        (head_name(facts["head"]), fits or ["not fitted"]),
        ("Gates, readouts", gates if facts["gates"] else ["not tested"]),
        ("Claims", ["model-specific", "only when every", "control is beaten"]),
    ]


def _facts(gates: pd.DataFrame | None, heads: pd.DataFrame | None, panel: str) -> dict:
    """Counts of a panel for the boxes, all from its tables."""
    scan = heads[heads["panel"] == panel] if heads is not None else None
    layers, indexes = _heads(scan)
    facts = {"layers": layers, "heads": indexes, "head": "let", "widths": [], "seeds": 0, "budgets": [],
             "gates": 0, "limits": 0, "tested": 0, "arms": {}}  # fmt: skip
    rows = gates[(gates["panel"] == panel)] if gates is not None else None
    if rows is None or rows.empty:
        return facts
    head = preferred_head(list(rows["head"]))
    rows = rows[rows["head"] == head]
    real, tests = rows[rows["arm"] == "real"], rows[(rows["part"] != "dimension") & (rows["gate"] != ALL_GATES)]
    arms = {arm: set(rows.loc[rows["arm"] == arm, "operator"]) for arm in controls_of(rows)}
    return facts | {
        "head": head,
        "widths": sorted(int(width) for width in set(real["width"])),
        "seeds": real.loc[~real["part"].str.startswith("null"), "draw"].nunique(),
        "budgets": sorted(set(real["budget"]) - {""}),
        "gates": tests["gate"].nunique(),
        "limits": tests.loc[tests["threshold"].notna(), "gate"].nunique(),
        "tested": (found := scored(tests)).loc[~found["part"].str.startswith("null"), "part"].nunique(),
        # Random labels are an arm of the real operator, not an operator.
        "arms": {arm: len(names) for arm, names in arms.items() if not names <= set(real["operator"])},
    }


def _arm_lines(arms: dict[str, int]) -> list[str]:
    """Control arms, random ones with the number of their draws."""
    return [arm_name(arm) + (f" × {n}" if is_random(arm) else "") for arm, n in arms.items()] or ["no control ran"]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Boxes and counts of panel `scope` (PARTS, PART_OVERLAP; GATES and HEADS where they are)."""
    parts = tables["parts"][tables["parts"]["panel"] == scope]
    if parts.empty:
        return canvas.note_figure(missing("Pipeline", scope, parts)), pd.DataFrame(columns=["box", "quantity", "value"])
    overlap = tables["part_overlap"]
    counts = _counts(parts, overlap[overlap["panel"] == scope])
    facts = _facts(tables.get("gates"), tables.get("heads"), scope)
    arms = _arm_lines(facts["arms"])
    middle = PAD + LINE * (len(counts) + 2) + 2
    bottom = PAD + LINE * (max(-(-len(arms) // 2), 2) + 1.2) + 2
    tops = REAL_TOP, REAL_TOP + REAL_HEIGHT + GAP, REAL_TOP + REAL_HEIGHT + middle + 2 * GAP
    height = tops[2] + bottom + 2
    figure = Figure(figsize=(DOUBLE, height * MM))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, DOUBLE / MM), ylim=(height, 0), xticks=[], yticks=[])
    ax.set_axis_off()
    ax.text(LEFT, 1.5, f"Panel {scope}", va="top")
    x = [LEFT + STEP * i for i in range(6)]
    _top(ax, facts, x)
    _anchors(ax, counts, (x[0], tops[1], x[2] + COLUMN - x[0], middle))
    _controls(ax, arms, x, tops, (middle, bottom))
    return figure, _source(counts, facts, scope)


def _top(ax: Axes, facts: dict, x: list[float]) -> None:
    """The real operator's lane."""
    y = REAL_TOP + REAL_HEIGHT / 2
    for index, (title, lines) in enumerate(_real_lane(facts)):
        face = PALE_BLUE if index < 5 else PALE_GREY
        _box(ax, (x[index], REAL_TOP, COLUMN, REAL_HEIGHT), title, lines, face, REAL if index < 5 else INK)
        if index:
            _arrow(ax, (x[index - 1] + COLUMN, y), (x[index], y), REAL)


def _anchors(ax: Axes, counts: pd.DataFrame, place: tuple[float, float, float, float]) -> None:
    """Table of the parts: which anchors train heads and which test them."""
    left, top, width, height = place
    _box(ax, place, "Anchors: mean expression per donor, tissue and cell type", [], WHITE, GREY)
    columns = {"anchors": 28.0, "donors": 39.0, "cells": 50.0, "shared_cells": 67.5, "shared_donors": 87.0}
    y = top + 1.6 + LINE + 0.6
    for name, right in columns.items():
        words = " ".join(reversed(name.split("_")))
        ax.text(left + right, y, words, va="top", ha="right", color="#555555")
    for index, (part, row) in enumerate(counts.iterrows(), 1):
        ax.text(left + PAD, y + LINE * index, part_name(str(part)), va="top")
        for name, right in columns.items():
            value = ("trains" if name == "shared_cells" else "") if part == "internal" and "shared" in name else None
            value = _count(row[name]) if value is None else value
            ax.text(left + right, y + LINE * index, value, va="top", ha="right")
    middle = REAL_TOP + REAL_HEIGHT + GAP + height / 2
    ax.text(left + width + 3, middle, "features of anchors: mean\nexpression × operator", va="center", linespacing=1.3)


def _count(value: float) -> str:
    return "–" if value != value else f"{int(value):,}"


def _controls(ax: Axes, arms: list[str], x: list[float], tops: tuple, heights: tuple[float, float]) -> None:
    """The control lane, which takes the same anchors, head and gates, and the arrows between lanes."""
    middle, bottom = heights
    wide = x[2] + COLUMN - x[0]
    half = -(-len(arms) // 2)
    _box(ax, (x[0], tops[2], wide, bottom), "Control operators × draws", arms[:half], PALE_ORANGE, FIXED)
    ax.text(x[0] + wide / 2 + 2, tops[2] + 1.6 + LINE + 0.4, "\n".join(arms[half:]), va="top", linespacing=1.3)
    _box(ax, (x[3], tops[2], COLUMN, bottom), "Same head", ["same anchors,", "widths, budgets"], PALE_ORANGE, FIXED)
    _box(ax, (x[4], tops[2], COLUMN, bottom), "Same gates", ["a value for each", "draw or seed"], PALE_ORANGE, FIXED)
    y = tops[2] + min(bottom, REAL_HEIGHT) / 2
    for index in (2, 3):
        _arrow(ax, (x[index] + COLUMN, y), (x[index + 1], y), FIXED)
    claims = x[5] + COLUMN / 2
    ax.plot([x[4] + COLUMN, claims], [y, y], color=FIXED, lw=0.9)
    _arrow(ax, (claims, y), (claims, REAL_TOP + REAL_HEIGHT), FIXED)
    words = "real against the\ndistribution of\neach control"
    ax.text(claims - 2, tops[1] + middle / 2, words, va="center", ha="right", linespacing=1.3)
    head = x[3] + COLUMN / 2 - 10
    _arrow(ax, (head, tops[1] + middle / 2 - 5), (head, REAL_TOP + REAL_HEIGHT), GREY)
    _arrow(ax, (head, tops[1] + middle / 2 + 5), (head, tops[2]), GREY)


def _source(counts: pd.DataFrame, facts: dict, panel: str) -> pd.DataFrame:
    """Every number in the boxes."""
    rows = [(part, name, row[name]) for part, row in counts.iterrows() for name in counts.columns]
    rows += [("checkpoint", name, facts[name]) for name in ("layers", "heads")]
    rows += [("head", "seeds", facts["seeds"]), *(("head", "width", width) for width in facts["widths"])]
    rows += [("gates", name, facts[name]) for name in ("gates", "limits", "tested")]
    rows += [("controls", arm, n) for arm, n in facts["arms"].items()]
    return pd.DataFrame(rows, columns=["box", "quantity", "value"]).assign(panel=panel)

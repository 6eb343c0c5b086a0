"""The real operator among its nulls: every draw of every control arm, each endpoint, at the budget of the rule."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import FIXED, RANDOM, REAL, arm_name, controls_of
from opbench.figures.style import INK, endpoint_name, endpoint_order
from opbench.figures.values import of_scope
from opbench.io.tables import SCORED

#: Arms of two methods that are one arm.
_ALIAS = {"gaussian_halves": "gaussian", "gaussian_blocks": "gaussian"}
_FAMILY = "verdict"


def _means(scores: pd.DataFrame, width: int, budget: str) -> pd.DataFrame:
    """Mean over donors of every (endpoint, arm, draw, seed): the points of the figure."""
    rows = scores[(scores["arm"] != "") & (scores["width"] == width) & (scores["budget"] == budget)]
    rows = rows[rows["status"].isin(SCORED) & rows["value"].notna()]
    keys = ["endpoint", "arm", "draw", "seed"]
    by_donor = rows.groupby([*keys, "donor"])["value"].mean()
    out = by_donor.groupby(level=keys).agg(["mean", "size"]).reset_index()
    return out.assign(arm=out["arm"].replace(_ALIAS)).rename(columns={"mean": "value", "size": "n_donors"})


def _panel(ax: Axes, points: pd.DataFrame, evidence: pd.DataFrame, arms: list[str]) -> None:
    """One endpoint: a strip of draws per arm, the real operator as a line with its donors' interval, the floor."""
    real = points[points["arm"] == "real"]["value"]
    level = float(real.mean())
    facts = evidence.set_index("control")
    for y, arm in enumerate(arms):
        mine = points[points["arm"] == arm]["value"].to_numpy()
        if not len(mine):
            canvas.no_value(ax, y, "no value")
            continue
        drawn = (points.loc[points["arm"] == arm, "draw"] >= 0).any()
        jitter = np.linspace(-0.28, 0.28, len(mine)) if len(mine) > 1 else [0.0]
        ax.scatter(mine, y + np.asarray(jitter), s=7, color=RANDOM if drawn else FIXED, lw=0, alpha=0.85, zorder=3)
        ax.plot([mine.mean()] * 2, [y - 0.36, y + 0.36], color=INK, lw=1.0, zorder=4)
        if arm in facts.index:
            row = facts.loc[arm]
            # The interval is of the difference; drawn around the control's mean it shows whether the real one is in it.
            low, high = level - row["ci_high"], level - row["ci_low"]
            ax.plot([low, high], [y, y], color=INK, lw=0.8, zorder=2)
    ax.axvline(level, color=REAL, lw=1.3, zorder=5)
    floor = float(evidence.loc[evidence["family"] == _FAMILY, "null_floor"].max())
    if floor == floor:
        ax.axvspan(level - floor, level + floor, color=REAL, alpha=0.12, lw=0, zorder=1)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Campaign `scope` at the width and budget of its verdict rows (EVIDENCE, SCORES)."""
    evidence = of_scope(tables["evidence"], "campaign", scope, "evidence_nulls")
    decisive = evidence[(evidence["family"] == _FAMILY) & (evidence["subset"] == "all")]
    if decisive.empty:
        return canvas.note_figure(f"Campaign {scope} has no rows at the rule's width and budget."), evidence
    width, budget = int(decisive["width"].iloc[0]), str(decisive["budget"].iloc[0])
    points = _means(of_scope(tables["scores"], "campaign", scope, "evidence_nulls"), width, budget)
    shown = evidence[(evidence["subset"] == "all") & (evidence["width"] == width) & (evidence["budget"] == budget)]
    endpoints = endpoint_order(sorted(set(decisive["endpoint"])))
    points = points[points["endpoint"].isin(endpoints)]
    arms = controls_of(points)
    decides = set(decisive["control"])
    figure, axes = canvas.endpoint_grid(len(endpoints), len(arms), foot=21, columns=4, title_lines=3)
    for index, (ax, endpoint) in enumerate(zip(axes, endpoints, strict=True)):
        mine = points[points["endpoint"] == endpoint]
        names = [arm_name(arm) for arm in arms]
        canvas.method_axis(ax, names, [arm in decides for arm in arms], labelled=index % 4 == 0)
        _panel(ax, mine, shown[shown["endpoint"] == endpoint], arms)
        n = int(mine.loc[mine["arm"] == "real", "n_donors"].max()) if (mine["arm"] == "real").any() else 0
        # What is measured goes on a line of its own: side by side, long names would run into each other.
        name, _, what = endpoint_name(endpoint).partition(", ")
        ax.set_title("\n".join(filter(None, (name, what, f"n = {n} donors"))))
    handles = [
        Line2D([], [], color=REAL, lw=1.3, label="real operator, mean over donors and seeds"),
        Patch(facecolor=REAL, alpha=0.12, label="± the largest null-vs-null floor of the arms that the rule names"),
        canvas.key("o", "one draw of a random arm, mean over donors", colour=RANDOM, size=3),
        canvas.key("o", "one adaptor seed of an arm without draws", colour=FIXED, size=3),
        Line2D([], [], color=INK, lw=0.8, label="interval of the difference, from the real value"),
        Line2D([], [], color=INK, lw=1.0, marker="|", ls="", label="mean of an arm; bold: the rule names it"),
    ]
    canvas.bottom_legend(figure, handles, 2, bottom=0.02)
    figure.suptitle(f"Real operator among its nulls: width {width}, {budget or 'no'} budget", x=0.01, ha="left")
    table = points.assign(campaign=scope, width=width, budget=budget)
    return figure, table.reset_index(drop=True)

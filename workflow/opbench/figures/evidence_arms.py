"""The real operator minus each control arm, at head width and full width, at the fixed budget and at plateau."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import OUTCOMES, arm_name, arm_order
from opbench.figures.style import DOUBLE, INK, MM, PALE, endpoint_name, endpoint_order
from opbench.figures.values import of_scope

_PAGE = 4  # endpoints drawn; the source table holds all
_PREFERRED = ("branch_balanced_accuracy", "stage_balanced_accuracy")
ROW = 3.3  # mm per arm


def _columns(evidence: pd.DataFrame) -> list[tuple[int, str]]:
    """(width, budget) pairs, heads first, full width (0) last."""
    pairs = {(int(w), str(b)) for w, b in zip(evidence["width"], evidence["budget"], strict=True)}
    return sorted(pairs, key=lambda pair: (pair[0] <= 0, pair[0], pair[1]))


def _title(width: int, budget: str) -> str:
    return "full width, no head" if width <= 0 else f"width {width}, {budget}"


def _panel(ax: Axes, rows: pd.DataFrame, healthy: pd.DataFrame, arms: list[str]) -> None:
    ax.axvline(0, color=INK, lw=0.6, zorder=2)
    facts, other = rows.set_index("control"), healthy.set_index("control")
    for y, arm in enumerate(arms):
        if arm not in facts.index:
            canvas.no_value(ax, y, "not run")
            continue
        row = facts.loc[arm]
        if row["effect"] != row["effect"]:
            canvas.no_value(ax, y, "not testable")
            continue
        if row["null_floor"] == row["null_floor"]:
            ax.fill_betweenx([y - 0.4, y + 0.4], -row["null_floor"], row["null_floor"], color=PALE, lw=0, zorder=1)
        colour, marker = OUTCOMES.get(row["outcome"], (INK, "o"))
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=1.0, zorder=4)
        ax.plot([row["effect"]], [y], marker=marker, ms=3.4, color=colour, ls="", zorder=5)
        if arm in other.index and other.loc[arm, "effect"] == other.loc[arm, "effect"]:
            ax.plot([other.loc[arm, "effect"]], [y + 0.3], marker="D", ms=2.4, mfc="white", mec=INK, mew=0.5, zorder=5)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Effects of campaign `scope` (EVIDENCE): a row of panels per endpoint, a column per width and budget."""
    evidence = of_scope(tables["evidence"], "campaign", scope, "evidence_arms")
    whole = evidence[evidence["subset"] == "all"]
    endpoints = endpoint_order(list(whole.loc[whole["family"] == "verdict", "endpoint"]) or list(whole["endpoint"]))
    first = [e for e in _PREFERRED if e in endpoints]
    chosen = endpoint_order((first + [e for e in endpoints if e.endswith("_auroc")] + endpoints)[:_PAGE])
    columns, arms = _columns(whole), arm_order(list(whole["control"]))
    foot, height = 17, len(chosen) * (len(arms) * ROW + 10) + 4
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.03)
    grid = figure.subplots(len(chosen), len(columns), sharey=True, sharex="row", squeeze=False)
    for line, endpoint in zip(grid, chosen, strict=True):
        for index, (ax, (width, budget)) in enumerate(zip(line, columns, strict=True)):
            mine = evidence[
                (evidence["endpoint"] == endpoint) & (evidence["width"] == width) & (evidence["budget"] == budget)
            ]
            rows, healthy = mine[mine["subset"] == "all"], mine[mine["subset"] == "healthy"]
            canvas.method_axis(ax, [arm_name(arm) for arm in arms], [False] * len(arms), labelled=index == 0)
            _panel(ax, rows, healthy, arms)
            n = int(rows["n_donors"].max()) if len(rows) else 0
            head = f"{endpoint_name(endpoint)}\n" if index == 0 else "\n"
            ax.set_title(f"{head}{_title(width, budget)}, n = {n}")
    for ax in grid[-1]:
        ax.set_xlabel("real − control")
    names = {"beats": "beats the control", "equivalent": "equivalent within the margin",
             "not_separable": "not separable", "loses": "loses", "not_testable": "not testable"}  # fmt: skip
    handles = [canvas.key(OUTCOMES[k][1], text, colour=OUTCOMES[k][0]) for k, text in names.items()]
    handles += [
        canvas.key("D", "healthy donors alone", fill=False, size=3),
        Patch(facecolor=PALE, label="± the control's own null-vs-null floor"),
    ]
    canvas.bottom_legend(figure, handles, 3)
    return figure, evidence.reset_index(drop=True)

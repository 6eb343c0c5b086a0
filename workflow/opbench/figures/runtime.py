"""What a campaign costs with the frozen model, with the extracted head and with raw genes and a linear probe."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from opbench.figures import canvas
from opbench.figures.style import DOUBLE, INK, MM, OKABE_ITO, number
from opbench.figures.values import of_scope

#: Part of a bar -> (column, colour, printed name), in the order of stacking; the splits are the rest of the total.
PIECES = {
    "once": ("once_s", OKABE_ITO["sky"], "once a panel, as the paper counts it"),
    "splits": ("", OKABE_ITO["blue"], "12 splits"),
    "forward": ("forward_s", OKABE_ITO["vermillion"], "the model's pass over the corpus that makes the operator"),
}
ROW = 7.5  # mm per system
#: Campaigns that fit on a page, those with a ratio first; the source table holds all.
MOST = 5


def _time(seconds: float) -> str:
    """Seconds in the unit that a reader thinks in."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _label(row: pd.Series) -> str:
    """Total and ratio, without and, where there is one, with the pass."""
    ratio = f", ratio {number(row['ratio'], 1)}" if row["ratio"] == row["ratio"] else ""
    text = f"{_time(row['campaign_s'])}{ratio}"
    if row["forward_s"] > 0:
        whole = f", ratio {number(row['ratio_whole'], 1)}" if row["ratio_whole"] == row["ratio_whole"] else ""
        text += f"\nwith the pass {_time(row['campaign_whole_s'])}{whole}"
    return text


def _panel(ax: Axes, rows: pd.DataFrame, systems: list[str], top: float, unit: float) -> None:
    facts = rows.set_index("system")
    for y, system in enumerate(systems):
        if system not in facts.index:
            ax.text(0.02, y, "not timed", transform=ax.get_yaxis_transform(), va="center", style="italic")
            continue
        row, left = facts.loc[system], 0.0
        for piece, (column, colour, _) in PIECES.items():
            seconds = row[column] if column else row["campaign_s"] - row["once_s"]
            seconds = 0.0 if seconds != seconds else float(seconds)
            hatch = "////" if piece == "forward" else ""
            ax.barh(
                y, seconds / unit, left=left / unit, height=0.55, color=colour, edgecolor="white", hatch=hatch, lw=0
            )
            left += seconds
        ax.text((left + 0.012 * top) / unit, y, _label(row), va="center", color=INK)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    # A label starts where its bar ends, so that the longest bar leaves it room.
    ax.set_xlim(0, 1.75 * top / unit)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Seconds of a campaign of 12 splits of run `scope` by system (RATIO), a panel per campaign.

    Every job is timed once, so that no bar has an interval. The ratio is the frozen model's time over the system's.
    """
    table = tables["ratio"]
    if table.empty:
        return canvas.note_figure(
            f"Run {scope}: no campaign was timed with a frozen model or an extracted head."
        ), table
    source = of_scope(table, "run", scope, "runtime").reset_index(drop=True)
    # What the ratio is over comes first, whichever campaign leads the table.
    systems = sorted(dict.fromkeys(source["system"]), key=lambda name: ("frozen" not in name, "extracted" not in name))
    # A campaign's name is unique in a run; those that time both sides come first.
    timed = source.groupby("campaign")["ratio"].count()
    campaigns = sorted(sorted(timed.index, key=lambda name: (-timed[name], name))[:MOST])
    foot, each = 20, len(systems) * ROW + 13
    height = len(campaigns) * each + foot
    figure = Figure(figsize=(DOUBLE, height * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / height, 1, 1 - foot / height), w_pad=0.04)
    top = float(source[["campaign_s", "campaign_whole_s"]].max().max())
    unit, name = (3600.0, "hours") if top > 7200 else (60.0, "minutes") if top > 300 else (1.0, "seconds")
    grid = figure.subplots(len(campaigns), 1, sharex=True, squeeze=False)[:, 0]
    for ax, campaign in zip(grid, campaigns, strict=True):
        mine = source[source["campaign"] == campaign]
        canvas.method_axis(ax, systems, ["extracted" in system for system in systems], labelled=True)
        _panel(ax, mine, systems, top, unit)
        ax.set_title(f"{campaign}, panel {mine['panel'].iloc[0]}")
    grid[-1].set_xlabel(f"wall time of 12 splits ({name}); every job timed once (n = 1)")
    handles = [
        Patch(facecolor=colour, edgecolor="white", hatch="////" if piece == "forward" else "", label=text)
        for piece, (_, colour, text) in PIECES.items()
    ]
    canvas.bottom_legend(figure, handles, 2, bottom=4 / height)
    figure.text(0.5, 2.5 / height, "ratio: time of the frozen embedding with MLP over that of the system",
                ha="center", va="center")  # fmt: skip
    return figure, source

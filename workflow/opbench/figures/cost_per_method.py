"""What every method costs: wall time, fits, parameters and memory."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from opbench.figures import canvas
from opbench.figures.style import DOUBLE, MM, REAL, Label, method_colour, method_name, method_order
from opbench.figures.values import of_scope
from opbench.io.labels import method_labels
from opbench.io.tables import SCORED

_MARKERS = "osD^vP*X"
#: Right edges of the columns of facts, in widths of the axes.
COLUMNS = (1.12, 1.25, 1.40, 1.63, 1.83)
_TICKS = [0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 864000]
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def _short(value: float) -> str:
    """A count with three significant digits and a decimal multiple."""
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _seconds(value: float, _: int) -> str:
    """Ticks in the unit that a reader thinks in."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"


def _source(costs: pd.DataFrame) -> pd.DataFrame:
    """Sums over chunks by method label, campaign and draw; memory and parameters are the largest.

    `price_s` is the wall time with what was reused at the price of computing it.
    """
    label = method_labels(costs)
    keys = ["method", "campaign", "draw"]
    table = costs.assign(method=label, price_s=costs["wall_s"] + costs["saved_s"]).groupby(keys, sort=True).agg(
        chunks=("chunk", "nunique"), splits=("splits", "sum"), fits=("fits", "sum"), probes=("probes", "sum"),
        reused=("reused", "sum"), price_s=("price_s", "sum"), wall_s=("wall_s", "sum"), saved_s=("saved_s", "sum"),
        cpu_s=("cpu_s", "sum"), gpu_s=("gpu_s", "sum"), peak_mb=("peak_mb", "max"), parameters=("parameters", "max"),
        status=("status", lambda names: "ok" if (names == "ok").all() else next(n for n in names if n != "ok")),
    )  # fmt: skip
    return table.reset_index()


def _row(ax: Axes, y: int, mine: pd.DataFrame, campaigns: list[str]) -> None:
    """A marker per campaign and draw, the row's total as a bar, and its facts at the right."""
    colour = method_colour(mine["method"].iloc[0])
    total, status = mine["price_s"].sum(), sorted(set(mine["status"]) - {"ok"})
    for _, row in mine.iterrows():
        face = colour if row["status"] in SCORED else "white"
        marker = _MARKERS[campaigns.index(row["campaign"]) % len(_MARKERS)]
        ax.plot([max(row["price_s"], 1e-3)], [y], marker=marker, ms=3.6, color=colour, mfc=face, mew=0.8, zorder=3)
    ax.plot([max(total, 1e-3)] * 2, [y - 0.36, y + 0.36], color="black", lw=1.4, zorder=4)
    counts = (mine["draw"].nunique(), mine["fits"].sum(), mine["reused"].sum(), mine["parameters"].max())
    facts = (*map(_short, counts), f"{mine['peak_mb'].max():,.0f}")
    for x, text in zip(COLUMNS, facts, strict=True):
        ax.text(x, y, text, transform=ax.get_yaxis_transform(), ha="right", va="center")
    if status:
        names = ", ".join({"not_applicable": "n/a", "oom": "out of memory"}.get(name, name) for name in status)
        ax.text(COLUMNS[-1] + 0.03, y, names, style="italic", va="center", transform=ax.get_yaxis_transform())


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Wall time per method of run `scope`, log scale, with fits, reuse, parameters and peak memory (COSTS)."""
    source = _source(of_scope(tables["costs"], "run", scope, "cost_per_method"))
    methods, campaigns = method_order(list(source["method"])), sorted(source["campaign"].unique())
    foot, height = 11, len(methods) * 4.6 + 18
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM))
    ax = figure.add_axes((0.24, (foot + 9) / (height + foot), 0.36, (height - 16) / (height + foot)))
    names = [method_name(m, Label.parse(m).name == "leaking_head") for m in methods]
    canvas.method_axis(ax, names, [Label.parse(m).name == REAL for m in methods], labelled=True)
    ax.set_xscale("log")
    for y, method in enumerate(methods):
        _row(ax, y, source[source["method"] == method], campaigns)
    low, high = source["price_s"].clip(lower=1e-3).min(), source.groupby("method")["price_s"].sum().max()
    ax.set_xlim(low / 1.6, max(high, 1e-3) * 1.6)
    ax.set_xlabel("Wall time, reused results at their price")
    ax.xaxis.set_major_formatter(FuncFormatter(_seconds))
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    for x, text in zip(COLUMNS, ("draws", "fits", "reused", "parameters", "peak MB"), strict=True):
        ax.text(x, -0.7, text, transform=ax.get_yaxis_transform(), ha="right", va="bottom", color="#666666")
    handles = [canvas.key(_MARKERS[i % len(_MARKERS)], name) for i, name in enumerate(campaigns)]
    handles.append(canvas.key("|", "sum over campaigns and draws", colour="black", size=7))
    canvas.bottom_legend(figure, handles, 5)
    return figure, source

"""Does the real operator's lead over its controls depend on the head's width or training budget?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures.arms import BANDS, LOOKS, OTHER, arm_name, arms_in
from opbench.figures.canvas import bottom_legend, note_figure
from opbench.figures.style import DOUBLE, MM, endpoint_name, endpoint_order
from opbench.io.seeds import keyed_rng
from opbench.io.tables import SCORED

SELECTION = "selection_score"
#: Endpoints that fit on a page; the source table holds all.
MOST = 8
#: Resamples of donors, and level, of the real operator's interval.
RESAMPLES, LEVEL = 2000, 0.95
#: Columns of the figure: sweep, head, title.
COLUMNS = (
    ("width", "let", "Latent width\nanchor head at its plateau"),
    ("width", "closed_form", "Latent width\nclosed-form head"),
    ("budget", "let", "Training budget (epochs)\nanchor head of the standard width"),
)


def _positions(column: pd.DataFrame, sweep: str) -> tuple[pd.Series, list[str]]:
    """Values of the swept axis in order; the probe without a head, and the plateau, come last."""
    if sweep == "width":
        names = column["width"].astype(str).where(column["width"] > 0, "full")
        order = [str(width) for width in sorted(set(column.loc[column["width"] > 0, "width"]))]
    else:
        names = column["budget"]
        order = [str(epochs) for epochs in sorted(int(budget) for budget in set(names) if budget.isdigit())]
    last = [name for name in ("full", "plateau") if (names == name).any()]
    return names.map({name: index for index, name in enumerate([*order, *last])}).astype(float), [*order, *last]


def _interval(values: pd.Series) -> tuple[float, float]:
    """Bootstrap interval of a mean over donors (or folds); none for fewer than three."""
    if len(values) < 3:
        return np.nan, np.nan
    rng = keyed_rng("figure-sweeps", len(values))
    drawn = values.to_numpy()[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _summary(rows: pd.DataFrame, sweep: str, head: str) -> tuple[pd.DataFrame, list[str]]:
    """Mean over donors of every operator of one column, then over an arm's draws, by endpoint and swept value."""
    heads = [head, "none"] if sweep == "width" else [head]
    mine = rows[(rows["sweep"] == sweep) & rows["head"].isin(heads)]
    x, ticks = _positions(mine, sweep)
    mine = mine.assign(x=x, unit=mine["donor"].where(mine["donor"] != "", mine["split"].astype(str)))
    out = []
    for (endpoint, arm, place), group in mine.groupby(["endpoint", "arm", "x"], sort=True):
        means = group.groupby("operator")["value"].mean()
        units = group.groupby("unit")["value"].mean()
        low, high = _interval(units) if arm == "real" else (np.nan, np.nan)
        out.append(
            {"sweep": sweep, "head": head, "endpoint": endpoint, "arm": arm, "at": ticks[int(place)], "x": place,
             "n_units": len(units), "n_draws": len(means), "mean": means.mean(), "ci_low": low, "ci_high": high,
             "draw_low": means.min(), "draw_high": means.max()}
        )  # fmt: skip
    return pd.DataFrame(out), ticks


def _panel(ax: Axes, table: pd.DataFrame, ticks: list[str]) -> None:
    """Bands of random arms, lines of the others, the real operator with its donors' interval on top."""
    for layer, arm in enumerate(reversed(arms_in(table))):
        (colour, marker, line), mine = LOOKS.get(arm, OTHER), table[table["arm"] == arm].sort_values("x")
        # What comes last is no further step of the axis, so that no line leads to it.
        body, apart = (mine[~mine["at"].isin(["full", "plateau"])], mine[mine["at"].isin(["full", "plateau"])])
        for part in (body, apart):
            if part.empty:
                continue
            if arm in BANDS:
                wide = part if len(part) > 1 else pd.concat([part, part])
                x = part["x"].to_numpy() if len(part) > 1 else part["x"].item() + np.array([-0.22, 0.22])
                ax.fill_between(x, wide["draw_low"], wide["draw_high"], color=colour, alpha=0.35, lw=0, zorder=1)
                ax.plot(x, wide["mean"], color=colour, lw=0.8, ls=line, zorder=2)
                continue
            if arm == "real":
                ends = part[["ci_low", "ci_high"]].to_numpy().T
                ax.vlines(part["x"].to_numpy(), *ends, color=colour, lw=0.9, zorder=9)
            style = {"lw": 1.2, "zorder": 10} if arm == "real" else {"lw": 0.8, "zorder": 3 + layer / 10}
            ax.plot(part["x"], part["mean"], color=colour, marker=marker, ms=3.2, mec="white", mew=0.4,
                    ls=line, **style)  # fmt: skip
    # On a line of its own, because it does not fit beside 2000.
    ax.set_xticks(range(len(ticks)), [f"\n{tick}" if tick == "plateau" else tick for tick in ticks])
    ax.set_xlim(-0.4, len(ticks) - 0.6)


def _title(endpoint: str, n: int) -> str:
    if endpoint == SELECTION:
        return f"Selection score\nheld-out anchors\nn = {n} folds"
    name, _, what = endpoint_name(endpoint).partition(", ")
    return f"{name}\n{what}\nn = {n} donors"


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    handles = []
    for arm in arms_in(table):
        counts = table.loc[table["arm"] == arm, "n_draws"]
        low, high = counts.min(), counts.max()
        draws = f", {low}" + (f" to {high}" if high > low else "") + " draws" if high > 1 else ""
        name, (colour, marker, line) = arm_name(arm), LOOKS.get(arm, OTHER)
        if arm in BANDS:
            handles.append(Patch(facecolor=colour, alpha=0.5, label=f"{name}{draws}: mean, least to most"))
            continue
        what = ", bootstrap interval" if arm == "real" else draws
        handles.append(Line2D([], [], color=colour, marker=marker, ms=3.2, ls=line, label=f"{name}{what}"))
    bottom_legend(figure, handles, 2)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Real operator against the distribution of its controls, over width and budget, on panel `scope` (SWEEPS)."""
    rows = tables["sweeps"]
    rows = rows[(rows["panel"] == scope) & rows["status"].isin(SCORED) & (rows["endpoint"] != f"{SELECTION}_between")]
    found = {(sweep, head): _summary(rows, sweep, head) for sweep, head, _ in COLUMNS}
    found = {key: (table, ticks) for key, (table, ticks) in found.items() if len(table)}
    if not found:
        return note_figure(f"No head was swept on panel {scope}."), pd.DataFrame(columns=["endpoint"])
    source = pd.concat([table for table, _ in found.values()], ignore_index=True)
    scored = set(source["endpoint"])
    last = [SELECTION] if SELECTION in scored else []
    endpoints = [*endpoint_order(list(scored - {SELECTION}))[: MOST - len(last)], *last]
    foot, row = 17, 25
    height = row * len(endpoints) + foot + 12
    figure = Figure(figsize=(DOUBLE, height * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / height, 1, 1 - foot / height), w_pad=0.03, h_pad=0.02)
    grid = figure.subplots(len(endpoints), len(found), sharey="row", sharex="col", squeeze=False)
    titles = {(sweep, head): title for sweep, head, title in COLUMNS}
    for line, endpoint in zip(grid, endpoints, strict=True):
        n = int(source.loc[(source["endpoint"] == endpoint) & (source["arm"] == "real"), "n_units"].max())
        for ax, (key, (table, ticks)) in zip(line, found.items(), strict=True):
            _panel(ax, table[table["endpoint"] == endpoint], ticks)
            if endpoint == endpoints[0]:
                ax.set_title(titles[key])
        line[0].set_ylabel(_title(endpoint, n), rotation=0, ha="right", va="center", ma="left")
    _legend(figure, source)
    return figure, source

"""What the 15 subsets of the four core factors keep of the intact performance, beside random cores of four factors."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures.arms import arm_name, arms_in, repeats
from opbench.figures.chain import chain_rows
from opbench.figures.style import DOUBLE, INK, MM, OKABE_ITO, endpoint_name, endpoint_order, number

#: Endpoints that fit beside a second operator; the source table holds all.
MOST = 8
CMAP = colormaps["cividis"]
_KEYS = ["arm", "endpoint", "subset"]


def _shares(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Share of the intact value by arm, endpoint and subset, mean over draws, with their extremes.

    Taken from `<quantity>_share` where the table has it, else from `<quantity>` over `intact` of the same draw.
    """
    keys = ["arm", "draw", "seed", "endpoint"]
    whole = rows[rows["quantity"] == "intact"].groupby(keys).agg(intact=("value", "mean"), n_donors=("n", "max"))
    found = rows[rows["quantity"] == f"{quantity}_share"]
    if found.empty:
        found = rows[rows["quantity"] == quantity].merge(whole["intact"].reset_index(), on=keys)
        found = found.assign(value=found["value"] / found["intact"].where(found["intact"] > 0))
    found = found[found["value"].notna() & (found["endpoint"] != "") & (found["subset"] != "")]
    found = found.merge(whole["n_donors"].reset_index(), on=keys, how="left")
    return found.groupby(_KEYS, sort=True).agg(
        share=("value", "mean"), draw_low=("value", "min"), draw_high=("value", "max"), n_donors=("n_donors", "max"),
        n_draws=("draw", "nunique"),
    ).reset_index().assign(kind=quantity)  # fmt: skip


def _subsets(names: set[str]) -> list[str]:
    """Subsets of fewest factors first."""
    return sorted(names, key=lambda name: (name.count("+"), [int(part) for part in name.split("+")]))


def _heatmap(ax: Axes, table: pd.DataFrame, subsets: list[str], endpoints: list[str], norm: Normalize) -> None:
    values = table.pivot(index="subset", columns="endpoint", values="share").reindex(index=subsets, columns=endpoints)
    ax.imshow(values.to_numpy(), cmap=CMAP, norm=norm, aspect="auto", interpolation="nearest")
    for (y, x), value in np.ndenumerate(values.to_numpy()):
        colour = "white" if value == value and norm(value) < 0.5 else INK
        ax.text(x, y, number(value), ha="center", va="center", color=colour)
    # Sizes of subsets are kept apart.
    for y in range(1, len(subsets)):
        if subsets[y].count("+") != subsets[y - 1].count("+"):
            ax.axhline(y - 0.5, color="white", lw=1.6)
    ax.set_xticks([])
    ax.set_yticks(range(len(subsets)), [" ".join(f"f{part}" for part in name.split("+")) for name in subsets])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _strip(ax: Axes, cores: pd.DataFrame, core: pd.DataFrame, chance: dict[str, float], endpoints: list[str]) -> None:
    """Random cores as dots over each endpoint, the core of the largest singular values as a line, chance dotted."""
    for x, endpoint in enumerate(endpoints):
        values = cores[cores["endpoint"] == endpoint].sort_values("subset")["share"].to_numpy()
        spread = np.linspace(-0.26, 0.26, len(values)) if len(values) > 1 else np.zeros(len(values))
        ax.scatter(x + spread, values, s=7, color=OKABE_ITO["sky"], lw=0, zorder=3)
        level = core.loc[core["endpoint"] == endpoint, "share"]
        if len(level):
            ax.plot([x - 0.4, x + 0.4], [level.mean()] * 2, color=OKABE_ITO["vermillion"], lw=1.6, zorder=4)
        if endpoint in chance:
            ax.plot([x - 0.4, x + 0.4], [chance[endpoint]] * 2, color=INK, lw=1.0, ls=":", zorder=2)
    ax.set_xlim(-0.5, len(endpoints) - 0.5)
    names = [endpoint_name(endpoint).replace(", ", "\n") for endpoint in endpoints]
    ax.set_xticks(range(len(endpoints)), names, rotation=90)
    ax.tick_params(axis="x", length=0)


def _chance(rows: pd.DataFrame, arm: str) -> dict[str, float]:
    """Share of the intact value that guessing keeps, of endpoints of two classes (AUROC, balanced accuracy)."""
    whole = rows[(rows["quantity"] == "intact") & (rows["arm"] == arm)].groupby("endpoint")["value"].mean()
    return {str(name): 0.5 / value for name, value in whole.items() if "_vs_" in str(name) and value > 0}


def _handles(cores: pd.DataFrame) -> list:
    n = cores.groupby("arm")["subset"].nunique().max() if len(cores) else 0
    return [
        canvas.key("o", f"one of {n} random cores of as many other factors", colour=OKABE_ITO["sky"], size=3),
        Line2D([], [], color=OKABE_ITO["vermillion"], lw=1.6, label="core of the largest singular values"),
        Line2D([], [], color=INK, lw=1.0, ls=":", label="a value of 0.5, the chance of two classes"),
    ]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Subsets of the core of panel `scope` (FACTORS): the real operator, and its first control beside it."""
    rows, why = chain_rows(tables["factors"], scope, "Factors")
    rows = rows[rows["probes"] == "fixed"]
    forms = rows.loc[rows["quantity"].isin(("subset", "subset_share")), "form"]
    rows = rows[rows["form"] == forms.iloc[0]] if len(forms) else rows
    subsets = _shares(rows, "subset") if not why else pd.DataFrame()
    if not why and subsets.empty:
        why = f"Factors: no subset of the core was tested on panel {scope}."
    if why:
        return canvas.note_figure(why), rows.iloc[:0]
    cores = _shares(rows, "random_core")
    source = pd.concat([subsets, cores], ignore_index=True)
    arms = arms_in(subsets)[:2]
    names, endpoints = _subsets(set(subsets["subset"])), endpoint_order(list(subsets["endpoint"]))[:MOST]
    shown = subsets[subsets["arm"].isin(arms) & subsets["endpoint"].isin(endpoints)]
    low = np.floor(10 * float(shown["share"].min())) / 10
    norm = Normalize(low, max(1.0, float(shown["share"].max())))
    top, below, foot, left = 17, 30, 35, 24
    body = 4.2 * len(names)
    width, height = DOUBLE / MM, top + body + 6 + below + foot
    each = (width - left - 18) / len(arms) - 4
    figure = Figure(figsize=(DOUBLE, height * MM))
    for index, arm in enumerate(arms):
        x = left + index * (each + 4)
        ax = figure.add_axes((x / width, 1 - (top + body) / height, each / width, body / height))
        _heatmap(ax, shown[shown["arm"] == arm], names, endpoints, norm)
        mine = shown[shown["arm"] == arm]
        ax.set_title(f"{arm_name(arm)}, {repeats(rows[rows['arm'] == arm])}\n"
                     f"n = {_span(mine.groupby('endpoint')['n_donors'].max())} donors")  # fmt: skip
        ax.tick_params(labelleft=index == 0)
        strip = figure.add_axes((x / width, foot / height, each / width, below / height))
        drawn = cores[cores["arm"] == arm]
        _strip(strip, drawn, mine[mine["subset"] == names[-1]], _chance(rows, arm), endpoints)
        strip.set_ylim(min(low, float(cores["share"].min()) if len(cores) else low) - 0.05, norm.vmax + 0.05)
        strip.tick_params(labelleft=index == 0)
        if index == 0:
            strip.set_ylabel("share of intact")
        if drawn.empty:
            strip.text(0.02, 0.02, "no random core", transform=strip.transAxes, style="italic")
    bar = figure.add_axes(((width - 15) / width, 1 - (top + body) / height, 3 / width, body / height))
    figure.colorbar(ScalarMappable(norm, CMAP), cax=bar, label="share of intact performance")
    canvas.bottom_legend(figure, _handles(cores), 3)
    title = f"{scope}: share of the intact value that subsets of the core keep, probes as trained on all factors"
    figure.text(2 / width, 1 - 3.5 / height, title, va="center", size=8)
    return figure, source


def _span(counts: pd.Series) -> str:
    """A count, or the least and the most."""
    counts = counts.dropna()
    if counts.empty:
        return "0"
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"

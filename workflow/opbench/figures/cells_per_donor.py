"""How many cells of each label each donor has, and which donors are tested."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from opbench.figures.style import DOUBLE, INK, MM, PALE, SMALL, branch_colours, text_width
from opbench.figures.values import of_scope

CELL_H, CELL_W = 4.0, 7.6  # mm; a four-digit count at 7 pt needs 6.5 mm
WIDTH, GAP, FOOT, TITLE = DOUBLE / MM, 5.0, 12.0, 19.0  # mm
ANGLE = 50  # degrees, of the column names
MARKS = {"tested": "●", "trains only": "○", "not used": "·"}


def _roles(splits: pd.DataFrame) -> pd.Series:
    """Role by (dataset, donor, campaign): tested at least once, or only ever training."""
    tested = (splits["role"] == "test").groupby([splits[k] for k in ("dataset", "donor", "campaign")]).any()
    return tested.map({True: "tested", False: "trains only"})


def _block(panels: pd.DataFrame, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Counts (donors, labels), facts of the labels in order of depth then branch, condition by donor."""
    rows = panels[panels["dataset"] == dataset]
    labels = rows.groupby("label")[["depth", "branch"]].first().sort_values(["depth", "branch"], kind="stable")
    donors = rows.groupby("donor")["condition"].agg(lambda names: "/".join(sorted(set(names))))
    donors = donors.reset_index().sort_values(["condition", "donor"]).set_index("donor")["condition"]
    counts = rows.pivot_table(index="donor", columns="label", values="n_cells", aggfunc="sum", fill_value=0)
    return counts.reindex(index=donors.index, columns=labels.index), labels, donors


def _matrix(ax: Axes, counts: pd.DataFrame, norm: LogNorm) -> None:
    """Coloured cells with their counts; an empty cell stays white with a faint dot."""
    colours = colormaps["Blues"]
    for y, row in enumerate(counts.to_numpy()):
        for x, n in enumerate(row):
            shade = 0.05 + 0.85 * float(norm(n)) if n else 0.0
            face = colours(shade) if n else "white"
            ax.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", linewidth=0.6))
            ink = "white" if shade > 0.55 else INK
            ax.text(x + 0.5, y + 0.52, f"{n}" if n else "·", ha="center", va="center", fontsize=SMALL,
                    color=ink if n else "#A0A0A0")  # fmt: skip


def _decorate(ax: Axes, labels: pd.DataFrame, donors: pd.Series, colours: dict[str, str], bar: float) -> None:
    """Branch strip and depth above the columns, donor and condition left of the rows."""
    for x, (label, fact) in enumerate(labels.iterrows()):
        ax.add_patch(Rectangle((x + 0.04, -0.4), 0.92, 0.28, facecolor=colours[fact["branch"]], clip_on=False))
        depth = "–" if np.isnan(fact["depth"]) else f"{fact['depth']:.1f}"
        ax.text(x + 0.5, -0.95, depth, ha="center", va="center", fontsize=SMALL, color="#666666")
        ax.text(x + 0.35, -1.6, str(label), rotation=ANGLE, ha="left", va="bottom", rotation_mode="anchor")
    ax.text(-0.2, -0.95, "mean depth", ha="right", va="center", color="#666666")
    previous = None
    for y, (donor, condition) in enumerate(donors.items()):
        ax.text(-0.2, y + 0.52, str(donor), ha="right", va="center")
        if condition != previous:
            size = int((donors == condition).sum())
            weight = "bold" if condition == "healthy" else "normal"
            ax.text(bar - 0.15, y + size / 2, str(condition), ha="right", va="center", fontweight=weight)
            ax.plot([bar, bar], [y + 0.12, y + size - 0.12], color=INK, lw=0.8, clip_on=False)
            if previous is not None:
                ax.plot([bar, len(labels)], [y, y], color=INK, lw=0.6, clip_on=False)
        previous = condition


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Donors × labels with counts, one block per dataset of panel `scope` (PANELS, SPLITS)."""
    panels = of_scope(tables["panels"], "panel", scope, "cells_per_donor")
    splits = tables["splits"][tables["splits"]["panel"] == scope]
    campaigns, roles = sorted(splits["campaign"].unique()), _roles(splits)
    blocks = {name: _block(panels, name) for name in sorted(panels["dataset"].unique())}
    widest = max(counts.shape[1] for counts, _, _ in blocks.values())
    names = max(text_width(str(donor)) for _, _, donors in blocks.values() for donor in donors.index)
    left = names + 7 + max(text_width(str(name)) for _, _, donors in blocks.values() for name in donors)
    overhang = max([text_width(name) for name in campaigns], default=0) * np.cos(np.radians(ANGLE))
    cell_w = min(CELL_W, (WIDTH - left - overhang - 2) / (widest + 0.9 * len(campaigns) + 1.7))
    heads = [
        max(TITLE, 9.5 + max(map(text_width, [*labels.index, *campaigns])) * np.sin(np.radians(ANGLE)))
        for _, labels, _ in blocks.values()
    ]
    heights = [CELL_H * len(counts) for counts, _, _ in blocks.values()]
    total = sum(heights) + sum(heads) + GAP * len(blocks) + FOOT
    figure = Figure(figsize=(DOUBLE, total * MM))
    colours = branch_colours(list(panels["branch"]))
    norm = LogNorm(1, max(2, int(panels["n_cells"].max())))
    top, source = total, []
    for (name, (counts, labels, donors)), height, head in zip(blocks.items(), heights, heads, strict=True):
        top -= head
        box = (left / WIDTH, (top - height) / total, cell_w * counts.shape[1] / WIDTH, height / total)
        ax = figure.add_axes(box)
        ax.set(xlim=(0, counts.shape[1]), ylim=(len(counts), 0))
        ax.axis("off")
        _matrix(ax, counts, norm)
        _decorate(ax, labels, donors, colours, -(names + 4) / cell_w)
        tested = _mark(ax, name, counts, campaigns, roles)
        title = f"{name}\n{len(donors)} donors\n{int(counts.to_numpy().sum()):,} cells"
        figure.text(2 / WIDTH, (top + head - 2) / total, title, va="top", fontweight="bold")
        long = counts.rename_axis(columns="label").stack().rename("n_cells").reset_index()
        long = long.merge(labels.reset_index(), on="label").merge(tested, on="donor")
        source.append(long.assign(dataset=name, condition=long["donor"].map(donors)))
        top -= height + GAP
    _legend(figure, colours, bool(campaigns))
    return figure, pd.concat(source, ignore_index=True)


def _mark(ax: Axes, dataset: str, counts: pd.DataFrame, campaigns: list[str], roles: pd.Series) -> pd.DataFrame:
    """Totals and, for each campaign, whether the donor is tested; returns the roles by donor."""
    right = counts.shape[1]
    ax.text(right + 0.9, -0.95, "cells", ha="center", va="center", color="#666666")
    table = {"donor": list(counts.index)}
    for y, n in enumerate(counts.sum(axis=1)):
        ax.text(right + 1.35, y + 0.52, f"{n:,}", ha="right", va="center")
    for index, campaign in enumerate(campaigns):
        x = right + 2.1 + 0.9 * index
        here = [roles.get((dataset, donor, campaign), "not used") for donor in counts.index]
        table[f"role {campaign}"] = here
        ax.text(
            x - 0.1, -0.7, campaign, rotation=ANGLE, ha="left", va="bottom", rotation_mode="anchor", color="#666666"
        )
        for y, role in enumerate(here):
            ax.text(x, y + 0.5, MARKS[role], ha="center", va="center", fontsize=SMALL + 1)
    return pd.DataFrame(table)


def _legend(figure: Figure, colours: dict[str, str], marked: bool) -> None:
    handles = [Patch(facecolor=colour, label=name.replace("_", "/")) for name, colour in colours.items()]
    if marked:
        style = {"linestyle": "", "color": INK, "markersize": 4}
        handles += [
            Line2D([], [], marker="o", label="tested", **style),
            Line2D([], [], marker="o", fillstyle="none", label="trains only", **style),
            Line2D([], [], marker=".", label="not used", linestyle="", color=INK, markersize=2),
        ]
    else:
        handles.append(Patch(facecolor=PALE, label="no campaign uses this panel"))
    figure.legend(handles=handles, loc="lower left", ncols=6, bbox_to_anchor=(0.01, 0.0), handlelength=1.2)

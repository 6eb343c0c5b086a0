"""Does the second manifold follow its ruler better than principal components, and than with shuffled paths?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import LOOKS, OTHER, arm_name, arms_in, repeats
from opbench.figures.chain import chain_rows, p_text, part_name
from opbench.figures.style import DOUBLE, GREY, INK, MM, OKABE_ITO, number

#: Arm of the negative control, whose draws are a distribution.
SHUFFLED = "shuffled_path"
METHODS = {"geodesic_mds": ("geodesic MDS", "o", "-"), "isomap": ("Isomap", "s", "--")}
#: Arm of principal components, which no operator made; its colour and marker.
COMPONENTS, LOOK = "pca", (OKABE_ITO["sky"], "h")


def _by_width(rows: pd.DataFrame) -> pd.DataFrame:
    """Correlations of principal components under the names `correlation_pca<c>`, however the table holds them."""
    theirs = (rows["arm"] == COMPONENTS) & (rows["quantity"] == "correlation")
    return rows.assign(quantity=rows["quantity"].where(~theirs, "correlation_" + rows["operator"]))


def _widths(rows: pd.DataFrame) -> list[int]:
    """Numbers of principal components that the table has, in order."""
    found = rows["quantity"].str.extract(r"^(?:margin|correlation)_pca(\d+)$")[0].dropna()
    return sorted(set(found.astype(int)))


def _tested(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Rows of one part: of the map that was chosen on the internal part, where one is marked, and of the components."""
    mine = rows[rows["part"] == part]
    kept = mine["chosen"] | (mine["arm"] == COMPONENTS) | mine["quantity"].str.startswith("correlation_pca")
    return mine[kept] if mine["chosen"].any() else mine


def _one(rows: pd.DataFrame, quantity: str) -> pd.Series | None:
    """Mean over draws of a quantity and its interval, the extremes of draws in its place; None without a value."""
    mine = rows[rows["quantity"] == quantity]
    if mine.empty:
        return None
    out = mine[["value", "low", "high"]].mean()
    return out if out["low"] == out["low"] else out.fillna({"low": mine["value"].min(), "high": mine["value"].max()})


def _points(ax: Axes, rows: pd.DataFrame, arms: list[str], places: list[tuple[float, str]]) -> None:
    """Every arm at every place (x, quantity), side by side, with its interval."""
    for index, arm in enumerate(arms):
        colour, marker, _ = LOOKS.get(arm, OTHER)
        shift = (index - (len(arms) - 1) / 2) * min(0.8 / len(arms), 0.18)
        for x, quantity in places:
            if (value := _one(rows[rows["arm"] == arm], quantity)) is None:
                continue
            ax.plot([x + shift] * 2, [value["low"], value["high"]], color=colour, lw=1.0, zorder=4)
            ax.plot([x + shift], [value["value"]], marker=marker or "o", ms=3.8 if arm == "real" else 3.2, color=colour,
                    mec="white", mew=0.4, ls="", zorder=5)  # fmt: skip


def _components(ax: Axes, rows: pd.DataFrame, places: list[tuple[float, str]]) -> None:
    """Principal components with their intervals."""
    for x, quantity in places:
        if (value := _one(rows, quantity)) is not None:
            ax.plot([x] * 2, [value["low"], value["high"]], color=LOOK[0], lw=1.0, zorder=4)
            ax.plot([x], [value["value"]], marker=LOOK[1], ms=3.4, color=LOOK[0], mec="white", mew=0.4, zorder=5)


def _null(ax: Axes, rows: pd.DataFrame, places: list[tuple[float, str]]) -> None:
    """Draws of the shuffled paths as a pale cloud, with their 95 % point."""
    for x, quantity in places:
        values = rows.loc[(rows["arm"] == SHUFFLED) & (rows["quantity"] == quantity), "value"].sort_values().to_numpy()
        if not len(values):
            continue
        spread = 0.34 * np.sin(np.arange(len(values)) * 2.399963)  # golden angle: even, and the same every time
        ax.scatter(x + spread, values, s=3, color="#BDBDBD", lw=0, zorder=1)
        ax.plot([x - 0.4, x + 0.4], [np.quantile(values, 0.95)] * 2, color=GREY, lw=1.0, zorder=2)


def _sweep(ax: Axes, rows: pd.DataFrame) -> None:
    """Correlation over k for each method, of the real operator; the chosen setting ringed."""
    mine = rows[rows["arm"] == "real"]
    table = mine.groupby(["method", "neighbours"])["value"].agg(["mean", "min", "max"]).reset_index()
    for index, (method, group) in enumerate(table.groupby("method", sort=True)):
        name, marker, line = METHODS.get(str(method), (str(method).replace("_", " "), "^", ":"))
        colour = [OKABE_ITO["blue"], OKABE_ITO["orange"], OKABE_ITO["green"]][index % 3]
        x = group["neighbours"] + (index - 0.5) * 0.3  # equal values of two methods stay apart
        ax.vlines(x, group["min"], group["max"], color=colour, lw=0.9)
        ax.plot(x, group["mean"], color=colour, marker=marker, ms=3.6, ls=line, mec="white", mew=0.4, label=name)
        ring = group["neighbours"].isin(mine.loc[mine["chosen"] & (mine["method"] == method), "neighbours"])
        ax.plot(x[ring], group["mean"][ring], marker="o", ms=8, mfc="none", mec=INK, mew=0.9, ls="")
    ticks = sorted(table["neighbours"].unique())
    ax.set_xticks(ticks)
    # Room for the legend above, and no axis that magnifies rounding where one k was tried.
    middle, half = (table["max"].max() + table["min"].min()) / 2, (table["max"].max() - table["min"].min()) / 2
    half = max(1.9 * half, 0.05)
    ax.set_ylim(middle - half, middle + half)
    ax.set_xlim(ticks[0] - max(0.12 * (ticks[-1] - ticks[0]), 1), ticks[-1] + max(0.12 * (ticks[-1] - ticks[0]), 1))
    ax.legend(loc="upper center", handlelength=1.8)


def _titles(axes: list[Axes], rows: pd.DataFrame, part: str, mine: pd.DataFrame) -> None:
    real = mine[mine["arm"] == "real"]
    real = real if len(real) else mine
    n, inside = int(mine["n"].max()), rows.loc[rows["part"] == "internal", "n"]
    known = int(inside.max()) if len(inside) else 0
    method, k = str(real["method"].iloc[0]), int(real["neighbours"].iloc[0])
    text = p_text(real[real["quantity"] == "correlation"])
    axes[0].set_title(f"{part_name(part)}, n = {n} anchors\n{f'real: {text}' if text else ''}")
    axes[0].set_ylabel("correlation with the ruler")
    axes[1].set_title(f"Margin over principal components\n{METHODS.get(method, (method,))[0]}, k = {k}")
    axes[1].set_ylabel("correlation, manifold − PCA")
    axes[2].set_title(f"Sweep of the real operator\ninternal, n = {known} anchors")
    axes[2].set_xlabel("neighbours k")
    axes[2].set_ylabel("correlation with the ruler")


def _handles(mine: pd.DataFrame, arms: list[str]) -> list:
    out: list = []
    for arm in arms:
        colour, marker, _ = LOOKS.get(arm, OTHER)
        what = (
            f", mean of {repeats(mine[mine['arm'] == arm])}"
            if mine.loc[mine["arm"] == arm, "draw"].nunique() > 1
            else ""
        )
        out.append(canvas.key(marker or "o", arm_name(arm) + what, colour=colour))
    out.append(canvas.key(LOOK[1], "principal components of expression", colour=LOOK[0], size=3.4))
    if (mine["arm"] == SHUFFLED).any():
        n = mine.loc[mine["arm"] == SHUFFLED, "draw"].nunique()
        out.append(Patch(facecolor="#BDBDBD", label=f"shuffled paths, {n} draws; line: their 95 % point"))
    out.append(Line2D([], [], color=INK, marker="|", ls="", ms=6, label="interval over donors"))
    return [*out, canvas.key("o", "chosen on the internal part", fill=False, size=7)]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Second manifold of panel `scope` (MANIFOLD2): correlations, margins over PCA, and the sweep it was chosen in."""
    rows, why = chain_rows(tables["manifold2"], scope, "Second manifold")
    if not why and not (rows["quantity"] == "correlation").any():
        why = f"Second manifold: no correlation with the ruler on panel {scope}."
    if why:
        return canvas.note_figure(why), rows.iloc[:0]
    rows = _by_width(rows)
    part = next(part for part in ("external", "zero_shot", "internal", *rows["part"]) if (rows["part"] == part).any())
    mine = _tested(rows, part)
    arms, widths = [arm for arm in arms_in(mine) if arm not in (SHUFFLED, COMPONENTS)], _widths(mine)
    handles = _handles(mine, arms)
    foot, height = 3.4 * -(-len(handles) // 2) + 8, 66
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.05)
    axes = list(figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1)))
    places = [(1.0 + k, f"correlation_pca{width}") for k, width in enumerate(widths)]
    margins = [(float(k), f"margin_pca{width}") for k, width in enumerate(widths)]
    names = ["manifold", *(f"PCA-{width}" for width in widths)]
    _null(axes[0], mine, [(0.0, "correlation")])
    _points(axes[0], mine, arms, [(0.0, "correlation")])
    _components(axes[0], mine, places)
    axes[0].set_xticks(range(len(names)), names, rotation=45)
    _null(axes[1], mine, margins)
    _points(axes[1], mine, arms, margins)
    axes[1].axhline(0, color=INK, lw=0.7, zorder=3)
    axes[1].set_xticks(range(len(widths)), names[1:], rotation=45)
    inside = rows[(rows["part"] == "internal") & (rows["quantity"] == "correlation")]
    _sweep(axes[2], inside)
    _titles(axes, rows, part, mine)
    canvas.bottom_legend(figure, handles, 2)
    lead = _one(mine[mine["arm"] == "real"], f"margin_pca{widths[0]}") if widths else None
    text = ""
    if lead is not None:
        ends = f"{number(lead['low'], 3)} to {number(lead['high'], 3)}"
        text = f"; margin over PCA-{widths[0]} {number(lead['value'], 3)} ({ends})"
    figure.suptitle(f"{scope}: second manifold, intercellular communication{text}", x=0.01, ha="left")
    return figure, pd.concat([mine, inside]).drop_duplicates().reset_index(drop=True)

"""Every donor's value for every method, one small panel per endpoint."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from opbench.figures import canvas
from opbench.figures.style import (
    GREY,
    INK,
    REAL,
    REFERENCES,
    Label,
    endpoint_name,
    endpoint_order,
    is_null,
    method_name,
    method_order,
)
from opbench.figures.values import campaign_tables, why_not

_LINES = {"oracle": "--", "chance": ":"}


def _title(endpoint: str, n: int, verdict: bool) -> str:
    name, _, what = endpoint_name(endpoint).partition(", ")
    return f"{name}{'' if verdict else ' *'}\n{what or ' '}\nn = {n} donor{'s' * (n != 1)}"


def _drawable(values: pd.DataFrame) -> list[str]:
    """Endpoints with a panel: all but those that do not apply (a subtype of another dataset) and have no value."""
    status = values[~values["protocol"].isin(REFERENCES)].groupby("endpoint")["status"].agg(set)
    return endpoint_order([e for e, found in status.items() if "ok" in found or "not_applicable" not in found])


def _panel(ax: Axes, values: pd.DataFrame, summary: pd.DataFrame, methods: list[str]) -> None:
    """Donor dots joined by donor, means with intervals, and the bracketing methods as vertical lines."""
    donors = sorted(values["donor"].unique())
    offset = canvas.spread(donors)
    wide = values.pivot(index="donor", columns="method", values="value").reindex(index=donors)
    rows = [m for m in methods if m in wide]
    for donor in donors:
        path = [(wide.at[donor, m], methods.index(m) + offset[donor]) for m in rows if pd.notna(wide.at[donor, m])]
        if path:
            ax.plot(*zip(*path, strict=True), color=GREY, lw=0.4, alpha=0.45, zorder=1)
    for reference, style in _LINES.items():
        if reference in summary.index:
            ax.axvline(summary.at[reference, "mean"], color=GREY, lw=0.9, ls=style, zorder=1)
    most = int(wide[rows].notna().sum().max()) if rows else 0
    for y, method in enumerate(methods):
        x = wide[method].dropna() if method in wide else pd.Series(dtype=float)
        if x.empty:
            mine = values.loc[values["method"] == method, "status"]
            canvas.no_value(ax, y, why_not(mine) if len(mine) else "not run")
            continue
        row = summary.loc[method]
        canvas.donor_dots(ax, x, [y + offset[donor] for donor in x.index], method, bool(row["leaking"]))
        canvas.mean_bar(ax, row["mean"], row["ci_low"], row["ci_high"], y)
        if len(x) < most:
            ax.text(1.0, y, f"n={len(x)}", transform=ax.get_yaxis_transform(), ha="right", va="center", color=INK,
                    bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.3}, zorder=7)  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Small multiples by endpoint of campaign `scope`: donors' values, means and intervals (SCORES, SUMMARY)."""
    summary, values = campaign_tables(tables, scope, "paired_donors")
    values = values[~values["endpoint"].map(is_null)]
    endpoints = _drawable(values)
    leaking = values.groupby("method")["leaking"].any()
    methods = [m for m in method_order(list(leaking.index)) if Label.parse(m).name not in REFERENCES]
    if not endpoints:
        return canvas.note_figure(f"No method has a value on any endpoint of campaign {scope}."), values.iloc[:0]
    names = [method_name(m, bool(leaking[m])) for m in methods]
    bold = [Label.parse(m).name == REAL for m in methods]
    figure, axes = canvas.endpoint_grid(len(endpoints), len(methods), foot=9)
    for index, (ax, endpoint) in enumerate(zip(axes, endpoints, strict=True)):
        canvas.method_axis(ax, names, bold, labelled=index % 4 == 0)
        here, means = values[values["endpoint"] == endpoint], summary.loc[endpoint]
        scored = here.loc[here["value"].notna() & ~here["protocol"].isin(REFERENCES), "donor"]
        n, verdict = scored.nunique(), bool(means["verdict"].any())
        _panel(ax, here, means, methods)
        ax.set_title(_title(endpoint, n, verdict))
    handles = [canvas.key("o", "donor", colour=GREY, size=3), canvas.key("D", "mean over donors, bootstrap interval")]
    known = set(leaking.index)
    handles += [Line2D([], [], color=GREY, ls=ls, label=f"{name} mean") for name, ls in _LINES.items() if name in known]
    handles.append(Line2D([], [], linestyle="", label="* descriptive: carries no verdict"))
    canvas.bottom_legend(figure, handles, 5)
    drawn = values[values["endpoint"].isin(endpoints)]
    extra = summary.loc[endpoints, ["verdict", "n_donors", "mean", "ci_low", "ci_high"]].reset_index()
    return figure, drawn.merge(extra, on=["endpoint", "method"], how="left").reset_index(drop=True)

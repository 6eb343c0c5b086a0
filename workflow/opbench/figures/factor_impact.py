"""How much goes with each factor, and how fast the shares add up: the real operator beside its controls."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from opbench.figures import canvas
from opbench.figures.arms import BANDS, LOOKS, OTHER, arm_name, arms_in
from opbench.figures.chain import chain_rows
from opbench.figures.chain_marks import line_keys
from opbench.figures.style import DOUBLE, MM, number

#: Factors whose impact is drawn; the curves and the source table hold all.
FIRST = 16
PROBES = {"fixed": "probes as trained on all factors", "retrained": "probes trained again without the factor"}
#: Cumulative share -> the order of its factors.
ORDERS = {"share": "by singular value", "share_by_impact": "largest impact first"}
MARKS = (4, 10, 16)


def _means(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Mean of one quantity over draws by factor, arm and probes, with its interval and the extremes of draws."""
    mine = rows[(rows["quantity"] == quantity) & (rows["factor"] >= 0)]
    return mine.groupby(["quantity", "probes", "arm", "factor"], sort=True).agg(
        value=("value", "mean"), draw_low=("value", "min"), draw_high=("value", "max"), low=("low", "mean"),
        high=("high", "mean"), n_draws=("draw", "nunique"),
    ).reset_index()  # fmt: skip


def _lines(ax: Axes, table: pd.DataFrame, arms: list[str], x: str, markers: bool) -> None:
    """Bands of random arms, lines of the others, the real operator on top with its interval, or its seeds' extremes."""
    for layer, arm in enumerate(reversed(arms)):
        (colour, marker, line), mine = LOOKS.get(arm, OTHER), table[table["arm"] == arm].sort_values(x)
        if mine.empty:
            continue
        if arm in BANDS:
            ax.fill_between(mine[x], mine["draw_low"], mine["draw_high"], color=colour, alpha=0.35, lw=0, zorder=1)
            ax.plot(mine[x], mine["value"], color=colour, lw=0.8, ls=line, zorder=2)
            continue
        real = arm == "real"
        if real:
            ends = ("low", "high") if mine["low"].notna().any() else ("draw_low", "draw_high")
            if markers:
                ax.vlines(mine[x], mine[ends[0]], mine[ends[1]], color=colour, lw=1.0, zorder=9)
            else:
                ax.fill_between(mine[x], mine[ends[0]], mine[ends[1]], color=colour, alpha=0.2, lw=0, zorder=8)
        style = {"lw": 1.2, "zorder": 10, "ms": 3.2} if real else {"lw": 0.7, "zorder": 3 + layer / 10, "ms": 2.8}
        ax.plot(mine[x], mine["value"], color=colour, marker=marker if markers else "", mec="white", mew=0.4, ls=line,
                markevery=1 if x == "factor" else max(len(mine) // 8, 1), **style)  # fmt: skip


def _marks(ax: Axes, curve: pd.DataFrame, whole: int) -> None:
    """Shares of the first few factors of the real operator, in figures."""
    mine = curve[curve["arm"] == "real"].set_index("factors")["value"]
    text = "\n".join(f"first {k}: {number(100 * mine[k], 1)} %" for k in MARKS if k in mine.index and k < whole)
    if text:
        ax.text(0.98, 0.05, "Real operator\n" + text, transform=ax.transAxes, ha="right", va="bottom",
                bbox={"facecolor": "white", "alpha": 0.85, "lw": 0, "pad": 1.5}, zorder=20)  # fmt: skip


def _shares(ax: Axes, curve: pd.DataFrame, arms: list[str], title: str, probes: str) -> None:
    """One panel of cumulative shares, with equal shares as a dotted line."""
    curve = curve.assign(factors=curve["factor"] + 1)
    whole = int(curve["factors"].max()) if len(curve) else 1
    _lines(ax, curve, arms, "factors", markers=False)
    ax.plot([0, whole], [0, 1], color="black", lw=0.5, ls=":", zorder=0)
    _marks(ax, curve, whole)
    ax.set_title(f"Cumulative share of impact, {title}\n{probes}")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("number of factors")
    ax.set_ylabel("share of the summed impact")


def _form(rows: pd.DataFrame) -> str:
    """The form that most impacts are of: the first rank, beside a sparse form where there is one."""
    forms = rows.loc[rows["quantity"] == "impact", "form"]
    return str(forms.value_counts().sort_index().idxmax())


def _notes(rows: pd.DataFrame) -> str:
    """What rows of shares say of their order, by arm."""
    said = rows[(rows["quantity"] == "share") & (rows["reason"] != "")].groupby("reason")["arm"].unique()
    return " ".join(f"{', '.join(map(arm_name, arms))}: {reason}." for reason, arms in said.items())


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Impact of factors of panel `scope` (FACTORS) with fixed and retrained probes, and cumulative shares below."""
    rows, why = chain_rows(tables["factors"], scope, "Factors")
    if not why and not ((rows["quantity"] == "impact") & (rows["factor"] >= 0)).any():
        why = f"Factors: no impact of single factors on panel {scope}."
    if why:
        return canvas.note_figure(why), rows.iloc[:0]
    rows = rows[rows["form"] == (form := _form(rows))]
    source = pd.concat([_means(rows, name) for name in ("impact", "share", "share_by_impact")], ignore_index=True)
    impact, arms = source[source["quantity"] == "impact"], arms_in(source)
    kinds = [kind for kind in PROBES if (impact["probes"] == kind).any()]
    notes = textwrap.fill(_notes(rows), 130)
    handles = line_keys(rows[rows["quantity"] == "impact"], arms, "mean, least to most")
    handles.append(
        Patch(facecolor=LOOKS["real"][0], alpha=0.3, label="real operator: donors' interval, or extremes of seeds")
    )
    foot, height = 8 + 3.6 * -(-len(handles) // 2) + 3.2 * len(notes.splitlines()), 130
    figure = Figure(figsize=(DOUBLE, (height + foot) * MM), layout="constrained")
    figure.get_layout_engine().set(
        rect=(0, foot / (height + foot), 1, height / (height + foot)), w_pad=0.05, h_pad=0.04
    )
    grid = figure.subplots(2, 2)
    n = int(rows.loc[rows["quantity"].isin(("drop", "intact")), "n"].max()) if len(rows) else 0
    for ax, (kind, text) in zip(grid[0], PROBES.items(), strict=True):
        if kind not in kinds:
            ax.axis("off")
            ax.text(0.5, 0.5, f"{text}: not run", ha="center", style="italic", transform=ax.transAxes)
            continue
        _lines(ax, impact[(impact["probes"] == kind) & (impact["factor"] < FIRST)], arms, "factor", markers=True)
        ax.axhline(0, color="black", lw=0.5, zorder=0)
        ax.set_title(f"Impact of leaving a factor out\n{text}")
        ax.set_xticks(range(0, FIRST, 3), [f"f{factor:02d}" for factor in range(0, FIRST, 3)])
        ax.set_xlabel("factor, by singular value")
        ax.set_ylabel("drops, summed over endpoints")
    for ax, (quantity, title) in zip(grid[1], ORDERS.items(), strict=True):
        mine = source[(source["quantity"] == quantity) & (source["probes"] == kinds[0])]
        _shares(ax, mine, arms, title, PROBES[kinds[0]])
    canvas.bottom_legend(figure, handles, 2, bottom=(1.5 + 3.2 * len(notes.splitlines())) / (height + foot))
    figure.text(0.01, 1 / (height + foot), notes, va="bottom")
    figure.suptitle(f"{scope}: factors of the operator's form {form}, n = {n} donors", x=0.01, ha="left")
    return figure, source

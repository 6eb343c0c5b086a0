"""Genes that the first factors read and write, with the best gene set: the real operator beside one random draw."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.arms import arm_name, arms_in, is_random
from opbench.figures.chain import chain_rows
from opbench.figures.style import DOUBLE, MM, OKABE_ITO

#: Factors and genes a side that fit on a page; the source table holds what is drawn, PROGRAMS all.
FACTORS, GENES = 8, 6
LEVEL = 0.05
LINES, ROW, WIDE = 6, 3.1, 50  # lines a factor, mm a line, characters a line
_MUTED = "#595959"


def _genes(rows: pd.DataFrame, side: str) -> str:
    mine = rows[rows["side"] == side].sort_values("rank")
    return ", ".join(mine["gene"].head(GENES))


def _best(tests: pd.DataFrame) -> pd.DataFrame:
    """The gene set of the smallest q by factor and side; ties go to the larger fold, then by name."""
    order = tests.sort_values(["q", "fold", "gene_set"], ascending=[True, False, True], kind="stable")
    return order.groupby(["factor", "side"], sort=True).first().reset_index()


def _set_text(best: pd.DataFrame | None, factor: int, side: str) -> tuple[str, bool]:
    """The best gene set of one side in print, and whether it is significant."""
    if best is None:
        return "gene sets not tested", False
    mine = best[(best["factor"] == factor) & (best["side"] == side)]
    if mine.empty:
        return "no gene set", False
    row = mine.iloc[0]
    name = str(row["gene_set"]).replace("_", " ")
    facts = f"{int(row['overlap'])}/{int(row['set_size'])}, q = {row['q']:.2g}"
    return f"{textwrap.shorten(name, WIDE - len(facts) - 5, placeholder='…')} ({facts})", bool(row["q"] < LEVEL)


def _block(ax: Axes, programs: pd.DataFrame, best: pd.DataFrame | None, factors: list[int], lines: int) -> list[dict]:
    """`lines` lines of text a factor: singular value, read and write genes, each with its best set where some have one.

    best: None where this operator's gene sets were not tested.
    """
    out, step = [], (lines - 2) // 2
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(len(factors) * lines - 0.5, -0.5)
    for index, factor in enumerate(factors):
        top, mine = index * lines, programs[programs["factor"] == factor]
        if index % 2 == 0:
            ax.axhspan(top - 0.35, top + lines - 0.65, color="#F5F5F5", lw=0, zorder=0)
        if mine.empty:
            ax.text(0.01, top + 0.5, f"f{factor:02d}: no value", va="center", style="italic", color="#666666")
            continue
        ax.text(0.01, top + 0.5, f"f{factor:02d}   singular value {mine['singular_value'].iloc[0]:.3g}", va="center",
                fontweight="bold")  # fmt: skip
        for line, side in ((top + 1.5, "read"), (top + 1.5 + step, "write")):
            genes = _genes(mine, side)
            text, significant = _set_text(best, factor, side)
            ax.text(0.01, line, side, va="center", color=_MUTED)
            ax.text(0.11, line, textwrap.shorten(genes, WIDE, placeholder=" …") or "–", va="center")
            if step > 1:
                ax.text(0.11, line + 1, text, va="center", style="normal" if significant else "italic",
                        color=OKABE_ITO["blue"] if significant else _MUTED)  # fmt: skip
            out.append({"factor": factor, "side": side, "genes": genes, "gene_set": text, "significant": significant})
    return out


def _columns(programs: pd.DataFrame) -> list[tuple[str, int]]:
    """(arm, draw) of the two blocks: the real operator, and the first draw of its first random control."""
    arms = arms_in(programs)
    chosen = [arm for arm in arms if arm == "real"]
    others = [arm for arm in arms if arm != "real"]
    chosen += [arm for arm in others if is_random(arm)][:1] or others[:1]
    return [(arm, int(programs.loc[programs["arm"] == arm, "draw"].min())) for arm in chosen]


def _share(best: pd.DataFrame | None, factors: list[int]) -> str:
    """How many of the sides shown have a significant set."""
    if best is None:
        return "no gene set was tested"
    return f"{int((best['q'] < LEVEL).sum())} of {2 * len(factors)} sides with a gene set at q < {LEVEL}"


def _tests(tables: dict[str, pd.DataFrame], scope: str) -> tuple[pd.DataFrame, str]:
    """Tests of gene sets, and what the figure says below: what is shown, or why there are none."""
    if "enrichment" not in tables:
        return pd.DataFrame(), "Gene sets were not tested."
    tests, why = chain_rows(tables["enrichment"].assign(value=tables["enrichment"]["q"]), scope, "Gene sets")
    what = "Best gene set below its genes (genes shared / genes of the set in the panel)"
    return tests, why or f"{what}; blue and upright: q < {LEVEL}."


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Programs of the first factors of panel `scope` (PROGRAMS), and their best gene sets (ENRICHMENT)."""
    programs, why = chain_rows(tables["programs"], scope, "Gene programs")
    if why:
        return canvas.note_figure(why), programs
    tests, note = _tests(tables, scope)
    note = textwrap.fill(note, 130)
    factors = sorted(set(programs["factor"]))[:FACTORS]
    lines = LINES if len(tests) else LINES - 2
    body, head, foot = len(factors) * lines * ROW, 16, 6 + 3.2 * len(note.splitlines())
    width, height = DOUBLE / MM, head + body + foot
    figure, source = Figure(figsize=(DOUBLE, height * MM)), []
    each = (width - 6) / 2
    for index, (arm, number) in enumerate(_columns(programs)):
        x = 2 + index * (each + 2)
        ax = figure.add_axes((x / width, foot / height, each / width, body / height))
        mine = programs[(programs["arm"] == arm) & (programs["draw"] == number)]
        here = tests[(tests["arm"] == arm) & (tests["draw"] == number)] if len(tests) else tests
        best = _best(here[here["factor"].isin(factors)]) if len(here) else None
        source.append(pd.DataFrame(_block(ax, mine, best, factors, lines)).assign(arm=arm, draw=number))
        title = arm_name(arm) + (f", draw {number}" if is_random(arm) else "")
        figure.text(x / width, 1 - 8.5 / height, title, fontweight="bold" if arm == "real" else "normal", va="center")
        figure.text(x / width, 1 - 12 / height, _share(best, factors), va="center", color=_MUTED)
    figure.text(2 / width, 1 - 3.5 / height, f"{scope}: genes that a factor reads and writes most, largest first",
                va="center", size=8)  # fmt: skip
    figure.text(2 / width, 2.5 / height, note, va="bottom")
    return figure, pd.concat(source, ignore_index=True)

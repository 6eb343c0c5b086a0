"""Genes that the first factors read and write, with the best gene set: the real operator beside one random draw."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.chain_rows import arms_in, chain_rows, is_random, operator_name
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


def _set_text(best: pd.DataFrame, factor: int, side: str, tested: bool) -> tuple[str, bool]:
    """The best gene set of one side in print, and whether it is significant."""
    mine = best[(best["factor"] == factor) & (best["side"] == side)] if len(best) else best
    if mine.empty:
        return ("no gene set" if tested else "gene sets not tested"), False
    row = mine.iloc[0]
    name = str(row["gene_set"]).replace("_", " ")
    facts = f"{int(row['overlap'])}/{int(row['set_size'])}, q = {row['q']:.2g}"
    return f"{textwrap.shorten(name, WIDE - len(facts) - 5, placeholder='…')} ({facts})", bool(row["q"] < LEVEL)


def _block(ax: Axes, programs: pd.DataFrame, best: pd.DataFrame, factors: list[int], tested: bool) -> list[dict]:
    """Lines of text a factor: its singular value, read and write genes, each with its best set."""
    out = []
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(len(factors) * LINES, 0)
    for index, factor in enumerate(factors):
        top, mine = index * LINES, programs[programs["factor"] == factor]
        if index % 2 == 0:
            ax.axhspan(top - 0.35, top + LINES - 0.65, color="#F5F5F5", lw=0, zorder=0)
        if mine.empty:
            ax.text(0.01, top + 0.5, f"f{factor:02d}: no value", va="center", style="italic", color="#666666")
            continue
        ax.text(0.01, top + 0.5, f"f{factor:02d}   singular value {mine['singular_value'].iloc[0]:.3g}", va="center",
                fontweight="bold")  # fmt: skip
        for line, side in ((1, "read"), (3, "write")):
            genes = _genes(mine, side)
            text, significant = _set_text(best, factor, side, tested)
            ax.text(0.01, top + line + 0.5, side, va="center", color=_MUTED)
            ax.text(0.11, top + line + 0.5, textwrap.shorten(genes, WIDE, placeholder=" …") or "–", va="center")
            ax.text(0.11, top + line + 1.5, text, va="center",
                    style="normal" if significant else "italic",
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


def _share(tests: pd.DataFrame, factors: list[int], tested: bool) -> str:
    """How many of the sides shown have a significant set."""
    if not tested:
        return "no gene set was tested"
    best = _best(tests)
    found = int((best["q"] < LEVEL).sum())
    return f"{found} of {2 * len(factors)} sides with a gene set at q < {LEVEL}"


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Programs of the first factors of panel `scope` (PROGRAMS), and their best gene sets (ENRICHMENT)."""
    programs, why = chain_rows(tables["programs"], scope, "gene programs")
    if why:
        return canvas.note_figure(why), programs
    all_tests = tables.get("enrichment", pd.DataFrame())
    tests, untested = chain_rows(all_tests, scope, "enrichment") if len(all_tests) else (all_tests, "no rows")
    columns = _columns(programs)
    factors = sorted(set(programs["factor"]))[:FACTORS]
    head, foot = 16, 9 if not untested else 13
    height = head + len(factors) * LINES * ROW + foot
    figure = Figure(figsize=(DOUBLE, height * MM))
    width, source = DOUBLE / MM, []
    each = (width - 6) / 2
    for index, (arm, number) in enumerate(columns):
        x, bottom = 2 + index * (each + 2), foot / height
        ax = figure.add_axes((x / width, bottom, each / width, len(factors) * LINES * ROW / height))
        mine = programs[(programs["arm"] == arm) & (programs["draw"] == number)]
        here = pd.DataFrame()
        if not untested:
            here = tests[(tests["arm"] == arm) & tests["factor"].isin(factors)]
            here = here[here["draw"] == (number if (here["draw"] == number).any() else here["draw"].min())]
        tested = len(here) > 0
        lines = _block(ax, mine, _best(here) if tested else pd.DataFrame(), factors, tested)
        source.append(pd.DataFrame(lines).assign(arm=arm, draw=number))
        title = operator_name(arm) + (f", draw {number}" if is_random(arm) else "")
        figure.text(x / width, 1 - 8.5 / height, title, fontweight="bold" if arm == "real" else "normal", va="center")
        figure.text(x / width, 1 - 12 / height, _share(here, factors, tested), va="center", color=_MUTED)
    figure.text(2 / width, 1 - 3.5 / height, f"{scope}: genes that a factor reads and writes most, largest first",
                va="center", size=8)  # fmt: skip
    notes = [textwrap.fill(untested, 130)] if untested and len(all_tests) else []
    notes.append(
        f"Best gene set below its genes (genes shared / genes of the set in the panel); blue and upright: q < {LEVEL}."
    )
    figure.text(2 / width, 2.5 / height, "\n".join(notes), va="bottom")
    return figure, pd.concat(source, ignore_index=True)

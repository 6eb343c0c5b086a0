"""Every published claim on one slide: reported, this run, the strongest control, and two verdicts."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.style import DOUBLE, GREY, INK, METHODS, MM, OKABE_ITO

#: Verdict -> marker, colour, name; each has a shape of its own, so that colour is not needed to read it.
VERDICTS = {
    "model_specific": ("*", OKABE_ITO["green"], "model-specific"),
    "holds": ("o", OKABE_ITO["blue"], "holds"),
    "readable": ("s", OKABE_ITO["sky"], "readable"),
    "not_separable": ("D", OKABE_ITO["orange"], "not separable"),
    "undecided": ("^", INK, "undecided"),
    "fails": ("v", OKABE_ITO["purple"], "fails"),
    "contradicted": ("X", OKABE_ITO["vermillion"], "contradicted"),
    "not_testable": ("o", GREY, "not testable"),
}
#: Of a claim's cases the board shows the first of these; not testable only when no case could be tested.
WORST = ("contradicted", "fails", "not_separable", "undecided", "readable", "holds", "model_specific", "not_testable")
SIZES = {"*": 7.5, "D": 4.2, "s": 4.6, "X": 5.6, "v": 5.2, "^": 5.2}
ROW, HEAD, FOOT = 4.3, 13.0, 13.5  # mm
#: Left or right edge of each column within a half, mm.
RUN, PUBLISHED, NUMBER, TITLE, REPORTED, OURS, CONTROL, END = 2.6, 7.2, 14.0, 15.2, 60.5, 71.5, 73.0, 90.5
#: Longest text of the columns, in letters.
LONGEST = {"run": 24, "reported": 8, "control": 7}
#: Short names of controls; others lose their underscores.
CONTROLS = {
    "gaussian": "Gauss", "row_permuted": "rows", "coexpression": "co-expr", "raw_log1p": "raw",
    "random_projection": "random", "random_value_per_cell_type": "type", "raw genes, linear probe": "raw",
    "random_operator_wins": "Gauss", "random_operator_gap": "Gauss", "random_operator_lead": "Gauss",
}  # fmt: skip


def worst_cases(claims: pd.DataFrame) -> pd.DataFrame:
    """One row per claim: its worst tested case, with `cases` and `tested` counted (CLAIMS)."""
    order = claims["analogue"].map(WORST.index)
    chosen = claims.assign(order=order).sort_values(["claim", "order"], kind="stable").drop_duplicates("claim")
    tested = claims["analogue"] != "not_testable"
    counts = claims.groupby("claim").agg(cases=("case", "size")).join(tested.groupby(claims["claim"]).sum())
    counts = counts.rename(columns={"analogue": "tested"})
    return chosen.drop(columns="order").join(counts, on="claim").reset_index(drop=True)


def halves(board: pd.DataFrame) -> list[list[tuple[str, pd.DataFrame]]]:
    """Families in the order of their claims, cut in two where the halves' heights differ least."""
    families = [(str(name), rows) for name, rows in board.groupby("family", sort=False)]
    sizes = [len(rows) + 1 for _, rows in families]
    cut = min(range(1, len(families) + 1), key=lambda k: abs(sum(sizes[:k]) - sum(sizes[k:])))
    return [part for part in (families[:cut], families[cut:]) if part]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """The board of run `scope`, at the proportions of a slide (CLAIMS); the sister paper's has a figure of its own."""
    claims = tables["claims"]
    board = worst_cases(claims[claims["family"] != "geometry"])
    if board.empty:
        return canvas.note_figure("This run was given no claims."), board
    parts = halves(board)
    lines = max(sum(len(rows) + 1 for _, rows in part) for part in parts)
    height = HEAD + lines * ROW + FOOT
    figure = Figure(figsize=(DOUBLE, height * MM))
    half = DOUBLE / MM / 2
    for index, part in enumerate(parts):
        box = (index / 2, FOOT / height, 0.5, (lines * ROW + 5) / height)
        ax = figure.add_axes(box, xlim=(0, half), ylim=(lines, -5 / ROW), xticks=[], yticks=[])
        ax.set_axis_off()
        _half(ax, part)
    tested = int((board["analogue"] != "not_testable").sum())
    own = int((board["published"] != "not_testable").sum())
    title = f"Run {shortened(scope, LONGEST['run'])}: {tested} of {len(board)} published claims tested on this model "
    title += f"and data, {own} on the paper's own"
    figure.text(2 * MM / DOUBLE, 1 - 2 / height, title, ha="left", va="top", fontsize=8, fontweight="bold")
    _legend(figure, height, board["analogue"].value_counts().to_dict())
    return figure, board


def _half(ax: Axes, part: list[tuple[str, pd.DataFrame]]) -> None:
    """Rows of some families from the top down; a line is one unit high."""
    for x, text, align in ((0.6, "run pap.", "left"), (REPORTED, "reported", "right"), (OURS, "this run", "right"),
                           (CONTROL, "best control", "left")):  # fmt: skip
        ax.text(x, -0.35, text, ha=align, va="center", color="#555555")
    y = 0.5
    for family, rows in part:
        ax.text(TITLE, y, family[:1].upper() + family[1:], ha="left", va="center", fontweight="bold")
        ax.plot([TITLE, END], [y + 0.48, y + 0.48], color=GREY, lw=0.5)
        for offset, (_, row) in enumerate(rows.iterrows(), 1):
            _row(ax, y + offset, row, shaded=offset % 2 == 1)
        y += len(rows) + 1


def _row(ax: Axes, y: float, row: pd.Series, shaded: bool) -> None:
    if shaded:
        ax.axhspan(y - 0.5, y + 0.5, xmax=END / ax.get_xlim()[1], color="#F5F5F5", lw=0, zorder=0)
    _mark(ax, RUN, y, row["analogue"], 1.0)
    _mark(ax, PUBLISHED, y, row["published"], 0.75)
    colour = INK if row["analogue"] != "not_testable" else "#6E6E6E"
    columns = (
        (NUMBER, str(row["claim"]), "right"), (TITLE, row["title"], "left"),
        (REPORTED, _reported(row), "right"), (OURS, compact(row["value"]), "right"),
        (CONTROL, _control(row), "left"),
    )  # fmt: skip
    for x, text, align in columns:
        weight = "bold" if x == OURS and row["matches"] == "yes" else "normal"
        ax.text(x, y, text, ha=align, va="center", color=colour, fontweight=weight)


def _mark(ax: Axes, x: float, y: float, verdict: str, scale: float) -> None:
    marker, colour, _ = VERDICTS[verdict]
    hollow = verdict == "not_testable"
    size = SIZES.get(marker, 5.0) * scale * (0.7 if hollow else 1)
    ax.plot([x], [y], marker=marker, ms=size, color=colour, mfc="white" if hollow else colour, mew=0.7, linestyle="")


def _reported(row: pd.Series) -> str:
    """The reported number, or its words where they are short."""
    if row["reported_value"] == row["reported_value"]:
        return compact(row["reported_value"])
    return shortened(row["reported"], LONGEST["reported"]) or "–"


def _control(row: pd.Series) -> str:
    """The strongest control's value and name; the null floor where the number is a difference from the control."""
    if row["control_value"] == row["control_value"] and row["strongest_control"]:
        name = row["strongest_control"]
        known = CONTROLS.get(name) or METHODS.get(name, ("", ""))[0] or name.replace("_", " ")
        return f"{compact(row['control_value'])} {shortened(known, LONGEST['control'])}"
    return f"{compact(row['null_floor'])} floor" if row["null_floor"] == row["null_floor"] else ""


def shortened(text: str, longest: int) -> str:
    """At most `longest` letters: what is in brackets goes first, then the end, for an ellipsis."""
    text = text if len(text) <= longest else text.split(" (")[0]
    return text if len(text) <= longest else text[: longest - 1].rstrip(" .,–") + "…"


def compact(value: float) -> str:
    """A number in at most seven letters, with a true minus sign; a dash where there is none."""
    if value != value:
        return "–"
    size = abs(value)
    if round(value, 9) == int(value):
        text = f"{round(value):,}"
    elif size and size < 0.001:
        text = f"{value:.0e}".replace("e-0", "e-")
    else:
        text = f"{value:.3f}" if size < 10 else f"{value:.1f}"
    return text.replace("-", "−")


def _legend(figure: Figure, height: float, counts: dict[str, int]) -> None:
    shown = [
        canvas.key(marker, f"{name} ({counts.get(key, 0)})", key != "not_testable", colour, SIZES.get(marker, 5.0))
        for key, (marker, colour, name) in VERDICTS.items()
    ]
    figure.legend(handles=shown, loc="lower center", ncols=len(shown), bbox_to_anchor=(0.5, 6.6 / height), fontsize=7,
                  columnspacing=0.5, handlelength=0.8)  # fmt: skip
    note = (
        "A claim's worst tested case is shown; table claims has them all, with statistic and interval. run: this model "
        "and these data;\npap.: the paper's own checkpoint, genes and cells. Bold: within tolerance of the reported "
        "figure. floor: null against null."
    )
    figure.text(0.5, 0.8 / height, note, ha="center", va="bottom", linespacing=1.25, color="#555555")

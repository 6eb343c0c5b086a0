"""The sister paper's headlines on one page: number, matched and published p, references, verdict."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.claims_board import SIZES, VERDICTS, WORST, compact, shortened
from opbench.figures.style import DOUBLE, GREY, INK, MM

#: Headline -> its title on the board.
TITLES = {
    "secreted": "SV1: secreted proteins at a pole",
    "any_compartment": "SV1: any compartment at a pole",
    "compartment_order": "SV1: compartments in sequence",
    "copole": "SV2: interacting proteins share a pole",
    "gradient": "SV2: the more, the stronger the score",
    "pair_model": "SV2-7: follows STRING, pair by pair",
    "tf_target": "SV2-7: factors apart, beyond covariates",
    "early_edges": "SV5-7: who regulates whom, early",
    "edge_decay": "SV5-7: the same, less with depth",
    "signs": "SV5-7: repression nearer than activation",
    "convergence": "Factors come nearer to B-cell genes",
    "markers": "Markers of a type lie together",
    "attention": "Geometry and attention complement",
}
#: Headlines whose claim reports another number of the same analysis: what its filter says.
REPORTED = {"gradient": 'quantity == "gradient_spearman_published"', "tf_target": 'quantity == "mean_auroc"'}
ROW, HEAD, FOOT = 5.2, 16.0, 30.0  # mm
#: Left edge (or right, of numbers) of the columns in mm.
MARK, TITLE, WHERE, COUNT, VALUE, RANGE = 3.0, 6.5, 57.5, 79.0, 91.0, 92.5
NULL, MATCHED, FAMILY, PAPER, RANDOM, BESIDE = 121.5, 136.5, 146.5, 160.0, 170.5, 182.0
HEADS = (
    (TITLE, "headline", "left"), (WHERE, "at", "left"), (COUNT, "n", "right"), (VALUE, "model", "right"),
    (RANGE, "95 % interval", "left"), (NULL, "null", "right"), (MATCHED, "matched p", "right"), (FAMILY, "q", "right"),
    (PAPER, "paper's p", "right"), (RANDOM, "random", "right"), (BESIDE, "co-expr.", "right"),
)  # fmt: skip


def headline_rows(table: pd.DataFrame, claims: pd.DataFrame | None = None) -> pd.DataFrame:
    """The model's headlines (GEOMETRY_HEADLINES) with the number in each reference space and the claims' verdict."""
    model = table[table["space"] == "model"].copy()
    for space in ("random", "coexpression"):
        model[space] = model["headline"].map(table[table["space"] == space].set_index("headline")["value"])
    model["verdict"] = [_verdict(name, claims) for name in model["headline"]]
    return model.reset_index(drop=True)


def _verdict(headline: str, claims: pd.DataFrame | None) -> str:
    """The worst verdict of the cases whose number is this headline's; empty without one."""
    mine = geometry_claims(claims)
    where, named = mine["where"].fillna(""), [f'headline == "{headline}"', REPORTED.get(headline, "")]
    holds = np.any([where.str.contains(text, regex=False) for text in named if text], axis=0)
    found = set(mine.loc[holds, "analogue"])
    return next((verdict for verdict in WORST if verdict in found), "")


def geometry_claims(claims: pd.DataFrame | None) -> pd.DataFrame:
    """Claims of the geometry paper: those whose family says so."""
    if claims is None or claims.empty:
        return pd.DataFrame(columns=["claim", "where", "analogue", "title"])
    return claims[claims["family"].fillna("").str.startswith("geometry")]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """The board of run `scope` (GEOMETRY_HEADLINES); verdicts where CLAIMS is given."""
    table = tables["geometry_headlines"]
    table = table[table["run"] == scope] if len(table) else table
    if table.empty or not (table["status"] == "ok").any():
        reasons = list(dict.fromkeys(table.loc[table["reason"] != "", "reason"]))[:1]
        return canvas.note_figure(" ".join([f"No headline of the geometry has a value in {scope}.", *reasons])), table
    claims = tables.get("geometry_claims")
    board = headline_rows(table, claims)
    height = HEAD + ROW * len(board) + FOOT
    figure = Figure(figsize=(DOUBLE, height * MM))
    ax = figure.add_axes((0, FOOT / height, 1, (ROW * len(board) + 6) / height))
    ax.set(xlim=(0, DOUBLE / MM), ylim=(len(board) - 0.5, -0.5 - 6 / ROW), xticks=[], yticks=[])
    ax.set_axis_off()
    for x, text, align in HEADS:
        ax.text(x, -1.05, text, ha=align, va="center", color="#555555")
    for y, row in enumerate(board.to_dict("records")):
        _line(ax, y, row)
    tested = int(board["value"].notna().sum())
    title = f"Run {shortened(scope, 40)}: {tested} of {len(board)} headlines of the geometry have a number"
    figure.text(2 * MM / DOUBLE, 1 - 2 / height, title, ha="left", va="top", fontsize=8, fontweight="bold")
    _legend(figure, board, height)
    geometry.foot_text(figure, _notes(board, claims))
    return figure, board


def _line(ax: Axes, y: int, row: dict) -> None:
    if y % 2 == 0:
        ax.axhspan(y - 0.5, y + 0.5, color="#F5F5F5", lw=0, zorder=0)
    if row["verdict"]:
        marker, colour, _ = VERDICTS[row["verdict"]]
        hollow = row["verdict"] == "not_testable"
        ax.plot([MARK], [y], marker=marker, ms=SIZES.get(marker, 5.0), color=colour, ls="",
                mfc="white" if hollow else colour, mew=0.7)  # fmt: skip
    colour = INK if row["value"] == row["value"] else "#6E6E6E"
    ax.text(TITLE, y, TITLES.get(row["headline"], row["headline"]), ha="left", va="center", color=colour)
    if row["value"] != row["value"]:
        ax.text(WHERE, y, shortened(row["reason"], 92), ha="left", va="center", style="italic", color=colour)
        return
    place = "over layers" if row["layer"] != row["layer"] else f"layer {geometry.layer_name(row['layer'])}"
    ends = f"{compact(row['ci_low'])} to {compact(row['ci_high'])}" if row["ci_low"] == row["ci_low"] else "–"
    shown = (
        (WHERE, place, "left"), (COUNT, f"{row['n']:,}", "right"), (VALUE, compact(row["value"]), "right"),
        (RANGE, ends, "left"), (NULL, compact(row["null_mean"]), "right"),
        (MATCHED, geometry.p_text(row["p"], row["p_floor"]), "right"), (FAMILY, compact(row["q"]), "right"),
        (PAPER, geometry.p_text(row["p_paper"], row["p_floor"]), "right"), (RANDOM, compact(row["random"]), "right"),
        (BESIDE, compact(row["coexpression"]), "right"),
    )  # fmt: skip
    passed = {MATCHED: row["p"], FAMILY: row["q"], RANDOM: row["p_random"], BESIDE: row["p_coexpression"]}
    for x, text, align in shown:
        heavy = passed.get(x, 1.0) <= geometry.LEVEL
        ax.text(x, y, text, ha=align, va="center", fontweight="bold" if heavy else "normal")


def _legend(figure: Figure, board: pd.DataFrame, height: float) -> None:
    counts = board["verdict"].value_counts().to_dict()
    shown = [
        canvas.key(marker, f"{name} ({counts[key]})", key != "not_testable", colour, SIZES.get(marker, 5.0))
        for key, (marker, colour, name) in VERDICTS.items()
        if key in counts
    ]
    if shown:
        canvas.bottom_legend(figure, shown, min(len(shown), 6), bottom=25 / height)
    ax = figure.axes[0]
    ax.axhline(-0.5, color=GREY, lw=0.5)


def _notes(board: pd.DataFrame, claims: pd.DataFrame | None) -> list[str]:
    mine = geometry_claims(claims)
    verdicts = "No verdict stands here: the run has no claims of the geometry paper yet."
    if len(mine):
        untested = mine.loc[mine["analogue"] == "not_testable", "claim"].nunique()
        verdicts = (
            f"Marks: the worst verdict of the claims that read the headline ({mine['claim'].nunique()} claims, "
            f"{untested} with a case that is not testable; table geometry_claims)."
        )
    return [
        "The block with the smallest family-wise p in the claim's direction; genes that were a token (attention: "
        "of them those that the table names). n: genes, pairs, edges or markers. null: mean of the matched null. "
        "matched p: max-T over the analysis, of two matched nulls the larger; q over these headlines; bold at 0.05 or "
        "less. ≤: the smallest that the permutations give.",
        "random, co-expr.: the same headline of a model of random weights (one draw) and of the cells' co-expression, "
        "at their best block; bold where the model stands further above its null. –: none.",
        verdicts,
    ]

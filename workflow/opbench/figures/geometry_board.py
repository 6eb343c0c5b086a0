"""The sister paper's headlines on one page: observed, p of the matched and the paper's null, random model, verdict."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures import geometry_rows as geometry
from opbench.figures.claims_board import SIZES, VERDICTS, WORST, compact, shortened
from opbench.figures.style import DOUBLE, GREY, INK, MM


@dataclass(frozen=True)
class Headline:
    """A headline and the rows that hold it: its number at one place, and the nulls that it is set against.

    `layer` is None over all layers, `first` or `last` among the blocks, or a number: where the paper has its claim.
    `p_from` and `paper_from` are (analysis, quantity) of the p, where it belongs to another quantity.
    """

    title: str
    analysis: str
    quantity: str
    axis: str
    terms: tuple[str, ...] = ()
    layer: str | float | None = None
    matched: tuple[str, ...] = ("strata",)
    paper: str = "paper"
    p_from: str = ""
    paper_from: str = ""
    paper_axis: str = ""


HEADLINES = (
    Headline("SV1: secreted at a pole", "compartments", "odds_ratio", "SV1",
             ("secreted", "extracellular"), "last"),
    Headline("SV1: endoplasmic reticulum at a pole", "compartments", "odds_ratio", "SV1", ("endoplasmic",), "last"),
    Headline("SV1: compartments in sequence", "compartments", "peaks_in_order", "SV1"),
    Headline("SV2: interacting proteins share a pole", "ppi", "copole_rate", "SV2", ("combined",), "last",
             ("degree", "strata")),
    Headline("SV2: ρ over five STRING bins", "ppi", "gradient_spearman_published", "SV2", p_from="gradient_slope",
             paper="exact"),
    Headline("SV2-7: follows STRING, pair by pair", "ppi_model", "partial_r", "SV2-7", ("combined",), "first",
             paper_from="raw_r"),
    Headline("SV2-7: factors apart from targets", "tf_target", "mean_auroc", "SV2-7"),
    Headline("SV2-7: the same beyond covariates", "tf_target", "delta_auroc", "covariates+joint", (), "first"),
    Headline("SV5-7: who regulates whom, early", "edges", "edge_auroc", "SV5-7", ("cosine",), "first", ("targets",),
             paper_from="edge_auroc_published"),
    Headline("SV5-7: the same, co-expression out", "edges", "residual_r_rb", "SV5-7", ("cosine",), "first",
             ("targets",), paper_from="edge_auroc_published"),
    Headline("SV5-7: repression nearer than activation", "signs", "difference", "SV5-7", ("cosine",), "first",
             ("tf_signs",)),
    Headline("BATF comes nearer to PAX5", "convergence", "log_distance_change", "", ("BATF",), None, ("matched",)),
    Headline("BACH2 comes nearer to PAX5", "convergence", "log_distance_change", "", ("BACH2",), None, ("matched",)),
    Headline("Markers of a type lie together", "markers", "mean_auroc", "sphere", (), None,
             ("labels_exact", "labels"), paper_from="auroc"),
    Headline("Geometry and attention complement", "attention", "complement", "both", ("STRING",), "last",
             paper_from="auroc", paper_axis="geometry | attention"),
)  # fmt: skip
ROW, HEAD, FOOT = 5.2, 16.0, 33.0  # mm
#: Left edge (or right, of numbers) of the columns in mm.
MARK, TITLE, WHERE, COUNT, VALUE, RANGE = 3.0, 6.5, 60.0, 87.0, 99.0, 100.5
MATCHED, PASSED, PAPER, RANDOM = 137.0, 147.0, 161.5, 181.0
HEADS = (
    (TITLE, "headline", "left"), (WHERE, "at", "left"), (COUNT, "n", "right"), (VALUE, "model", "right"),
    (RANGE, "95 % interval", "left"),
    (MATCHED, "matched p", "right"), (PASSED, "layers", "right"), (PAPER, "paper's p", "right"),
    (RANDOM, "random", "right"),
)  # fmt: skip


def headline_rows(table: pd.DataFrame, claims: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per headline in the primary scope: number, interval, matched p, paper's p, random model, verdict.

    The matched p is max-T over layers where the analysis makes one; of several matched nulls the larger, since each
    answers a part. `passed` of `layers` are blocks whose matched p is at most 0.05.
    """
    found = table[table["status"].isin(("ok", "cap"))]
    return pd.DataFrame([_row(headline, table, found, claims) for headline in HEADLINES])


def _row(one: Headline, table: pd.DataFrame, found: pd.DataFrame, claims: pd.DataFrame | None) -> dict:
    mine = found[found["analysis"] == one.analysis]
    held = mine[(mine["quantity"] == one.quantity) & (mine["space"] == "model")]
    held = held[held["axis"] == one.axis] if one.axis else held
    # A gene that was never seen has a zero row, which is no place: with zero rows alone there is no headline.
    held = held[held["scope"] != "all_rows"]
    out = {
        "headline": one.title, "analysis": one.analysis, "quantity": one.quantity, "axis": one.axis, "term": "",
        "layer": np.nan, "scope": "", "value": np.nan, "ci_low": np.nan, "ci_high": np.nan, "matched_null": "",
        "matched_p": np.nan, "matched_floor": np.nan, "passed": 0, "layers": 0, "paper_p": np.nan,
        "paper_floor": np.nan, "random": np.nan, "n": 0, "verdict": _verdict(one, claims), "reason": "",
    }  # fmt: skip
    term = _term(one, held)
    held = held[held["term"] == term]
    if held.empty:
        return out | {"reason": _why(one, table)}
    scope = geometry.primary(held)
    held = held[held["scope"] == scope]
    layer = _layer(one, held)
    here = held if np.isnan(layer) else held[held["layer"] == layer]
    row = geometry.once(here, "null").sort_values("ci_low", na_position="last").iloc[0]
    out |= {name: row[name] for name in ("term", "layer", "scope", "value", "ci_low", "ci_high", "n")}
    return out | _matched(one, mine, here, held) | _paper(one, mine, row) | {"random": _random(mine, row)}


def _term(one: Headline, rows: pd.DataFrame) -> str | None:
    """The first term that is named like one of the headline's, any where it names none; None where there is none."""
    names = sorted(set(rows["term"]))
    like = [name for wanted in one.terms for name in names if wanted.lower() in name.lower()]
    return next(iter(like if one.terms else names), None)


def _layer(one: Headline, rows: pd.DataFrame) -> float:
    """The layer of a headline among those that have rows; NaN over all."""
    blocks = sorted(set(rows.loc[rows["layer"] >= 0, "layer"]))
    if one.layer is None or not blocks:
        return float("nan")
    return blocks[0] if one.layer == "first" else blocks[-1] if one.layer == "last" else float(one.layer)


def _decides(rows: pd.DataFrame) -> pd.Series:
    """The p that decides: max-T where there is one."""
    return rows["p_family"].fillna(rows["p"])


def _matched(one: Headline, mine: pd.DataFrame, here: pd.DataFrame, held: pd.DataFrame) -> dict:
    """p of the matched nulls at the headline's place, and how many blocks pass them all."""
    if one.p_from:
        same = {name: here[name].iloc[0] for name in ("axis", "scope", "space")}
        here = held = geometry.pick(mine, quantity=one.p_from, **same)
    here, held = (rows[rows["null"].isin(one.matched)] for rows in (here, held))
    here, held = here.assign(decides=_decides(here)), held.assign(decides=_decides(held))
    if here["decides"].isna().all():
        return {}
    worst = here.loc[here["decides"].idxmax()]
    blocks = held[held["layer"] >= 0].groupby("layer")["decides"].max()
    return {
        "matched_null": worst["null"], "matched_p": worst["decides"], "matched_floor": worst["p_floor"],
        "passed": int((blocks <= geometry.LEVEL).sum()), "layers": len(blocks),
    }  # fmt: skip


def _paper(one: Headline, mine: pd.DataFrame, row: pd.Series) -> dict:
    """p of the paper's own null at the same place; of a mean over layers at the last one."""
    same = {"quantity": one.paper_from or one.quantity, "axis": one.paper_axis or row["axis"], "space": "model"}
    rows = geometry.pick(mine, null=one.paper, scope=row["scope"], term=row["term"], **same)
    at = rows[rows["layer"] == row["layer"]] if row["layer"] == row["layer"] else rows.tail(1)
    return {"paper_p": at["p"].iloc[0], "paper_floor": at["p_floor"].iloc[0]} if len(at) else {}


def _random(mine: pd.DataFrame, row: pd.Series) -> float:
    """The same number in the random model."""
    same = geometry.pick(mine, space="random", **{k: row[k] for k in ("quantity", "axis", "term", "scope")})
    at = same[same["layer"] == row["layer"]] if row["layer"] == row["layer"] else same
    return geometry.first_value(at)


def _why(one: Headline, table: pd.DataFrame) -> str:
    """Why a headline has no number: the reason of its rows, or that there are none."""
    rows = table[(table["analysis"] == one.analysis) & (table["reason"] != "") & (table["space"] == "model")]
    if one.analysis == "convergence":
        rows = rows[rows["term"].isin(("", *one.terms))]
    exact = rows[rows["quantity"] == one.quantity]
    rows = exact if len(exact) else rows
    known = f"No row is of a term named like {' or '.join(one.terms)}." if one.terms else "No row of this run holds it."
    return str(rows["reason"].iloc[0]) if len(rows) else known


def _verdict(one: Headline, claims: pd.DataFrame | None) -> str:
    """The worst verdict of the geometry claims whose number is this headline's; empty without one."""
    mine = geometry_claims(claims)
    where = mine["where"].fillna("")
    held = [where.str.contains(f'{column} == "{text}"', regex=False)
            for column, text in (("analysis", one.analysis), ("quantity", one.quantity))]  # fmt: skip
    terms = where.str.contains('term == "', regex=False)
    named = np.any([where.str.contains(f'term == "{term}"', regex=False) for term in one.terms], axis=0)
    found = set(mine.loc[held[0] & held[1] & (~terms | named), "analogue"])
    return next((verdict for verdict in WORST if verdict in found), "")


def geometry_claims(claims: pd.DataFrame | None) -> pd.DataFrame:
    """Claims of the geometry paper: those whose family says so."""
    if claims is None or claims.empty:
        return pd.DataFrame(columns=["claim", "where", "analogue", "title"])
    return claims[claims["family"].fillna("").str.startswith("geometry")]


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """The board of run `scope` (GEOMETRY); verdicts where CLAIMS is given."""
    table = tables["geometry"]
    table = table[table["run"] == scope] if len(table) else table
    if table.empty or not table["status"].isin(("ok", "cap")).any():
        reasons = list(dict.fromkeys(table.loc[table["reason"] != "", "reason"]))[:1]
        return canvas.note_figure(" ".join([f"No analysis of the geometry has a value in {scope}.", *reasons])), table
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
    ax.text(TITLE, y, row["headline"], ha="left", va="center", color=colour)
    if row["value"] != row["value"]:
        ax.text(WHERE, y, shortened(row["reason"], 92), ha="left", va="center", style="italic", color=colour)
        return
    place = "over layers" if row["layer"] != row["layer"] else f"layer {geometry.layer_name(row['layer'])}"
    ends = f"{compact(row['ci_low'])} to {compact(row['ci_high'])}" if row["ci_low"] == row["ci_low"] else "–"
    passed = f"{row['passed']}/{row['layers']}" if row["layers"] else "–"
    matched = geometry.p_text(row["matched_p"], row["matched_floor"])
    for x, text, align in (
        (WHERE, place, "left"), (COUNT, f"{row['n']:,}", "right"), (VALUE, compact(row["value"]), "right"),
        (RANGE, ends, "left"),
        (MATCHED, matched, "right"), (PASSED, passed, "right"),
        (PAPER, geometry.p_text(row["paper_p"], row["paper_floor"]), "right"),
        (RANDOM, compact(row["random"]), "right"),
    ):  # fmt: skip
        heavy = x == MATCHED and row["matched_p"] <= geometry.LEVEL
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
    scopes = ", ".join(geometry.scope_name(name) for name in sorted(set(board["scope"]) - {""}))
    mine = geometry_claims(claims)
    verdicts = "No verdict stands here: the run has no claims of the geometry paper yet."
    if len(mine):
        matched = int((board["verdict"] != "").sum())
        untested = mine.loc[mine["analogue"] == "not_testable", "claim"].nunique()
        verdicts = (
            f"Marks are the worst verdict of the claims whose number a row is (rows: {matched}; "
            f"{mine['claim'].nunique()} claims, {untested} of them with a case that is not testable); "
            "table geometry_claims has them all."
        )
    return [
        f"Scope: {scopes}. n: genes, pairs, edges or markers. Layers are fixed beforehand, the first or last block. "
        "matched p: max-T over the analysis where it is made, bold at 0.05 or less; of several matched nulls the "
        "larger. layers: blocks that pass it. ≤: the smallest that the permutations give. random: the model of random "
        "weights at the same place.",
        "ρ over bins: its matched p is of the slope over all pairs, the paper's is exact over the orders of five bins. "
        "Markers: the paper's p is of the last layer.",
        verdicts,
    ]

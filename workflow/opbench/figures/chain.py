"""What figures of the discovery chain read from its tables: rows with a value, why others have none, names in print."""

import textwrap

import pandas as pd

from opbench.io.tables import SCORED

#: Part -> printed name, in the order of the chain.
PARTS = {
    "internal": "Internal",
    "external": "External",
    "zero_shot": "Zero-shot",
    "control": "Control",
    "null_branch": "Null branch",
    "null_labels": "Null labels",
}
#: Gate that counts the others.
ALL_GATES = "all"
#: Gate -> printed title.
GATES = {
    "trustworthiness": "Trustworthiness, features to latent",
    "geodesic": "Geodesic correlation, latent graph with the ruler",
    "correlation": "Correlation, latent distance with the ruler",
    "residualised": "Correlation, donor and tissue regressed out",
    "random": "Random holdout, correlation",
    "donor": "Donor holdout, correlation",
    "branch": "Branch holdout, correlation within branches",
    ALL_GATES: "All gates with a threshold, share that is passed",
}
#: Head -> printed name, in the order of preference where a figure has room for one.
HEADS = {"let": "Anchor head", "anchor": "Anchor head", "cell": "Cell head", "hybrid": "Hybrid head"}


def part_name(part: str) -> str:
    """The printed name of a part."""
    return PARTS.get(part, part.replace("_", " ").capitalize())


def part_order(parts: list[str]) -> list[str]:
    """Known parts in the order of the chain, others by name after them."""
    known = list(PARTS)
    return sorted(set(parts), key=lambda part: (known.index(part) if part in known else len(known), part))


def preferred_head(heads: list[str]) -> str:
    """The head that is drawn where there is room for one: the anchor head, else the first by name."""
    known = list(HEADS)
    return min(set(heads), key=lambda head: (known.index(head) if head in known else len(known), head))


def head_name(head: str) -> str:
    """The printed name of a head."""
    return HEADS.get(head, f"{head.replace('_', ' ').capitalize()} head")


def scored(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Rows whose status counts and that have a number in `column`."""
    return table[table["status"].isin(SCORED) & table[column].notna()]


def reasons(table: pd.DataFrame, most: int = 2) -> str:
    """Why rows have no value: their most frequent reasons, each with the part that it is of where a table has parts."""
    rows = table[~table["status"].isin(SCORED) & (table["reason"] != "")]
    texts = rows["reason"].str.rstrip(".") + "."
    texts = rows["part"].map(part_name) + ": " + texts if "part" in rows else texts.str[:1].str.upper() + texts.str[1:]
    return " ".join(texts.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:most])


def missing(figure: str, panel: str, rows: pd.DataFrame) -> str:
    """The sentence of a figure without anything to draw: no row at all, or what the rows say."""
    if rows.empty:
        return f"{figure}: the chain did not run on panel {panel}, or wrote no row for it."
    return f"{figure}: nothing could be tested on panel {panel}. {reasons(rows)}".strip()


def per_draw(table: pd.DataFrame, keys: list[str], column: str = "value") -> pd.DataFrame:
    """Mean of `column` by `keys`, arm and draw: the dots of an arm. Keeps the largest `n`."""
    groups = scored(table, column).groupby([*keys, "arm", "draw"], sort=True)
    return groups.agg(**{column: (column, "mean"), "n": ("n", "max")}).reset_index()


def chain_rows(table: pd.DataFrame, scope: str, what: str) -> tuple[pd.DataFrame, str]:
    """Rows of panel `scope` that hold a value, and a sentence that says why there are none (empty where there are).

    what: the table's contents in print, e.g. `Compaction`.
    """
    mine = table[table["panel"] == scope]
    rows = scored(mine) if {"status", "value"} <= set(mine.columns) else mine
    return rows, "" if len(rows) else missing(what, scope, mine)


def left_out(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Parts of `table` that have no row in `rows`, each with its reason; starts a new line, empty where none lacks."""
    others = table[(table["panel"] == rows["panel"].iloc[0]) & ~table["part"].isin(rows["part"])]
    said = others[others["reason"] != ""].groupby("part")["reason"].agg(lambda texts: texts.value_counts().index[0])
    text = "; ".join(f"{part_name(part)}: {said[part]}" for part in part_order(list(said.index)))
    return f"\n{textwrap.fill(f'Not shown: {text}', 130)}" if text else ""


def head_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows of the preferred head at its largest width, with its printed name."""
    rows = rows[rows["head"] == (head := preferred_head(list(rows["head"])))]
    width = int(rows["width"].max())
    return rows[rows["width"] == width], f"{head_name(head).lower()} of width {width}"


def p_text(rows: pd.DataFrame) -> str:
    """The median p over seeds in print, with the smallest p that the permutations allow; empty without any."""
    if "p" not in rows.columns or not rows["p"].notna().any():
        return ""
    p, floor = float(rows["p"].median()), float(rows["p_floor"].median())
    return f"p = {p:.2g}" + (f" (floor {floor:.2g})" if floor == floor else "")

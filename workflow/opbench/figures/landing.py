"""Stage: the landing page of the HTML report, in reStructuredText, from the run's tables."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from opbench.figures.comparisons import LEVEL, oriented
from opbench.figures.style import (
    CONTROL,
    REFERENCES,
    Label,
    endpoint_name,
    endpoint_order,
    is_null,
    method_name,
    method_order,
    number,
)
from opbench.io.tables import COMPARISONS, LEAKAGE, PANELS, SPLITS, SUMMARY, read_table

_MARKUP = re.compile(r"([\\*`_|{}%#<>\[\]:])")
_DESIGNS = {
    "leave_one_donor_out": "one donor held out at a time",
    "grouped": "random groups of donors held out, the design of arXiv:2603.10261",
    "frozen": "trained on one dataset, tested on all donors of another",
}
REAL_LIMIT = (
    "Labels are derived from expression, by the datasets' authors, so that a method that reads expression "
    "directly is close to how the labels were made. A high score shows agreement with these labels, not with fate."
)
LIMITS = (
    "The corpus shaped the model or its operator before any split was drawn. Where tested donors also gave corpus "
    "cells, train and test share donors through the corpus, even though no cell is shared; scores carry this as "
    "`pretraining_overlap` and the table of leakage counts it.",
    "Donors are the unit. With few donors an effect can exist and stay undecided; such a comparison is reported as "
    "undecided, and never as equality.",
    "Pseudotime is unsupervised and depth by ridge is supervised; the two are never ranked together.",
)


def escape(value: object) -> str:
    """Make a name safe for reStructuredText and for the template engine that reads the page first."""
    text = _MARKUP.sub(r"\\\1", " ".join(str(value).split()))
    # An escaped space prints nothing, and keeps a leading dash or number from becoming a list.
    return text if re.match(r"[A-Za-z]{2}", text) else "\\ " + text


def heading(text: str, mark: str) -> list[str]:
    """A heading; the underline is generous, since wide characters count double."""
    return [text, mark * (2 * len(text) + 2), ""]


def list_table(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A list-table directive; cells are escaped already."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'* -' if index == 0 else '  -'} {cell}" for index, cell in enumerate(row)]
    return [*lines, ""]


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _model(model: dict[str, Any]) -> list[str]:
    """Name, digest and size of the checkpoint, and whether it has learnt anything beyond gene means."""
    shape = f"{model['layers']} layers, {model['heads']} heads, width {model['width']}"
    origin = "the paper's checkpoint" if model["published"] else "not the paper's checkpoint"
    lines = [
        f"{escape(model['name'])} (digest {escape(str(model['digest'])[:16])}; {origin}): {shape}, "
        f"{int(model['parameters']):,} parameters.",
        escape(model["verdict"]),
    ]
    if not model["published"]:
        lines.append(
            "Numbers here are about this model; they neither confirm nor refute numbers published for another."
        )
    return ["\n\n".join(lines), ""]


def _datasets(datasets: dict[str, Any], panels: pd.DataFrame) -> list[str]:
    """Every dataset with its origin, donors and cells (a dataset in several panels is counted once)."""
    rows = []
    for name, entry in datasets.items():
        simulated = bool(entry.get("simulate"))
        origin = (
            "**simulated** by the workflow" if simulated else escape(entry.get("source") or "real, source not stated")
        )
        mine = panels[panels["dataset"] == name]
        if mine.empty:
            rows.append([escape(name), origin, "not benchmarked", "", ""])
            continue
        one = mine[mine["panel"] == mine["panel"].iloc[0]]
        conditions = one.groupby("condition")["donor"].nunique()
        split = ", ".join(f"{escape(c)} {n}" for c, n in conditions.items())
        rows.append(
            [
                escape(name),
                origin,
                f"{one['donor'].nunique()} ({split})",
                f"{one['n_cells'].sum():,}",
                f"{one['label'].nunique()}",
            ]
        )
    return list_table(["Dataset", "Origin", "Donors", "Cells", "Labels"], rows)


def _what(datasets: dict[str, Any], simulated: list[str], panels: pd.DataFrame) -> str:
    if len(simulated) == len(datasets):
        return (
            "All data of this run are **simulated**: it shows that the workflow works, and says nothing about biology."
        )
    real = [escape(name) for name in datasets if name not in simulated]
    mixed = f"; {', '.join(escape(n) for n in simulated)} simulated" if simulated else ""
    return f"The data of this run are real ({', '.join(real)}{mixed})."


def control_sentences(comparisons: pd.DataFrame, campaign: str, level: float) -> list[str]:
    """What the extracted head does against its Gaussian control, one sentence per endpoint and budget.

    A comparison that is not significant is called undecided: the interval says which effects remain possible.
    """
    rows = oriented(comparisons, campaign)
    rows = rows[rows["other"].map(lambda text: Label.parse(text).name) == CONTROL]
    family = rows[rows["family"] == "verdict"]
    rows = family if len(family) else rows
    order = {name: index for index, name in enumerate(endpoint_order(list(rows["endpoint"])))}
    rows = rows.assign(order=rows["endpoint"].map(order)).sort_values(["order", "real"])
    return [
        f"{escape(endpoint_name(row.endpoint))}, {escape(method_name(row.real))}: {_verdict(row, level)}"
        for row in rows.itertuples()
    ]


def _verdict(row: Any, level: float) -> str:
    has_interval = row.ci_low == row.ci_low
    interval = (
        f", {100 * level:g} % interval {number(row.ci_low, 3)} to {number(row.ci_high, 3)}" if has_interval else ""
    )
    facts = f"{number(row.effect, 3)}{interval}, {_count(int(row.n), 'donor')}"
    if row.q != row.q:
        return f"descriptive only ({facts}; outside the corrected family)."
    facts += f", q = {row.q:.2g}"
    if row.q < LEVEL:
        return f"**{'above' if row.effect > 0 else 'below'}** the control ({facts})."
    if row.p_floor == row.p_floor and row.p_floor >= LEVEL:
        return f"undecided, and this many donors cannot decide it (least attainable p = {row.p_floor:.2g}; {facts})."
    return f"undecided: these donors do not exclude an effect in the interval ({facts})."


def _campaign_table(summary: pd.DataFrame, campaign: str) -> list[str]:
    """Methods × verdict endpoints (all scored endpoints where none carries a verdict): mean [interval]."""
    rows = summary[(summary["campaign"] == campaign) & (summary["subset"] == "all") & ~summary["endpoint"].map(is_null)]
    scored = rows[(rows["n_donors"] > 0) & ~rows["protocol"].isin(REFERENCES)]
    verdict = scored[scored["verdict"]]
    chosen = endpoint_order(list((verdict if len(verdict) else scored)["endpoint"]))
    if not chosen:
        return ["No method has a value on any endpoint of this campaign.", ""]
    note = [] if len(verdict) else ["No endpoint has donors enough to carry a verdict; all are descriptive.", ""]
    cells = rows.set_index(["method", "endpoint"])
    leaking = rows.groupby("method")["leaking"].any()
    protocols = rows.groupby("method")["protocol"].first()
    most = scored.groupby("endpoint")["n_donors"].max()
    table = []
    for method in method_order(list(protocols.index)):
        name = escape(method_name(method, bool(leaking[method])))
        table.append([name, escape(protocols[method]), *(_cell(cells, method, endpoint) for endpoint in chosen)])
    header = ["Method", "Protocol", *(f"{escape(endpoint_name(e))} (n = {most[e]})" for e in chosen)]
    return [*note, *list_table(header, table)]


def _cell(cells: pd.DataFrame, method: str, endpoint: str) -> str:
    if (method, endpoint) not in cells.index:
        return "not run"
    row = cells.loc[(method, endpoint)]
    if row["n_donors"] == 0:
        return "no value"
    interval = f" [{number(row['ci_low'])}, {number(row['ci_high'])}]" if row["ci_low"] == row["ci_low"] else ""
    return escape(number(row["mean"]) + interval)


def _leakage(leakage: pd.DataFrame) -> list[str]:
    """Lines of the audit by verdict and protocol class."""
    if leakage.empty:
        return ["The audit has no line.", ""]
    kind = leakage["protocol"].where(leakage["protocol"].isin((*REFERENCES, "leaking")), "competing methods")
    counts = leakage.groupby([leakage["verdict"], kind]).agg(lines=("split", "size"), methods=("method", "nunique"))
    rows = [
        [escape(v), escape(k), f"{c.lines:,}", f"{c.methods}"]
        for (v, k), c in zip(counts.index, counts.itertuples(), strict=True)
    ]
    return list_table(["Verdict of the audit", "Methods", "Lines (split × method)", "Number of methods"], rows)


def write_landing(
    config: dict[str, Any],
    model_json: str | Path,
    summary: str | Path,
    comparisons: str | Path,
    panels: str | Path,
    splits: str | Path,
    leakage: str | Path,
    output_rst: str | Path,
) -> None:
    """Write the landing page from the run's configuration (as plain data), model card and published tables.

    Names are escaped twice over: the page is read as a Jinja template and then as reStructuredText.
    """
    model = json.loads(Path(model_json).read_text())
    means, pairs = read_table(summary, SUMMARY), read_table(comparisons, COMPARISONS)
    counts, drawn, audit = read_table(panels, PANELS), read_table(splits, SPLITS), read_table(leakage, LEAKAGE)
    datasets = config["datasets"]
    simulated = [name for name, entry in datasets.items() if entry.get("simulate")]
    level = float(config["statistics"]["level"])
    title = f"Run {escape(config['run'])}"
    page = [
        *heading(title, "="),
        "Is an algorithm extracted from a single-cell foundation model any good, and does the model deserve the "
        "credit? Methods are trained on some donors and scored on others; the extracted head is set beside the same "
        "head on a Gaussian matrix of the same support and scale, and beside baselines on the same genes.",
        "", _what(datasets, simulated, counts), "", *heading("Model", "-"), *_model(model),
        *heading("Data", "-"), *_datasets(datasets, counts),
    ]  # fmt: skip
    for name, campaign in config["campaigns"].items():
        page += _campaign(str(name), campaign, means, pairs, drawn, level)
    page += [*heading("Leakage", "-"), *_leakage(audit), *heading("Limits", "-")]
    page += [
        f"- {text.replace('`', '``')}" for text in (*([REAL_LIMIT] if len(simulated) < len(datasets) else []), *LIMITS)
    ]
    Path(output_rst).parent.mkdir(parents=True, exist_ok=True)
    Path(output_rst).write_text("\n".join(page) + "\n", encoding="utf-8")


def _campaign(
    name: str, campaign: dict[str, Any], means: pd.DataFrame, pairs: pd.DataFrame, drawn: pd.DataFrame, level: float
) -> list[str]:
    """Design, table of means and the sentences about the control."""
    mine = drawn[drawn["campaign"] == name]
    tested = mine[mine["role"] == "test"]
    scope = (
        f"Panel {escape(campaign['panel'])}; {_DESIGNS[campaign['design']]}: "
        f"{_count(mine['split'].nunique(), 'split')}, {_count(tested['donor'].nunique(), 'tested donor')}. "
        f"Cells give the mean over donors with its {100 * level:g} % bootstrap interval."
    )
    sentences = control_sentences(pairs, name, level)
    lines = [f"- {text}" for text in sentences] or ["The extracted head and its Gaussian control were not compared."]
    return [
        *heading(f"Campaign {escape(name)}", "-"), scope, "", *_campaign_table(means, name),
        "Extracted head minus Gaussian control, by donor:", "", *lines, "",
    ]  # fmt: skip

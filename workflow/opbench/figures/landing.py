"""Stage: the landing page of the HTML report, in reStructuredText, from the run's tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from opbench.figures.comparisons import oriented
from opbench.figures.landing_data import dataset_lines, model_lines, panel_lines
from opbench.figures.rst import count, escape, heading, list_table
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
from opbench.io.atomic import write_text
from opbench.io.tables import COMPARISONS, GENES, LEAKAGE, PANELS, ROLES, SPLITS, SUMMARY, read_table

_DESIGNS = {
    "leave_one_donor_out": "one donor held out at a time",
    "folds": "the donors in groups, each held out once",
    "grouped": "random groups of donors held out, the design of arXiv:2603.10261",
    "frozen": "trained on one dataset, tested on all donors of another",
}
BATTERY = "control_head"
BATTERY_NOTE = (
    "The real operator against its control arms: figures ``evidence_arms`` and ``evidence_nulls``, table ``evidence``, "
    "and what follows for each published claim on the page Claims."
)
_TABLES = {
    "summary": SUMMARY, "comparisons": COMPARISONS, "panels": PANELS, "roles": ROLES, "splits": SPLITS,
    "leakage": LEAKAGE,
}  # fmt: skip
FROZEN = (
    "A prediction counts as right when its label set shares a stage with the truth, since the two datasets have labels "
    "of their own. These stage scores are therefore more lenient than those of refitted campaigns, and the two are not "
    "to be compared."
)
CONTROL_NOTE = (
    "Extracted head minus Gaussian control, by donor. This is descriptive: the interval resamples {what}, few draws "
    "carry no verdict: that takes many more draws."
)
REAL_LIMIT = (
    "Labels are derived from expression, by the datasets' authors, so that a method that reads expression "
    "directly is close to how the labels were made. A high score shows agreement with these labels, not with fate."
)
LIMITS = (
    "The corpus shaped the model or its operator before any split was drawn. Where tested donors also gave corpus "
    "cells, train and test share donors through the corpus, even though no cell is shared; scores carry this as "
    "`pretraining_overlap` and the table of leakage counts it.",
    "Donors are the unit. With few donors an effect can exist and stay undecided; an interval that includes 0 or a "
    "large q is undecided, and never equality.",
    "Pseudotime is unsupervised and depth by ridge is supervised; the two are never ranked together.",
)


def _what(datasets: dict[str, Any], simulated: list[str]) -> str:
    if len(simulated) == len(datasets):
        return (
            "All data of this run are **simulated**: it shows that the workflow works, and says nothing about biology."
        )
    real = [escape(name) for name in datasets if name not in simulated]
    mixed = f"; {', '.join(escape(n) for n in simulated)} simulated" if simulated else ""
    return f"The data of this run are real ({', '.join(real)}{mixed})."


def control_sentences(comparisons: pd.DataFrame, campaign: str, level: float) -> list[str]:
    """The extracted head minus its Gaussian control, one sentence per endpoint and budget.

    Few random draws carry no verdict (decision 18), so that the interval speaks, whatever q a table may hold.
    """
    rows = oriented(comparisons, campaign)
    rows = rows[rows["other"].map(lambda text: Label.parse(text).name) == CONTROL]
    order = {name: index for index, name in enumerate(endpoint_order(list(rows["endpoint"])))}
    rows = rows.assign(order=rows["endpoint"].map(order)).sort_values(["order", "real"])
    return [
        f"{escape(endpoint_name(row.endpoint))}, {escape(method_name(row.real))}: {_interval(row, level)}"
        for row in rows.itertuples()
    ]


def _interval(row: Any, level: float) -> str:
    """Where the interval lies; an interval that includes 0 leaves all of its effects possible."""
    donors = count(int(row.n), "donor")
    if row.ci_low != row.ci_low:
        return f"{number(row.effect, 3)}, no interval, {donors}."
    bounds = f"{100 * level:g} % interval {number(row.ci_low, 3)} to {number(row.ci_high, 3)}"
    above, below = row.ci_low > 0, row.ci_high < 0
    said = "**interval above 0**" if above else "**interval below 0**" if below else "interval includes 0"
    return f"{said} ({number(row.effect, 3)}, {bounds}, {donors})."


def _campaign_table(summary: pd.DataFrame) -> list[str]:
    """Methods × verdict endpoints of a campaign (all scored ones where none carries a verdict): mean [interval]."""
    rows = summary[summary["subset"] == "all"]
    chosen = _chosen(rows)
    if not chosen:
        return ["No method has a value on any endpoint of this campaign.", ""]
    note = "No endpoint of this campaign carries a verdict; all are descriptive."
    return [*([] if rows["verdict"].any() else [note, ""]), *_means(rows, chosen)]


def _chosen(rows: pd.DataFrame) -> list[str]:
    """Endpoints with a column."""
    scored = rows[(rows["n_donors"] > 0) & ~rows["protocol"].isin(REFERENCES)]
    verdict = scored[scored["verdict"]]
    return endpoint_order(list((verdict if len(verdict) else scored)["endpoint"]))


def _means(rows: pd.DataFrame, chosen: list[str], title: str = "") -> list[str]:
    """Methods × endpoints: mean [interval], and the donors of each endpoint."""
    cells = rows.set_index(["method", "endpoint"])
    leaking = rows.groupby("method")["leaking"].any()
    protocols = rows.groupby("method")["protocol"].first()
    most = rows[~rows["protocol"].isin(REFERENCES)].groupby("endpoint")["n_donors"].max()
    table = []
    for method in method_order(list(protocols.index)):
        name = escape(method_name(method, bool(leaking[method])))
        table.append([name, escape(protocols[method]), *(_cell(cells, method, endpoint) for endpoint in chosen)])
    header = ["Method", "Protocol", *(f"{escape(endpoint_name(e))} (n = {most.get(e, 0)})" for e in chosen)]
    return list_table(header, table, title)


def _healthy(summary: pd.DataFrame, drawn: pd.DataFrame, healthy: list[str]) -> list[str]:
    """Means over the healthy donors alone on the endpoints of the main table; nothing where they are not apart."""
    rows = summary[summary["subset"] == "healthy"]
    chosen = _chosen(summary[summary["subset"] == "all"])
    if rows.empty or not chosen:
        return []
    tested = drawn[(drawn["role"] == "test") & drawn["condition"].isin(healthy)]
    donors, shared = tested["donor"].nunique(), tested.loc[tested["pretraining_overlap"], "donor"].nunique()
    # Healthy donors are the check against pre-training overlap only where they gave no cell to the corpus.
    check = (
        f"{shared} of them also gave cells to the corpus, so they are no donor-disjoint check"
        if shared
        else "none of them gave cells to the corpus, so they are the donor-disjoint check"
    )
    title = f"Healthy donors alone: {count(donors, 'donor')}, descriptive; {check}."
    return _means(rows, chosen, title)


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
    tables: Mapping[str, str | Path],
    genes: Mapping[str, str | Path],
    output_rst: str | Path,
) -> None:
    """Write the landing page from the run's configuration (as plain data), model card and published tables.

    tables: paths of summary, comparisons, panels, roles, splits and leakage; genes: path of each panel's gene list.
    Names are escaped twice over: the page is read as a Jinja template and then as reStructuredText.
    """
    model = json.loads(Path(model_json).read_text())
    read = {name: read_table(tables[name], schema) for name, schema in _TABLES.items()}
    listed = {name: len(read_table(path, GENES)) for name, path in genes.items()}
    datasets, statistics = config["datasets"], config["statistics"]
    simulated = [name for name, entry in datasets.items() if entry.get("simulate")]
    title = f"Run {escape(config['run'])}"
    page = [
        *heading(title, "="),
        "Is an algorithm extracted from a single-cell foundation model any good, and does the model deserve the "
        "credit? Methods are trained on some donors and scored on others; the extracted head is set beside the same "
        "head on a Gaussian matrix of the same support and scale, and beside baselines on the same genes.",
        "", _what(datasets, simulated), "",
        *heading("Model", "-"), *model_lines(model, config["model"]["checkpoint"] is not None),
        *heading("Data", "-"), *dataset_lines(datasets, read["panels"]),
        *heading("Panels", "-"), *panel_lines(read["panels"], listed, read["roles"]),
    ]  # fmt: skip
    for name, campaign in config["campaigns"].items():
        mine = {key: read[key][read[key]["campaign"] == name] for key in ("summary", "comparisons", "splits")}
        page += _campaign(str(name), campaign, mine, statistics)
    page += [*heading("Leakage", "-"), *_leakage(read["leakage"]), *heading("Limits", "-")]
    page += [
        f"- {text.replace('`', '``')}" for text in (*([REAL_LIMIT] if len(simulated) < len(datasets) else []), *LIMITS)
    ]
    write_text("\n".join(page) + "\n", output_rst)


def _campaign(
    name: str, campaign: dict[str, Any], tables: dict[str, pd.DataFrame], statistics: dict[str, Any]
) -> list[str]:
    """Design, tables of means and the sentences about the control (SUMMARY, COMPARISONS, SPLITS of the campaign)."""
    drawn, level = tables["splits"], float(statistics["level"])
    means = tables["summary"][~tables["summary"]["endpoint"].map(is_null)]
    tested = drawn[drawn["role"] == "test"]
    scope = (
        f"Panel {escape(campaign['panel'])}; {_DESIGNS[campaign['design']]}: "
        f"{count(drawn['split'].nunique(), 'split')}, {count(tested['donor'].nunique(), 'tested donor')}. "
        f"Cells give the mean over donors with its {100 * level:g} % bootstrap interval."
    )
    sentences = control_sentences(tables["comparisons"], name, level)
    if any(Label.parse(text).name == BATTERY for text in means["method"]):
        return [*heading(f"Campaign {escape(name)}", "-"), scope, "", BATTERY_NOTE, ""]
    control = means["method"].map(lambda text: Label.parse(text).name) == CONTROL
    several = means.loc[control, "sd_draws"].notna().any()
    what = "donors and draws of the control" if several else "donors alone, since the control has one draw"
    lines = [CONTROL_NOTE.format(what=what), "", *(f"- {text}" for text in sentences)]
    return [
        *heading(f"Campaign {escape(name)}", "-"), scope, "", *([FROZEN, ""] if campaign["design"] == "frozen" else []),
        *_campaign_table(means), *_healthy(means, drawn, statistics["healthy"]),
        *(lines if sentences else ["The extracted head and its Gaussian control were not compared."]), "",
    ]  # fmt: skip

"""The report's page of claims: what was reported, what this run finds, and two verdicts for each."""

from html import escape
from itertools import groupby

import pandas as pd

from opbench.claims.published import VERDICTS

STYLE = """
body {font: 14px/1.45 system-ui, sans-serif; color: #262626; margin: 1.5em auto; max-width: 76em; padding: 0 1em}
h1 {font-size: 1.4em} h2 {font-size: 1.15em; margin: 2em 0 .3em; border-bottom: 1px solid #8c8c8c}
h3 {font-size: 1em; margin: 1.4em 0 .1em} p {margin: .2em 0 .5em; max-width: 60em}
table {border-collapse: collapse; width: 100%; table-layout: fixed; font-size: .9em}
td, th {text-align: left; overflow-wrap: anywhere; vertical-align: top;
padding: .25em .7em .25em 0; border-top: 1px solid #d9d9d9} th {font-weight: 600; border: 0}
small, .about {color: #555} code {font-size: .85em; overflow-wrap: anywhere} summary {cursor: pointer; color: #555}
.verdict {font-weight: 600; white-space: nowrap} .verdict::before {content: attr(data-mark) "\\00a0"}
"""
#: Verdict -> its mark and colour, which the board has too (Okabe and Ito's palette).
MARKS = {
    "model_specific": ("★", "#009E73"), "holds": ("●", "#0072B2"), "readable": ("■", "#56B4E9"),
    "not_separable": ("◆", "#B87A00"), "undecided": ("▲", "#262626"), "fails": ("▼", "#CC79A7"),
    "contradicted": ("✖", "#D55E00"), "not_testable": ("○", "#6E6E6E"),
}  # fmt: skip
#: Columns of a claim's table with their share of its width in percent.
HEADER = {
    "Case": 14, "Reported": 8, "This run": 10, "Same?": 5, "Strongest control": 11, "Null floor": 6,
    "This run's verdict": 18, "Readable": 8, "Published": 20,
}  # fmt: skip


def claims_page(claims: pd.DataFrame, run: str) -> str:
    """HTML of the page, by family and claim in the table's order (CLAIMS)."""
    parts = [f"<h1>Published claims beside run {escape(run)}</h1>", _introduction(claims)]
    for family, rows in groupby(claims.to_dict("records"), key=lambda row: row["family"]):
        parts.append(f"<h2>{escape(str(family)).capitalize()}</h2>")
        parts += [_claim(list(cases)) for _, cases in groupby(rows, key=lambda row: row["claim"])]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>Claims, {escape(run)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _introduction(claims: pd.DataFrame) -> str:
    found = claims.groupby("claim")["analogue"].agg(set)
    tested = sum(verdicts != {"not_testable"} for verdicts in found)
    legend = "".join(f"<tr><td>{_verdict(name)}</td><td>{escape(text)}</td></tr>" for name, text in VERDICTS.items())
    return (
        f"<p>{tested} of {len(found)} claims can be tested with this run. “This run's verdict” is about this model and "
        "these data; “published” is about the paper's own figures and needs its checkpoint, genes and cells. There is"
        " a row for every campaign, panel and endpoint that can speak to a claim. “Readable” says whether the real "
        "operator beats no operator and one number per cell, whatever its verdict.</p>"
        f"<details><summary>What the verdicts mean</summary><table>{legend}</table></details>"
    )


def _claim(cases: list[dict]) -> str:
    first = cases[0]
    source = "the critique" if first["paper"] == "critique" else "derived" if first["paper"] == "derived" else "paper"
    about = f"{source}, {first['place']}" if first["place"] else source
    header = "".join(f'<th style="width: {share}%">{name}</th>' for name, share in HEADER.items())
    rows = "".join(_case(case) for case in cases)
    return (
        f'<h3 id="claim-{first["claim"]}">{first["claim"]}. {escape(first["title"])}</h3>'
        f'<p>{escape(first["wording"])} <span class="about">({escape(about)})</span></p>'
        f"<table><tr>{header}</tr>{rows}</table>{_rows(cases)}"
    )


def _case(case: dict) -> str:
    control = escape(case["strongest_control"]) + (
        f" {number(case['control_value'])}" if case["control_value"] == case["control_value"] else ""
    )
    reported = escape(case["reported"]) + (
        f"<br><small>{escape(case['tolerance'])}</small>" if case["tolerance"] else ""
    )
    donors = f"<br><small>{case['n_donors']} donors</small>" if case["n_donors"] else ""
    cells = [
        escape(case["case"]) or "–", reported, with_interval(case) + donors, escape(case["matches"]), control or "–",
        number(case["null_floor"]), _verdict(case["analogue"]) + _small(case["analogue_reason"]),
        escape(case["readable"]),
        _verdict(case["published"]) + _small(case["published_reason"]),
    ]  # fmt: skip
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _rows(cases: list[dict]) -> str:
    """The statistic of each case and the rows that it came from."""
    items = []
    for case in cases:
        found = f"{case['rows']} rows of {escape(case['source_table'])}: <code>{escape(case['where'])}</code>"
        name = f"{escape(case['case'])}: " if case["case"] else ""
        items.append(f"<li>{name}{escape(case['statistic'])}. {found if case['rows'] else ''}</li>")
    return f"<details><summary>Statistic and rows</summary><ul>{''.join(items)}</ul></details>"


def _verdict(name: str) -> str:
    mark, colour = MARKS[name]
    return f'<span class="verdict" data-mark="{mark}" style="color: {colour}">{name.replace("_", " ")}</span>'


def _small(text: str) -> str:
    return f"<br><small>{escape(text)}</small>" if text else ""


def with_interval(case: dict) -> str:
    """Our number with its interval where it has one."""
    interval = f" [{number(case['ci_low'])}, {number(case['ci_high'])}]" if case["ci_low"] == case["ci_low"] else ""
    return number(case["value"]) + interval


def number(value: float) -> str:
    """Three significant digits with a true minus sign; whole thousands as they are; a dash where there is none."""
    if value != value:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")

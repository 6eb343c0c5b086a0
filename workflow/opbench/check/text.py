"""The report as aligned text."""

from collections.abc import Sequence
from itertools import groupby

from opbench.check.machine import Totals
from opbench.check.report import Report, dataset_record

#: Dropped labels that are named.
LABELS = 8


def table(header: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "  ") -> list[str]:
    """Lines of a table; columns whose every entry looks like a number are set to the right."""
    cells = [[str(item) for item in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(item[:1].isdigit() or item in ("–", "") for item in column[1:]) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            item.rjust(width) if side else item.ljust(width)
            for item, width, side in zip(row, widths, right, strict=True)
        ]
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def duration(seconds: float) -> str:
    """`45 s`, `13 min` or `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(megabytes: float) -> str:
    """`< 1 MB`, `850 MB` or `1.2 GB`."""
    if megabytes < 1:
        return "< 1 MB"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def render(report: Report) -> str:
    """The whole report."""
    lines = [*_configuration(report)]
    if report.config is not None:
        lines += [*_datasets(report), *_panels(report), *_knowledge(report)]
        lines += [*_endpoints(report), *_jobs(report), *_costs(report)]
    for title, sentences in (("Warnings", report.findings.warnings), ("Would fail", report.findings.problems)):
        if sentences:
            lines += ["", f"{title} ({len(sentences)})", *(f"  - {sentence}" for sentence in sentences)]
    problems = len(report.findings.problems)
    outcome = "nothing that could be checked would stop this run"
    if problems:
        outcome = f"{problems} problem{'s' * (problems != 1)} would stop this run"
    return "\n".join([*lines, "", f"opbench check: {outcome}."]) + "\n"


def _configuration(report: Report) -> list[str]:
    config = report.config
    lines = [f"Configuration {', '.join(report.files)}"]
    if config is None:
        return [*lines, "  not valid"]
    lines.append(f"  valid; run '{config.run}', results in results/{config.run}/")
    for campaign, found in report.arms.items():
        runs = [item.method for item in found if not item.reason]
        lines.append(f"  {campaign}: {len(runs)} methods ({', '.join(runs)})")
        lines += [f"    skipped: {item.method} ({item.reason})" for item in found if item.reason]
    return lines


def _datasets(report: Report) -> list[str]:
    lines = ["", "Datasets"]
    for name, facts in report.datasets.items():
        assert report.config is not None
        record = dataset_record(facts, report.config)
        lines.append(f"  {name}: {facts.file} ({facts.state})")
        if layout := facts.layout:
            lines.append(
                f"    {layout.cells:,} cells x {layout.genes:,} genes, {layout.format}, {record['counts']} is "
                f"{layout.layout} {layout.dtype}, compression {layout.compression}, {size(layout.file_mb)}; "
                f"genes by {record['gene_ids']}; sha256 {facts.digest}"
            )
        lines += [f"    {note}" for note in facts.gene_notes]
        if "cells" in record:
            counts = record["cells"]
            lines.append(
                f"    {counts['evaluation']:,} benchmarked cells of {record['donors']} donors, {record['labels']} "
                f"labels; {counts['corpus']:,} corpus cells of {record['corpus_donors']} donors; "
                f"{counts['dropped']:,} dropped"
            )
            if record["dropped_labels"]:
                lines.append(f"    dropped by label: {_most(record['dropped_labels'])}")
    return lines


def _most(counts: dict[str, int]) -> str:
    """The largest counts, and how many more there are; the JSON form holds them all."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    more = f" and {len(ranked) - LABELS} more" if len(ranked) > LABELS else ""
    return ", ".join(f"'{label}' {n}" for label, n in ranked[:LABELS]) + more


def _panels(report: Report) -> list[str]:
    lines = ["", "Panels and model"]
    for panel in report.panels.values():
        shares = [f"{name} {'?' if share is None else f'{share:.0%}'}" for name, share in panel.present.items()]
        bound = "at most " if panel.kind == "hvg" else ""
        lines.append(
            f"  {panel.name}: {panel.n_genes:,} genes ({panel.kind}), {panel.cells:,} cells; present {bound}"
            f"{', '.join(shares)}"
        )
    if model := report.model:
        genes = f", {len(model.vocabulary):,} genes" if model.vocabulary else ""
        published = {None: "", True: "; the published checkpoint by sha256", False: "; not the published checkpoint"}
        lines.append(
            f"  model: {model.origin}, {model.layers} layers x {model.heads} heads, width {model.width}{genes}"
            f"{published[model.published]}"
        )
    for panel, parts in report.anchors.items():
        lines.append(f"  chain on {panel}: anchors " + ", ".join(f"{part} {n}" for part, n in parts.items()))
    return lines


def _knowledge(report: Report) -> list[str]:
    if not report.knowledge:
        return []
    lines = ["", "Knowledge tables"]
    for name, held in report.knowledge.items():
        known = "" if held.known is None else f", the model knows {held.known:,} of them"
        lines.append(f"  {name}: {held.file} ({held.kind}), {held.rows:,} rows, {len(held.symbols):,} symbols{known}")
    return lines


def _number(value: float | None, form: str = ".2g") -> str:
    return "–" if value is None else format(value, form)


def _endpoints(report: Report) -> list[str]:
    if not report.endpoints:
        return []
    lines = ["", "Endpoints: donors that can be scored, and what a test over them can show"]
    header = ("endpoint", "donors", "healthy", "role", "smallest p", "q<.05 needs", "in sd", "sd", "detectable")
    for name, group in groupby(report.endpoints, key=lambda row: row.campaign):
        rows = list(group)
        family = max(row.family for row in rows)
        facts = report.campaigns[name]
        lines.append(
            f"  {name}: {facts.splits} splits, {len(facts.eligible)} testable donors; "
            + (f"verdict family of {family} tests" if family else "no verdict family")
        )
        body = [
            (row.endpoint, row.donors, row.healthy, row.role, _number(row.p_floor),
             "never" if row.role == "verdict" and row.needed is None else _number(row.needed, "d"),
             _number(row.in_sd), _number(row.spread), _number(row.difference))
            for row in rows
        ]  # fmt: skip
        lines += table(header, body, "    ")
    sources = sorted({row.source for row in report.endpoints})
    return [
        *lines,
        "  smallest p: exact two-sided signed-rank test, no ties. q<.05 needs: tests of the family with a p this small",
        "  before Benjamini-Hochberg lets them pass. detectable: smallest mean difference between two methods found",
        "  with 80 % power at p < .05 (uncorrected), if donors' differences are normal with the sd shown; sd measured",
        f"  in: {'; '.join(sources)} (two-class endpoints without a run of their own: typical values).",
    ]


def _jobs(report: Report) -> list[str]:
    jobs = report.jobs
    if jobs is None:
        return []
    if jobs.error:
        return ["", "Jobs", f"  not counted: {jobs.error}"]
    rows = [(rule, count, jobs.left.get(rule, 0)) for rule, count in jobs.whole.items()]
    rows.append(("total", sum(jobs.whole.values()), sum(jobs.left.values())))
    return ["", "Jobs (by a dry run of Snakemake)", *table(("rule", "whole run", "to do now"), rows)]


def _costs(report: Report) -> list[str]:
    if not report.costs or report.totals is None:
        return []
    rows = [
        (cost.rule, cost.jobs, duration(cost.seconds), duration(cost.longest), size(cost.memory_mb),
         size(cost.disk_mb), cost.basis)
        for cost in report.costs
    ]  # fmt: skip
    header = ("rule", "jobs", "time", "longest job", "memory", "disk", "grows with, or measured in")
    return [
        "",
        "Cost of the whole run (estimates, right to a factor of about 2)",
        *table(header, rows),
        *_sum(report.totals),
    ]


def _sum(totals: Totals) -> list[str]:
    if not totals.complete:
        return ["  No total: rules are missing whose inputs are not here yet, or could not be read."]
    return [
        f"  about {duration(totals.wall)} on {totals.cores} cores ({duration(totals.seconds)} of work); "
        f"{size(totals.disk_mb)} of disk, {size(totals.free_mb)} free; "
        f"{size(totals.memory_mb)} of memory at most ({totals.memory_rule}), {size(totals.machine_mb)} in the machine",
    ]

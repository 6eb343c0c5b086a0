"""Gene panels before a run: how many genes there will be, and whether every dataset holds enough of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opbench.check.data import Facts
from opbench.check.findings import Findings
from opbench.config import Config
from opbench.panels.gene_ids import ENSEMBL
from opbench.panels.genes import listed_genes


@dataclass(frozen=True)
class PanelFacts:
    """A panel: its genes when they are known before the run, their number, its evaluation cells and what they detect.

    `present` maps a dataset to the share of the genes that it holds (an upper bound for `hvg`); None: not known.
    """

    name: str
    kind: str
    n_genes: int
    cells: int
    detected: float
    corpus_detected: float
    present: dict[str, float | None]


def gene_ids(genes: list[str]) -> str:
    """`symbols`, `Ensembl ids` or the share of the latter."""
    if not genes:
        return "unknown"
    share = np.mean([ENSEMBL.fullmatch(gene) is not None for gene in genes])
    if share in (0, 1):
        return "Ensembl ids" if share else "symbols"
    return f"symbols, {share:.0%} of them Ensembl ids" if share < 0.5 else f"{share:.0%} Ensembl ids"


def describe_panel(
    name: str, config: Config, facts: dict[str, Facts], vocabulary: set[str] | None, findings: Findings
) -> PanelFacts:
    """Count the genes that the panel can have; too few of them, or too few present in a dataset, is a problem.

    `vocabulary` is what restricts gene lists (the checkpoint's genes); None restricts nothing.
    """
    panel = config.panels[name]
    held = {key: set(facts[key].genes) for key in panel.datasets if facts[key].genes}
    known = len(held) == len(panel.datasets)
    genes, n_genes = set[str](), 0
    if panel.genes.kind == "hvg":
        source = facts[str(panel.genes.corpus)]
        genes, n_genes = _usable(set(source.genes), vocabulary), panel.genes.n
        if source.genes and len(genes) < n_genes:
            findings.problem(
                f"panels.{name}.genes.n: asks for {n_genes} genes but '{source.name}' and the model share only "
                f"{len(genes)}; lower n, or check that 'columns.gene' names the column of gene symbols."
            )
    elif panel.genes.kind == "file":
        update = {"file": str(Path(str(panel.genes.file)))}
        listed = findings.attempt(listed_genes, panel.model_copy(update=update), vocabulary, "the model's vocabulary")
        genes = set() if listed is None else set(listed["gene"])
        n_genes = len(genes)
    elif known:
        genes = _usable(set.intersection(*held.values()), vocabulary)
        n_genes = len(genes)
        if not genes:
            findings.problem(
                f"panels.{name}.genes: the datasets {panel.datasets} and the model share no gene; check that every "
                "'columns.gene' names the column of gene symbols."
            )
    present = {key: _share(held.get(key), genes, n_genes) for key in panel.datasets}
    for key, share in present.items():
        if share is not None and share < panel.min_present:
            findings.problem(
                f"datasets.{key}.columns.gene: '{facts[key].file}' holds at most {share:.0%} of the genes of panel "
                f"'{name}', less than {panel.min_present:.0%}; choose other genes or lower panels.{name}.min_present."
            )
    sizes = {key: len(facts[key].role("evaluation")) for key in panel.datasets}
    total = sum(sizes.values())
    scale = min(1.0, n_genes / len(genes)) if genes else 0.0
    detected = sum(facts[key].detected(genes) * size for key, size in sizes.items() if size)
    corpus = facts[config.model.corpus]
    return PanelFacts(
        name, panel.genes.kind, n_genes, total, scale * detected / max(total, 1),
        scale * corpus.detected(genes) if corpus.genes else float("nan"), present,
    )  # fmt: skip


def _usable(genes: set[str], vocabulary: set[str] | None) -> set[str]:
    return genes if vocabulary is None else genes & vocabulary


def _share(held: set[str] | None, genes: set[str], n_genes: int) -> float | None:
    return None if held is None or not genes else min(1.0, len(held & genes) / n_genes)

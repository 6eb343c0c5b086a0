"""Datasets before a run: which file, how it is laid out, and what becomes of its cells."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.check.findings import Findings
from opbench.check.layout import Layout, read_layout
from opbench.config import Config
from opbench.config.data import Dataset
from opbench.io.h5ad import read_obs
from opbench.io.locate import locate
from opbench.panels.cells import MISSING, cell_roles
from opbench.panels.filters import filter_cells
from opbench.panels.ontology import Ontology, read_labels
from opbench.panels.reading import check_sha256, read_gene_names, require_column
from opbench.panels.simulate import draw_cohort

#: Where `fetch_dataset` leaves a file.
DOWNLOADS = Path("resources/downloads")
#: Digests of larger files (bytes) are checked on request only: at 1 GB/s this is a second.
LARGE = 1 << 30
#: Cells of the sample that stands for a simulated dataset's counts.
SAMPLE = {"donors": 2, "cells_per_donor": 100, "corpus_donors": 1, "corpus_cells_per_donor": 100}


@dataclass
class Facts:
    """What is known of a dataset; `cells` is its CELLS table without totals, `block` the first rows of its counts.

    `state` is present, simulated, to be downloaded or missing; only the first two have cells and genes.
    """

    name: str
    state: str
    file: str = ""
    layout: Layout | None = None
    cells: pd.DataFrame | None = None
    genes: list[str] = field(default_factory=list)
    gene_notes: list[str] = field(default_factory=list)
    block: csr_matrix | None = None
    digest: str = "not given"

    def role(self, role: str) -> pd.DataFrame:
        """The cells of one role; none when they are not known."""
        return pd.DataFrame() if self.cells is None else self.cells[self.cells["role"] == role]

    @property
    def per_cell(self) -> float:
        """Detected genes per cell: of the whole matrix when it is sparse, else of the first rows."""
        if self.layout and self.layout.layout != "dense":
            return self.layout.stored / max(self.layout.cells, 1)
        return self.block.nnz / self.block.shape[0] if self.block is not None else float("nan")

    def detected(self, genes: set[str]) -> float:
        """Detected genes per cell among `genes`, from the first rows, else in proportion."""
        held = np.isin(self.genes, list(genes))
        if self.block is None:
            return self.per_cell * float(held.mean()) if len(held) else float("nan")
        return float(self.block[:, np.flatnonzero(held)].nnz / self.block.shape[0])


def describe_dataset(name: str, config: Config, ontology: Ontology | None, digest: bool, findings: Findings) -> Facts:
    """Read a dataset's metadata, its cell table and the first rows of its counts; collect what is wrong."""
    dataset = config.datasets[name]
    labels = findings.attempt(locate, str(dataset.labels), True) if dataset.labels else None
    dataset = dataset.model_copy(update={"labels": str(labels) if labels else None})
    if dataset.simulate is not None:
        return _simulated(name, dataset, ontology, findings)
    path = locate(str(dataset.path)) or _downloaded(dataset)
    if path is None:
        return _absent(name, dataset, findings)
    facts = Facts(name, "present", str(path))
    read = findings.attempt(read_layout, path, dataset)
    if read is not None:
        facts.layout, facts.block = read
    facts.digest = _digest(path, dataset, digest, findings)
    _name_genes(facts, path, dataset, findings)
    obs = findings.attempt(read_obs, path)
    _check_shape(facts, obs, dataset, findings)
    if obs is not None and ontology is not None and labels is not None:
        facts.cells = cell_table(name, str(path), dataset, obs, ontology, findings)
    return facts


def cell_table(
    name: str, path: str, dataset: Dataset, obs: pd.DataFrame, ontology: Ontology, findings: Findings
) -> pd.DataFrame | None:
    """The CELLS table of `panels.cells.cell_roles`; None when a column, a filter or the label map cannot be used.

    `unmapped` marks the benchmarked cells that are dropped because their label maps to no stage. What would hide
    other problems is reported and then left out: repeated ids, and cells whose label the map lacks.
    """
    columns, before = dataset.columns.model_dump(exclude={"gene"}), len(findings.problems)
    for field_name, column in columns.items():
        if column is not None:
            with findings.collect():
                require_column(obs, column, f"{path}: obs", f"columns.{field_name}")
    for field_name, query in (("evaluation", dataset.evaluation), ("corpus", dataset.corpus)):
        findings.attempt(filter_cells, obs, query, path, field_name, everything=True)
    mapped = findings.attempt(read_labels, str(dataset.labels), ontology)
    if len(findings.problems) > before or mapped is None:
        return None
    if (twice := obs.index.duplicated()).any():
        findings.problem(f"{path}: cell id '{obs.index[twice][0]}' occurs twice in obs; make the ids unique.")
        obs = obs.set_axis([f"{cell}-{number}" for number, cell in enumerate(obs.index)], axis=0)
    label = obs[dataset.columns.cell_type].astype(str)
    strange = filter_cells(obs, dataset.evaluation, path, "evaluation", True) & ~label.isin([*mapped, *MISSING])
    if strange.any():
        findings.problem(
            f"{dataset.labels}: labels {sorted(label[strange].unique())} of {path} are missing; add a row for each, "
            "with empty stages to drop it."
        )
        obs = obs[~strange]
    cells = findings.attempt(cell_roles, name, path, dataset, obs, ontology)
    if cells is not None:
        benchmarked = filter_cells(obs, dataset.evaluation, path, "evaluation", True)
        cells["unmapped"] = benchmarked & (cells["stages"] == "").to_numpy()
    return cells


def _name_genes(facts: Facts, path: Path, dataset: Dataset, findings: Findings) -> None:
    names = findings.attempt(read_gene_names, path, dataset)
    if names is not None:
        facts.genes, facts.gene_notes = names.symbols, names.notes()


def _check_shape(facts: Facts, obs: pd.DataFrame | None, dataset: Dataset, findings: Findings) -> None:
    """The counts must have a row for each cell of `obs` and a column for each gene of `var`."""
    layout = facts.layout
    sizes = (("obs", obs, layout and layout.cells), ("var", facts.genes or None, layout and layout.genes))
    for table, held, size in sizes:
        if held is not None and size is not None and len(held) != size:
            findings.problem(
                f"{facts.file}: {dataset.counts} has {size} {'cells' if table == 'obs' else 'genes'} but '{table}' has "
                f"{len(held)} rows; the file is inconsistent, so write it again with anndata."
            )
            facts.block = None


def _digest(path: Path, dataset: Dataset, wanted: bool, findings: Findings) -> str:
    if dataset.sha256 is None:
        return "not given"
    if path.is_file() and path.stat().st_size > LARGE and not wanted:
        return f"skipped, the file has {path.stat().st_size / 1e9:.1f} GB; --digest checks it"
    before = len(findings.problems)
    findings.attempt(check_sha256, path, dataset.sha256)
    return "matches" if len(findings.problems) == before else "differs"


def _downloaded(dataset: Dataset) -> Path | None:
    path = DOWNLOADS / Path(str(dataset.path)).name
    return path if path.exists() else None


def _absent(name: str, dataset: Dataset, findings: Findings) -> Facts:
    if dataset.url or dataset.cellxgene:
        where = dataset.url or f"CELLxGENE dataset {dataset.cellxgene}"
        findings.warn(
            f"datasets.{name}.path: '{dataset.path}' will be downloaded from {where}; its cells, donors and labels "
            "cannot be checked before."
        )
        return Facts(name, "to be downloaded", str(dataset.path))
    findings.problem(
        f"datasets.{name}.path: '{dataset.path}' is neither in $OPBENCH_DATA nor in the working folder; set "
        "OPBENCH_DATA to the folder that holds it, or give a url and sha256."
    )
    return Facts(name, "missing", str(dataset.path))


def _simulated(name: str, dataset: Dataset, ontology: Ontology | None, findings: Findings) -> Facts:
    """Cells drawn as the run will draw them; their counts are only sampled."""
    facts = Facts(name, "simulated", "simulated in the run")
    simulation = dataset.simulate
    assert simulation is not None
    if ontology is None or dataset.labels is None:
        return facts
    # A donor's labels are drawn before anything that depends on the number of genes.
    _, obs = draw_cohort(simulation.model_copy(update={"genes": 50}), ontology)
    facts.block, _ = draw_cohort(simulation.model_copy(update=SAMPLE), ontology)
    facts.genes = [f"G{gene + 1:04d}" for gene in range(simulation.genes)]
    stored = int(facts.block.nnz / facts.block.shape[0] * len(obs))
    facts.layout = Layout("h5ad", "CSR", len(obs), simulation.genes, stored, "int32", "none", 8 * stored / 1e6)
    facts.cells = cell_table(name, f"datasets.{name}", dataset, obs, ontology, findings)
    return facts

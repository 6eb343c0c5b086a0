"""A simulated multi-donor hematopoiesis cohort, drawn along the stage graph.

Its figures (genes per cell, sparsity, donor share of variance) are set to those of real marrow, which
`resources/simulation_reference.tsv` holds; it shows the workflow at work and is evidence of nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from opbench.config.data import Simulation
from opbench.io.atomic import atomic
from opbench.io.seeds import keyed_rng
from opbench.panels.ontology import ROOT, Ontology

#: Label: its stages and its normal cells in van Galen et al. 2019 (GSE116256), which set the proportions.
LABELS: dict[str, tuple[tuple[str, ...], int]] = {
    "HSC": (("HSC",), 250),
    "Prog": (("MPP", "CMP"), 289),
    "GMP": (("GMP",), 213),
    "ProMono": (("Pro_Mono",), 203),
    "Mono": (("Cl_Mono", "NC_Mono"), 450),
    "cDC": (("Dendritic",), 220),
    "pDC": (("pDC",), 62),
    "earlyEry": (("Ery_early",), 350),
    "lateEry": (("Erythrocyte",), 280),
    "ProB": (("Pro_B",), 89),
    "B": (("Naive_B", "Memory_B"), 187),
    "Plasma": (("Plasma",), 231),
    "T": (("Naive_CD4", "Memory_CD4", "Treg", "Naive_CD8"), 768),
    "CTL": (("Memory_CD8",), 192),
    "NK": (("NK",), 255),
}
HEALTHY = 4
#: Cells drawn at once, to bound memory.
BLOCK = 2000


@dataclass(frozen=True)
class Effects:
    """Sizes of the effects, set so that the default cohort keeps to the reference; deviations are of log expression."""

    baseline: float = 2.5  # between genes
    edge: float = 1.7  # of the genes that change along an edge of the graph
    edge_genes: float = 0.25  # share of genes that change along an edge
    branch: float = 1.7  # of the genes that change when an edge enters another branch
    branch_genes: float = 0.2
    modules: int = 8  # latent gene modules with an activity of their own in each cell
    module: float = 4.0  # largest response of a gene to its module
    burst: float = 0.2  # shape of the gamma that activities follow: few modules are on in a cell
    donor: float = 1.1  # of a gene in a donor
    library: float = 0.45  # between cells
    depth: float = 850.0  # median counts of a cell
    shape: float = 8.0  # of the negative binomial; the variance is m + m²/shape
    dropout: float = 0.1  # share of counts lost on top
    composition: float = 40.0  # concentration of the Dirichlet around the proportions
    jitter: float = 0.5  # furthest that a cell lies back along the edge to the parent stage
    sure_cells: int = 6  # cells of every label in a donor, so that most classes can be tested


def simulate_cohort(simulation: Simulation, ontology_folder: str | Path, output: str | Path) -> None:
    """Write the cohort as h5ad: `X` int32 CSR counts, obs as of a real dataset with `role`, var G0001 on.

    Evaluation donors come first (D01..), the first four healthy; corpus donors (C01..) follow. A donor's
    cells depend on the seed and the donor alone.
    """
    from anndata import AnnData

    counts, obs = draw_cohort(simulation, Ontology.read(ontology_folder))
    genes = pd.Index([f"G{g + 1:04d}" for g in range(simulation.genes)], name="symbol")
    adata = AnnData(counts, obs=obs.astype("category"), var=pd.DataFrame(index=genes))
    adata.uns["provenance"] = {"source": "simulated", "seed": simulation.seed}
    with atomic(output) as partial:
        adata.write_h5ad(partial)


def draw_cohort(
    simulation: Simulation, ontology: Ontology, effects: Effects | None = None
) -> tuple[csr_matrix, pd.DataFrame]:
    """Return int32 CSR counts (cells, genes) and the cells' obs."""
    effects = effects or Effects()
    programs, parents = stage_programs(simulation, ontology, effects)
    rng = keyed_rng("simulation", simulation.seed, "modules")
    module = rng.integers(effects.modules, size=simulation.genes)
    response = np.zeros((effects.modules, simulation.genes))
    response[module, np.arange(simulation.genes)] = effects.module * rng.random(simulation.genes)
    donors = [(f"D{i + 1:02d}", "evaluation", simulation.cells_per_donor) for i in range(simulation.donors)]
    donors += [(f"C{i + 1:02d}", "corpus", simulation.corpus_cells_per_donor) for i in range(simulation.corpus_donors)]
    matrices, tables = [], []
    for position, (donor, role, n_cells) in enumerate(donors):
        rng = keyed_rng("simulation", simulation.seed, "donor", donor)
        label, stage = _draw_stages(n_cells, ontology, effects, rng)
        shift = effects.donor * rng.normal(size=simulation.genes)
        for start in range(0, n_cells, BLOCK):
            part = stage[start : start + BLOCK]
            back = effects.jitter * rng.random(len(part))[:, None]
            log_rate = (1 - back) * programs[part] + back * programs[parents[part]] + shift
            log_rate += rng.gamma(effects.burst, size=(len(part), effects.modules)) @ response
            matrices.append(draw_counts(log_rate, effects, rng))
        condition = "healthy" if position < min(HEALTHY, simulation.donors) else "disease"
        tables.append(
            pd.DataFrame(
                {"cell_type": label, "donor": donor, "tissue": "bone marrow", "condition": condition, "role": role},
                index=[f"{donor}_{i:05d}" for i in range(n_cells)],
            )
        )
    return csr_matrix(vstack(matrices, format="csr")), pd.concat(tables).rename_axis("cell")


def stage_programs(simulation: Simulation, ontology: Ontology, effects: Effects) -> tuple[np.ndarray, np.ndarray]:
    """Return (S, genes) log-expression of stages and (S,) their parents.

    A stage's program is its parent's plus a sparse shift; the parent is the neighbour nearest to HSC, the
    first in the order of the stages among equals, and HSC is its own. Entering another branch adds a
    second sparse shift that all entries to that branch share.
    """
    steps = ontology.distance
    depth = steps[ontology.stages.index(ROOT)]
    parents = np.where(steps == 1, depth[None], np.iinfo(np.int64).max).argmin(axis=1)
    parents[depth == 0] = np.flatnonzero(depth == 0)
    rng = keyed_rng("simulation", simulation.seed, "baseline")
    programs = np.tile(effects.baseline * rng.normal(size=simulation.genes), (len(depth), 1))
    for stage in np.argsort(depth, kind="stable")[1:]:
        name, branch = ontology.stages[stage], ontology.branches[stage]
        programs[stage] = programs[parents[stage]] + _shift(simulation, effects.edge, effects.edge_genes, "edge", name)
        if branch != ontology.branches[parents[stage]]:
            programs[stage] += _shift(simulation, effects.branch, effects.branch_genes, "branch", branch)
    return programs, parents


def _shift(simulation: Simulation, size: float, share: float, *key: str) -> np.ndarray:
    rng = keyed_rng("simulation", simulation.seed, *key)
    return size * rng.normal(size=simulation.genes) * (rng.random(simulation.genes) < share)


def _draw_stages(
    n_cells: int, ontology: Ontology, effects: Effects, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (cells,) labels and stage indices of one donor, in random order."""
    names = list(LABELS)
    proportions = np.array([count for _, count in LABELS.values()], dtype=float)
    proportions = rng.dirichlet(effects.composition * proportions / proportions.sum())
    sure = min(effects.sure_cells, n_cells // (2 * len(names)))
    sizes = sure + rng.multinomial(n_cells - sure * len(names), proportions)
    label = rng.permutation(np.repeat(np.arange(len(names)), sizes))
    stage = np.zeros(n_cells, dtype=np.int64)
    for index, (stages, _) in enumerate(LABELS.values()):
        cells = np.flatnonzero(label == index)
        stage[cells] = rng.choice(ontology.members(stages), size=len(cells))
    return np.array(names, dtype=object)[label], stage


def draw_counts(log_rate: np.ndarray, effects: Effects, rng: np.random.Generator) -> csr_matrix:
    """Return int32 CSR negative-binomial counts of cells with log-normal library sizes, thinned by drop-out."""
    rate = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
    library = effects.depth * np.exp(effects.library * rng.normal(size=(len(rate), 1)))
    rate *= library / rate.sum(axis=1, keepdims=True)
    counts = rng.poisson(rate * rng.gamma(effects.shape, 1 / effects.shape, size=rate.shape))
    counts[rng.random(rate.shape) < effects.dropout] = 0
    # A cell without counts would be no cell: it keeps one of its likeliest gene.
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    counts[empty, rate[empty].argmax(axis=1)] = 1
    return csr_matrix(counts.astype(np.int32))

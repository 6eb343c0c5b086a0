"""Writes a stand-in of a dataset: the columns and matrices of its configuration, simulated cells."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from opbench.config import Config
from opbench.config.data import Simulation
from opbench.io.atomic import atomic
from opbench.io.locate import locate
from opbench.io.seeds import keyed_rng
from opbench.panels.ontology import Ontology, read_labels
from opbench.panels.simulate import Effects, draw_counts, stage_programs
from opbench.standins.roles import Group, groups_of

#: Share of further cells whose label maps to no stage.
UNSTAGED = 0.05
#: Corpus cells for each that the operator asks for: genes are ranked in them, too.
SPARE = 1.5
#: Deeper than the simulated marrow, so that enough genes vary for a panel of 1,200.
EFFECTS = Effects(baseline=1.6, depth=3000.0)
#: How much likelier the labels of two-class endpoints are than others.
NAMED_WEIGHT = 4
#: What no filter asks for says what these cells are.
TISSUE = "simulated stand-in"


def write_standin(name: str, config: Config, genes: list[str], cells_per_donor: int, seed: int, output: Path) -> str:
    """Write the stand-in of dataset `name` and return its size in words.

    Every group of `groups_of` gets `cells_per_donor` cells with stages, drawn from the label map, and a few
    without; corpus donors more, until the operator has its cells. Counts go where `counts` says; beside
    `raw/X`, `X` holds log1p(CP10k) as in CELLxGENE's files. A cell depends on seed, dataset and donor alone.
    """
    from anndata import AnnData

    dataset = config.datasets[name]
    groups = groups_of(name, config)
    sizes = [_size(group, groups, cells_per_donor, name, config) for group in groups]
    draw = _Draw(name, config, len(genes), seed)
    parts = [draw.group(group, size) for group, size in zip(groups, sizes, strict=True)]
    counts = csr_matrix(vstack([part for part, _ in parts], format="csr"))
    obs = pd.concat([table for _, table in parts])
    obs = obs.astype({column: "category" for column in obs if obs[column].map(type).eq(str).all()})
    var = _var(genes, dataset.columns.gene)
    if dataset.counts == "X":
        adata = AnnData(counts, obs=obs, var=var)
    else:
        adata = AnnData(_normalised(counts), obs=obs, var=var)
        counts = counts.astype(np.float32)
        if dataset.counts == "raw/X":
            adata.raw = AnnData(counts, obs=obs[[]], var=var)
        else:
            adata.layers[dataset.counts.removeprefix("layers/")] = counts
    adata.uns["provenance"] = {"source": "simulated stand-in, evidence of nothing", "seed": seed}
    with atomic(output) as partial:
        adata.write_h5ad(partial)
    return f"{adata.n_obs} cells of {len({group.donor for group in groups})} donors x {adata.n_vars} genes"


def _size(group: Group, groups: list[Group], cells_per_donor: int, name: str, config: Config) -> int:
    if group.role == "evaluation" or name != config.model.corpus:
        return cells_per_donor
    donors = sum(other.role == "corpus" for other in groups)
    return max(cells_per_donor, int(np.ceil(SPARE * config.operators.cells / donors)))


def _normalised(counts: csr_matrix) -> csr_matrix:
    scale = 1e4 / np.asarray(counts.sum(axis=1)).ravel()
    scaled = counts.multiply(scale[:, None]).tocsr()
    return scaled.log1p().astype(np.float32)


def _var(genes: list[str], column: str) -> pd.DataFrame:
    """Symbols as the index, or in `column` beside invented ids of Ensembl's form."""
    if column == "index":
        return pd.DataFrame(index=pd.Index(genes, name="symbol"))
    ids = pd.Index([f"ENSG{90_000_000_000 + i:011d}" for i in range(len(genes))], name="gene_id")
    return pd.DataFrame({column: pd.Categorical(genes)}, index=ids)


class _Draw:
    """The random part: programs of stages and unstaged labels, shared by all stand-ins of a seed."""

    def __init__(self, name: str, config: Config, n_genes: int, seed: int) -> None:
        self.name, self.config, self.seed = name, config, seed
        self.dataset = config.datasets[name]
        self.effects = EFFECTS
        self.ontology = Ontology.read(locate(config.ontology, required=True) or "")
        simulation = Simulation(genes=n_genes, seed=seed)
        self.programs, self.parents = stage_programs(simulation, self.ontology, self.effects)
        labels = read_labels(locate(str(self.dataset.labels), required=True) or "", self.ontology)
        self.stages = _used_labels(name, config, {label: stages for label, stages in labels.items() if stages})
        self.unstaged = [label for label, stages in labels.items() if not stages]
        named = _endpoint_labels(name, config)
        weight = np.array([NAMED_WEIGHT if label in named else 1.0 for label in self.stages])
        self.weight = weight / weight.sum()

    def group(self, group: Group, size: int) -> tuple[csr_matrix, pd.DataFrame]:
        """Counts and obs of one donor in one role."""
        rng = keyed_rng("stand-in", self.seed, self.name, group.donor, group.role)
        names = list(self.stages)
        # Every label once as far as they go, so that small donors have most classes; the rest by weight.
        labels = [*names[:size], *rng.choice(names, size=max(0, size - len(names)), p=self.weight)]
        extra = int(np.ceil(UNSTAGED * size)) if self.unstaged and group.role == "evaluation" else 0
        labels += list(rng.choice(self.unstaged, size=extra)) if extra else []
        labels = [str(label) for label in rng.permutation(labels)]
        log_rate = np.stack([self._program(label, rng) for label in labels])
        donor = keyed_rng("stand-in", self.seed, "donor", group.donor)
        log_rate += self.effects.donor * donor.normal(size=log_rate.shape[1])
        ids = [f"{group.donor}_{group.role}_{i:05d}" for i in range(len(labels))]
        return draw_counts(log_rate, self.effects, rng), self._obs(group, labels, ids)

    def _program(self, label: str, rng: np.random.Generator) -> np.ndarray:
        """A cell's log expression: part of the way back from its stage to the stage's parent."""
        if label not in self.stages:
            own = keyed_rng("stand-in", self.seed, "label", label).normal(size=self.programs.shape[1])
            return self.effects.baseline * own
        stage = rng.choice(self.ontology.members(self.stages[label]))
        back = self.effects.jitter * rng.random()
        return (1 - back) * self.programs[stage] + back * self.programs[self.parents[stage]]

    def _obs(self, group: Group, labels: list[str], ids: list[str]) -> pd.DataFrame:
        columns = self.dataset.columns
        healthy = next(iter(self.config.statistics.healthy), "healthy")
        plain = {columns.tissue: TISSUE, columns.condition: healthy}
        values = {key: value for key, value in plain.items() if key} | group.columns
        obs = pd.DataFrame({key: [value] * len(ids) for key, value in values.items()}, index=pd.Index(ids, name="cell"))
        return obs.assign(**{columns.donor: group.donor, columns.cell_type: labels})


def _endpoint_labels(name: str, config: Config) -> set[str]:
    """Labels of dataset `name` that two-class endpoints name."""
    tasks = config.endpoints.binary.values()
    return {label for task in tasks for side in (task.positive, task.negative) for label in side.get(name, [])}


def _used_labels(name: str, config: Config, staged: dict[str, str]) -> dict[str, str]:
    """The labels of two-class endpoints and the first label of every other stage set, with their stages."""
    named, seen, used = _endpoint_labels(name, config), set(), {}
    for label, stages in staged.items():
        if label in named or stages not in seen:
            used[label] = stages
            seen.add(stages)
    return used

"""Stage: one analysis of one space of gene representations, in every scope, against its nulls."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.config import Config
from opbench.geometry import knowledge as tables
from opbench.geometry.attention_geometry import attention_rows
from opbench.geometry.compartments import compartment_rows, order_rows
from opbench.geometry.convergence import convergence_rows
from opbench.geometry.edges import edge_rows
from opbench.geometry.extract import draw_cells
from opbench.geometry.markers import marker_rows, markers_of
from opbench.geometry.nulls import make_strata
from opbench.geometry.pair_model import pair_model_rows
from opbench.geometry.ppi import copole_rows, gradient_rows, matched_rows, scored_pairs
from opbench.geometry.rows import not_testable, stack
from opbench.geometry.scopes import Scope, Spectral, scope_rows, spectral_coordinates
from opbench.geometry.signs import sign_rows
from opbench.geometry.spectrum import spectrum_rows
from opbench.geometry.tensor import GeneTensor, coexpression, read_tensor
from opbench.geometry.tf_target import gene_classes, tf_target_rows
from opbench.io.errors import InputError
from opbench.io.tables import GEOMETRY, write_table
from opbench.models.corpus import read_corpus
from opbench.panels.reading import check_sha256

log = logging.getLogger("opbench.analyse_geometry")

READERS: dict[str, Callable[[str | Path], pd.DataFrame]] = {
    "trrust": tables.read_trrust, "dorothea": tables.read_dorothea, "string": tables.read_string,
    "hpa": tables.read_hpa, "gmt": tables.read_gene_sets, "panglao": tables.read_panglao,
    "cellmarker": tables.read_cellmarker,
}  # fmt: skip
#: Knowledge that an analysis reads beside the tensor, by use: the first it cannot do without, and it says which genes
#: are named. Others need none.
USES: dict[str, tuple[str, ...]] = {
    "compartments": ("localisation",), "ppi": ("interactions",), "tf_target": ("edges", "factors"),
    "edges": ("edges",), "signs": ("edges",), "markers": ("markers",), "attention": ("interactions", "edges"),
}  # fmt: skip
#: Columns of `GeneTensor.covariates` that strata cross: token count (how many cells a row is a mean of, the main
#: nuisance covariate), detection and expression.
NUISANCE = [2, 0, 1]
#: Genes that are both compared one by one must be few enough for all their pairs to be held.
MOST_PAIRED = 2500


class Absent(Exception):
    """A knowledge table that is not there; the message says which, and what to do."""


@dataclass(frozen=True)
class Files:
    """Files of a job: the tensor, the corpus that its cells are of, and knowledge by use (None: found nowhere)."""

    tensor: str | Path
    corpus: str | Path
    knowledge: Mapping[str, str | Path | None]


@dataclass(frozen=True)
class Scene:
    """A scope: coordinates, strata of detection and expression, and expression of its genes."""

    spectral: Spectral
    strata: NDArray[np.int64]
    covariates: NDArray[np.float64]
    mean: NDArray[np.float32]


def read_knowledge(config: Config, use: str, path: str | Path | None) -> pd.DataFrame:
    """The table that the configuration names for a use; `Absent` when it names none, or one that is found nowhere."""
    name = getattr(config.geometry.knowledge, use)
    if name is None:
        raise Absent(f"geometry.knowledge.{use} names no table.")
    if path is None:
        file = config.knowledge[name].path
        raise Absent(f"'{file}' (knowledge.{name}) is found nowhere; put it into the folder $OPBENCH_KNOWLEDGE.")
    check_sha256(path, config.knowledge[name].sha256)
    return READERS[config.knowledge[name].kind](path)


def named_by(use: str, table: pd.DataFrame) -> set[str]:
    """Symbols that a knowledge table names."""
    columns = {"edges": ("source", "target"), "interactions": ("a", "b")}.get(use, ("symbol",))
    return set().union(*(table[column] for column in columns))


class Study:
    """One space with what its analyses share."""

    def __init__(self, config: Config, files: Files) -> None:
        self.config, self.files, self.s = config, files, config.geometry
        self.tensor: GeneTensor = read_tensor(files.tensor)
        self.read: dict[str, pd.DataFrame] = {}

    def table(self, use: str) -> pd.DataFrame:
        """A knowledge table, read once; see `read_knowledge`."""
        if use not in self.read:
            self.read[use] = read_knowledge(self.config, use, self.files.knowledge.get(use))
        return self.read[use]

    @cached_property
    def log1p(self):  # type: ignore[no-untyped-def]
        """Expression of the cells that the tensor was made of, (cells, G), in its order of genes."""
        about = self.tensor.metadata
        corpus = read_corpus(self.files.corpus, self.tensor.genes)
        return draw_cells(corpus, about["cells"], about["seed"]).log1p

    def scene(self, scope: Scope, named: Collection[str], axes: int | None = None) -> Scene:
        """Coordinates on the first `axes` (those that are tested, where it is None) and strata of a scope."""
        spectral = spectral_coordinates(self.tensor, scope, named, axes or self.s.axes, self.s.least_cells)
        given = self.tensor.covariates(spectral.rows)
        return Scene(spectral, make_strata(given[:, NUISANCE], self.s.bins), given, self.tensor.mean[spectral.rows])

    def among(self, scene: Scene, names: Collection[str]) -> Scene:
        """The scene of the genes that are `names`, on the axes of its whole scope."""
        spectral, wanted = scene.spectral, set(names)
        kept = np.array([place for place, gene in enumerate(spectral.genes) if gene in wanted], dtype=np.int64)
        if len(kept) < 3:
            raise InputError(f"{len(kept)} of the genes that the knowledge table names are in scope {spectral.scope}.")
        genes = [spectral.genes[place] for place in kept]
        few = replace(spectral, genes=genes, rows=spectral.rows[kept], u=spectral.u[:, kept])
        given = scene.covariates[kept]
        return Scene(few, make_strata(given[:, NUISANCE], max(self.s.bins // 2, 2)), given, scene.mean[kept])

    def coexpression(self, rows: NDArray) -> NDArray[np.float32]:
        """Pearson correlation of the tensor's genes `rows` over the cells."""
        return coexpression(self.log1p[:, rows])

    def rows(self, analysis: str) -> pd.DataFrame:
        """Rows of one analysis in every scope; an absent table, or a scope too small, gives a row that says so.

        A table that is there and is not what it should be is an InputError.
        """
        found, uses = [], USES.get(analysis, ())
        try:
            named = named_by(uses[0], self.table(uses[0])) if uses else set()
        except Absent as reason:
            return not_testable(analysis, str(reason))
        for use in uses[1:]:
            self._or_absent(use)
        if not uses and "named_nonzero" in self.s.scopes:
            named = self._any_named()
        for scope in self.s.scopes:
            try:
                found += getattr(self, f"_{analysis}")(scope, named)
            except InputError as reason:
                found.append(not_testable(analysis, str(reason), scope=scope))
        return stack(found)

    def _or_absent(self, use: str) -> pd.DataFrame | Absent:
        try:
            return self.table(use)
        except Absent as reason:
            return reason

    def _any_named(self) -> set[str]:
        """Genes that any knowledge table names: what `named_nonzero` means where an analysis reads none."""
        out: set[str] = set()
        for use in dict.fromkeys(uses[0] for uses in USES.values()):
            found = self._or_absent(use)
            out |= set() if isinstance(found, Absent) else named_by(use, found)
        return out

    @property
    def _axes(self) -> range:
        return range(1, self.s.axes + 1)

    @property
    def _draws(self) -> dict[str, int]:
        return {"permutations": self.s.permutations, "bootstraps": self.s.bootstraps, "seed": self.s.seed}

    def _spectrum(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        yield spectrum_rows(self.tensor, self.scene(scope, named).spectral, self.s.seed)

    def _compartments(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        scene = self.scene(scope, named)
        member = tables.membership(self.table("localisation"), scene.spectral.genes, self.s.term_size)
        if member.empty:
            yield not_testable("compartments", f"no compartment has {self.s.term_size} genes", scope=scope)
            return
        # Genes with many annotations are the well-studied, highly expressed ones: strata cross their number too.
        annotated = np.column_stack([scene.covariates[:, NUISANCE], member.sum(axis=0).to_numpy()])
        strata = make_strata(annotated, self.s.bins)
        kept = {"k_frac": self.s.pole, **self._draws}
        yield compartment_rows(scene.spectral, member, strata, self._axes, **kept)
        kept.pop("bootstraps")
        yield order_rows(scene.spectral, member, self.s.sequence, strata, **kept)

    def _ppi(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        # Axes are of the whole scope, pairs and poles of the genes that the table is about (arXiv:2602.22247, scope a).
        scene, pairs = self.among(self.scene(scope, named), named), self.table("interactions")
        spectral, strata, genes = scene.spectral, scene.strata, scene.spectral.genes
        for term, channels in {"combined": None, **self.s.channels}.items():
            scores = pairs["score"] if channels is None else tables.combined_score(pairs, channels)
            edges, _ = scored_pairs(pairs.assign(used=scores), genes, "used", self.s.high_score)
            yield copole_rows(spectral, edges, strata, self._axes, self.s.pole, **self._draws, term=term)
        graded, scores = scored_pairs(pairs, genes, "score", self.s.low_score)
        seeded = {"permutations": self.s.permutations, "seed": self.s.seed}
        yield gradient_rows(spectral, graded, scores, strata, (2,), self.s.pole, **seeded)
        if len(genes) > MOST_PAIRED:
            reason = f"{len(genes)} genes are in this scope; pair-level tests hold at most {MOST_PAIRED}."
            yield not_testable("ppi_model", reason, quantity="partial_r", scope=scope)
            return
        r = self.coexpression(spectral.rows)
        edges, _ = scored_pairs(pairs, genes, "score", self.s.high_score)
        yield matched_rows(spectral, edges, r, self._axes, self.s.pole, self.s.bootstraps, seed=self.s.seed)
        listed, scores = scored_pairs(pairs, genes, "score", 0.0)
        yield pair_model_rows(spectral, listed, scores, r, scene.mean, strata, **self._draws)

    def _tf_target(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        scene = self.scene(scope, named, self.tensor.tensor.shape[2])  # random subspaces mix all axes
        classes = gene_classes(self.table("edges"), scene.spectral.genes)
        slow = {"permutations": self.s.slow_permutations, "random_subspaces": self.s.slow_permutations}
        kept = {"bootstraps": self.s.bootstraps, "seed": self.s.seed}
        full = self.tensor.tensor[:, scene.spectral.rows]
        given = (scene.covariates, scene.strata)
        yield tf_target_rows(scene.spectral, classes, *given, full=full, **slow, **kept)
        if scope != "nonzero":
            return
        listed = self._or_absent("factors")
        if isinstance(listed, Absent):
            yield not_testable("tf_target", str(listed), term="listed factors", scope=scope)
            return
        factors = tables.transcription_factors(listed)
        classes = gene_classes(self.table("edges"), scene.spectral.genes, factors)
        less = slow | {"random_subspaces": 0}
        yield tf_target_rows(scene.spectral, classes, *given, **less, **kept, term="listed factors")

    def _edges(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        scene = self.scene(scope, named)
        table, rows = self.table("edges"), scene.spectral.rows
        yield edge_rows(scene.spectral, table, self.coexpression(rows), scene.mean, scene.strata, **self._draws)

    def _signs(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        yield sign_rows(self.scene(scope, named).spectral, self.table("edges"), **self._draws)

    def _convergence(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        rows = scope_rows(self.tensor, scope, named, self.s.least_cells)
        # By token count, as strata do: by detection the null rejects twice as often as it may (docs/geometry.md).
        kept = {"permutations": self.s.permutations, "seed": self.s.seed, "matching": self.tensor.count[rows]}
        yield convergence_rows(self.tensor, rows, self.s.converging, self.s.anchors, scope, **kept)

    def _markers(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        scene = self.scene(scope, named)
        panel = tables.marker_panel(self.table("markers"), set(scene.spectral.genes), self.s.marker_types)
        genes, _ = markers_of(self.tensor, scene.spectral.rows, panel)
        r = self.coexpression(np.array([self.tensor.place[gene] for gene in genes], dtype=np.int64)) if genes else None
        yield marker_rows(self.tensor, scene.spectral.rows, panel, r, scene.strata, scope, **self._draws)

    def _attention(self, scope: Scope, named: set[str]) -> Iterator[pd.DataFrame]:
        if self.tensor.attention is None:
            yield not_testable("attention", "this space has no attention", scope=scope)
            return
        if scope != "named_nonzero":  # attention is kept among named genes alone: all maps do not fit in memory
            yield not_testable("attention", "attention is kept among named genes only", scope=scope)
            return
        scene = self.scene(scope, set(self.tensor.attention_genes))
        pairs, genes = self.table("interactions"), scene.spectral.genes
        edges, _ = scored_pairs(pairs, genes, "score", self.s.low_score)
        yield attention_rows(self.tensor, scene.spectral, edges, scene.strata, **self._draws, term="STRING")
        table = self._or_absent("edges")
        if isinstance(table, Absent):
            yield not_testable("attention", str(table), term="TRRUST", scope=scope)
            return
        found = np.column_stack([scene.spectral.index(table[side]) for side in ("source", "target")])
        found = found[(found >= 0).all(axis=1) & (found[:, 0] != found[:, 1])]
        yield attention_rows(self.tensor, scene.spectral, found, scene.strata, **self._draws, term="TRRUST")


def analyse_geometry(config: Config, space: str, analysis: str, files: Files, output: str | Path) -> None:
    """Write the rows of one analysis of one space (contract `GEOMETRY`; families are corrected when all are there)."""
    start = time.perf_counter()
    rows = Study(config, files).rows(analysis)
    rows = rows.assign(run=config.run, space=space)
    write_table(rows[GEOMETRY.names], output, GEOMETRY)
    log.info("%s, %s: %d rows, %.0f s", space, analysis, len(rows), time.perf_counter() - start)

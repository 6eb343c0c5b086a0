"""Stage: fit head and readouts of an operator on a panel's donors and write the standalone algorithm."""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from opbench.adaptors.cell_head import CellHead
from opbench.config import Config
from opbench.config.benchmark import Campaign
from opbench.discovery.artifact import PSEUDOTIME, Artifact, Head, Ontology, Readout, write_artifact
from opbench.discovery.reduce import Reduced, reduce
from opbench.discovery.single import NoSingleError, chosen_head
from opbench.io.errors import InputError
from opbench.io.h5ad import open_store, read_frame
from opbench.io.provenance import sha256_of
from opbench.io.seeds import derive_seed
from opbench.io.store import Store
from opbench.methods.heads import HeadFitter
from opbench.methods.interface import Cells, Variant
from opbench.models.attention_file import load_attention
from opbench.operators.export import build_operator
from opbench.operators.operator import Operator, read_operator
from opbench.panels import ontology as graph
from opbench.panels.gene_ids import ENSEMBL, read_symbols
from opbench.readouts.logistic import Labels
from opbench.readouts.panel_data import PanelData, open_panel
from opbench.readouts.probes import probe_dense

log = logging.getLogger("opbench.pack_artifact")


@dataclass(frozen=True)
class PackFiles:
    """Files of a job: panel and the ontology's folder; attention sums and the scan of single heads, or an operator.

    model: its description; dataset: the training dataset's file, read for Ensembl ids alone; store: the folder of the
    run's content-addressed results.
    """

    panel: str
    ontology: str | Path
    attention: str | None = None
    heads: str | None = None
    operator: str | None = None
    model: str | None = None
    dataset: str | None = None
    store: str | Path | None = None


@dataclass(frozen=True)
class Trained:
    """A head on reduced features and the latents (n, d) of the cells that its readouts are trained on."""

    head: CellHead
    cells: Cells
    z: np.ndarray


def pack_artifact(
    config: Config, panel: str, files: PackFiles, output: str | Path, variant: str = "", dataset: str = ""
) -> None:
    """Stage: write the artifact of one operator at one compaction level, `discovery.artifact.variant` unless named.

    Head (plateau budget, whole donors to stop on) and readouts are the benchmark's own, trained on all evaluation
    donors of `dataset` (unless named, the chain's internal one or the panel's first): nobody is held out, so that none
    of these donors may be used to say how good the artifact is.
    """
    chain = config.discovery.panels.get(panel)
    dataset = dataset or (chain.internal if chain else config.panels[panel].datasets[0])
    variant = variant or config.discovery.artifact.variant
    campaign = Campaign(panel=panel, design="leave_one_donor_out", train=dataset, test=dataset, splits=1)
    data = open_panel(files.panel, files.ontology, config.endpoints, campaign)
    name, operator = source_operator(config, files, variant, data.genes)
    settings = config.discovery.compaction
    reduced = reduce(operator.matrix, variant, settings.factors, settings.genes)
    trained = fit_head(config, data, reduced, derive_seed("artifact", panel, dataset), Store(files.store))
    readouts, unfinished = fit_readouts(data, trained.z)
    fitted, (mean, scale) = trained.head, _moments(trained.z)
    made = _provenance(config, panel, files, operator, trained)
    made |= {"panel": panel, "dataset": dataset, "dataset_source": config.datasets[dataset].source}
    made |= {"variant": variant, "operator_name": name, "unfinished_probes": unfinished}
    made |= {"library_is_partial": config.datasets[dataset].library_is_partial}
    artifact = Artifact(
        operator=reduced,
        head=Head(fitted.weight, fitted.mean, fitted.scale, float(fitted.beta)),
        latent_mean=mean,
        latent_scale=scale,
        readouts=readouts,
        genes=data.genes,
        ensembl=ensembl_ids(data.genes, files.dataset, config.datasets[dataset].symbols),
        ontology=_ontology(files.ontology, data),
        provenance=made,
        min_coverage=config.discovery.artifact.min_coverage,
    )
    write_artifact(artifact, output)
    size = Path(output).stat().st_size
    log.info(
        "%s, %s of %s: %d bytes, head %s after %d epochs", panel, variant, name, size, fitted.status, fitted.epochs
    )


def source_operator(config: Config, files: PackFiles, variant: str, genes: tuple[str, ...]) -> tuple[str, Operator]:
    """The operator that is reduced, with its name: the file's, or the drift for `full` and the scan's head otherwise.

    Where the scan chose no head the drift takes its place. InputError for an operator that reads no expression.
    """
    if files.operator:
        name, operator = Path(files.operator).stem, read_operator(files.operator, genes)
    else:
        attention = load_attention(str(files.attention), stored=True)
        if tuple(attention.genes) != genes:
            raise InputError(f"{files.attention}: its genes are not those of the panel; delete it and run again.")
        head = None if variant == "full" or files.heads is None else _chosen_head(files.heads)
        name = "drift" if head is None else f"head-{head}"
        operator = build_operator(attention, name, config.operators)
    if operator.encoding != "log1p":
        raise InputError(f"{files.operator}: reads '{operator.encoding}', not expression; give another operator.")
    return name, operator


def _chosen_head(path: str) -> str | None:
    try:
        return chosen_head(path)
    except NoSingleError as error:
        log.warning("%s; the drift takes its place", error)
        return None


def fit_head(config: Config, data: PanelData, operator: Reduced, seed: int, store: Store) -> Trained:
    """Fit the benchmark's cell head, plateau budget, on all cells of a panel's training dataset."""
    cells = data.cells(np.arange(len(data.label)), with_truth=True)
    features = np.ascontiguousarray(data.log1p @ operator.matrix, dtype=np.float32)
    cells = replace(cells, features=lambda name: features)
    variant = Variant("artifact", "real", width=config.adaptor.width, budget="plateau", seed=config.adaptor.seed)
    head = HeadFitter().fit(cells, data.classes.ruler, variant, config.adaptor, seed, store)
    return Trained(head, cells, head.transform(features))


def fit_readouts(data: PanelData, z: np.ndarray) -> tuple[dict[str, Readout], list[str]]:
    """The benchmark's linear probes of latents (n, d), as weights on standardised latents; and those not converged.

    Scores of the benchmark are linear in the latent, so that its own function is asked for those of the mean cell and
    of one standard deviation along each axis. Depth is trained where a label has the root stage.
    """
    classes = data.classes
    names = {"branch": classes.branches, "stage": tuple(label.split(":", 1)[1] for label in classes.labels)}
    tasks = {"branch": Labels(data.branch, len(classes.branches)), "stage": Labels(data.label, len(classes.labels))}
    for name, sides in classes.binary.items():
        negative, positive = (np.isin(data.label, list(side)) for side in reversed(sides))
        if positive.any() and negative.any():
            tasks[name] = Labels(np.where(positive, 1, np.where(negative, 0, -1)), 2)
            names[name] = tuple(_joined(names["stage"], side) for side in reversed(sides))
    rooted = any(graph.ROOT in stages for stages in classes.stages)
    mean, scale = _moments(z)
    points = np.vstack([mean, mean + np.diag(scale)]).astype(np.float32)
    found = probe_dense(z, points, tasks, data.depth if rooted else None)
    scores = found.scores | ({PSEUDOTIME: found.depth[:, None]} if found.depth is not None else {})
    readouts = {
        name: Readout(*(part.astype(np.float32) for part in (each[1:] - each[0], each[0])), names.get(name, ()))
        for name, each in scores.items()
    }
    return readouts, sorted(found.unfinished)


def _moments(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (d,) float32 that the probes standardise by; constant columns have scale 1."""
    mean, scale = (getattr(z, what)(0, dtype=np.float64).astype(np.float32) for what in ("mean", "std"))
    scale[scale == 0] = 1
    return mean, scale


def _joined(labels: tuple[str, ...], side: frozenset[int]) -> str:
    return "|".join(labels[code] for code in sorted(side))


def _ontology(folder: str | Path, data: PanelData) -> Ontology:
    """Stages and edges of the graph, and the stages of each trained label."""
    whole = graph.Ontology.read(folder)
    pairs = combinations(range(len(whole.stages)), 2)
    edges = tuple((whole.stages[a], whole.stages[b]) for a, b in pairs if whole.distance[a, b] == 1)
    labels = {
        label.split(":", 1)[1]: whole.join(stages)
        for label, stages in zip(data.classes.labels, data.classes.stages, strict=True)
    }
    return Ontology(dict(zip(whole.stages, whole.branches, strict=True)), edges, labels)


def ensembl_ids(genes: tuple[str, ...], path: str | None, symbols: str | None) -> tuple[str, ...]:
    """Ensembl ids without version of each symbol, joined by `|`: by the table `symbols`, and by a data file's own var.

    '' where neither knows one; a file without a column of ids adds none.
    """
    known: dict[str, set[str]] = {gene: set() for gene in genes}
    pairs = [(symbol, name) for name, symbol in read_symbols(symbols).items()] if symbols else []
    if path:
        with open_store(path) as root:
            var = read_frame(root, "var", path)
        columns = [var.index.astype(str), *(var[name].astype(str) for name in var.columns)]
        for ids in columns:
            parts = [ENSEMBL.fullmatch(text) for text in ids]
            if 2 * sum(part is not None for part in parts) > len(parts):
                for names in columns:
                    pairs += [(symbol, part[1]) for symbol, part in zip(names, parts, strict=True) if part]
    for symbol, name in pairs:
        if symbol in known:
            known[symbol].add(name)
    return tuple("|".join(sorted(known[gene])) for gene in genes)


def _settings_digest(config: Config, panel: str) -> str:
    """Digest of the settings that the artifact depends on: an edit of another one leaves the file as it is."""
    chain = config.discovery
    parts = [chain.artifact, chain.compaction, chain.scan, config.adaptor, config.operators, config.endpoints]
    parts += [chain.panels[panel]] if panel in chain.panels else []
    return hashlib.sha256("\n".join(part.model_dump_json() for part in parts).encode()).hexdigest()


def _provenance(
    config: Config, panel: str, files: PackFiles, operator: Operator, trained: Trained
) -> dict[str, object]:
    """What the artifact was made from; no time and no path, so that equal inputs give equal files."""
    head = trained.head
    return {
        "run": config.run,
        "panel_sha256": sha256_of(files.panel),
        "donors": sorted(set(trained.cells.donor.tolist())),
        "cells": len(trained.cells.ids),
        "operator": {"digest": operator.digest, **operator.meta},
        "model": json.loads(Path(files.model).read_text()) if files.model else {"name": config.model.name},
        "settings_sha256": _settings_digest(config, panel),
        "adaptor": config.adaptor.model_dump(),
        "head": {"status": str(head.status), "epochs": int(head.epochs), "budget": "plateau"},
    }

"""A toy panel with parts, attention, scan table and operators on disk, for the tests of compaction and factors."""

from pathlib import Path

import numpy as np
import pandas as pd
from toy_panel import ONTOLOGY, STAGES, write_panel

from opbench.config import Config
from opbench.discovery.compaction import ChainFiles
from opbench.discovery.parts import build_parts
from opbench.io.tables import HEADS, write_table
from opbench.models.attention_file import AttentionSums, save_attention
from opbench.operators.operator import from_blocks, write_operator

GENES, DONORS, PER_LABEL = 40, 8, 7
#: Genes that alone tell Mono from cDC.
MARKERS = (30, 31, 32, 33)
RAW = {
    "run": "toy",
    "datasets": {"a": {"path": "a.h5ad", "source": "toy", "columns": {}, "labels": "l.tsv", "corpus": "x"}},
    "panels": {"p": {"datasets": ["a"], "genes": {"kind": "hvg", "n": 40, "corpus": "a"}}},
    "model": {"name": "toy", "corpus": "a"},
    "operators": {"gaussian_draws": 2, "controls": {"shuffle": 2, "row_permuted": 2, "uniform": 1, "identity": 1}},
    "adaptor": {"width": 4, "epochs": 20, "cells_per_stage": 30},
    "campaigns": {"c": {"panel": "p", "design": "folds", "train": "a", "test": "a", "splits": 2, "min_cells": 10}},
    "endpoints": {"binary": {"mono": {"positive": {"a": ["Mono"]}, "negative": {"a": ["cDC"]}}}},
    "statistics": {"bootstraps": 200},
    "discovery": {
        "panels": {"p": {"internal": "a", "campaign": "c"}},
        "artifact": {"variant": "rank6"},
        "compaction": {"ranks": [6, 4, 2], "factors": 5, "genes": 10, "folds": 2, "core": 2, "random_cores": 2},
    },
}  # fmt: skip


def config(**compaction: object) -> Config:
    """The toy configuration with other settings of the compaction."""
    discovery = RAW["discovery"] | {"compaction": RAW["discovery"]["compaction"] | compaction}
    return Config.model_validate(RAW | {"discovery": discovery})


def write_cohort(folder: Path) -> dict[str, str]:
    """Write every file; the real head reads all genes, the Gaussian drift reads four that tell nothing apart."""
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 0.7, (len(STAGES), GENES))
    mean[3, :] = mean[2, :]
    mean[2, list(MARKERS)], mean[3, list(MARKERS)] = 2, -2
    log1p = write_panel(folder / "panel.h5ad", mean, DONORS, PER_LABEL, rng)
    genes = [f"g{i}" for i in range(GENES)]
    tables = folder / "parts.parquet", folder / "overlap.parquet"
    build_parts(config(), "p", folder / "panel.h5ad", None, folder / "parts.h5ad", *tables)
    tokens = np.full((GENES, GENES), 5, np.int32)
    sums = np.stack([np.eye(GENES) * (1 + layer) for layer in range(3)])[:, None].astype(np.float32)
    made = AttentionSums(sums, tokens, np.full(GENES, 5), log1p[:5], [f"x{i}" for i in range(5)], genes)
    save_attention(made, folder / "attention.safetensors")
    row = dict.fromkeys(HEADS.names, 0) | {"run": "toy", "panel": "p", "part": "internal", "arm": "real"}
    row |= {"operator": "drift", "budget": "fixed", "key": "residualised", "status": "ok", "reason": ""}
    heads = [row | {"head": f"L{layer}H0", "layer": layer, "chosen": layer == 1} for layer in range(3)]
    write_table(pd.DataFrame(heads + random_rows(row)), folder / "heads.parquet", HEADS)
    write_table(pd.DataFrame(heads).assign(chosen=False), folder / "no_heads.parquet", HEADS)
    support, few = np.ones((GENES, GENES), bool), np.zeros((GENES, GENES))
    few[:4] = rng.normal(size=(4, GENES))
    for name, blocks, meta in (
        ("drift", [np.eye(GENES), -np.eye(GENES)], {"arm": "real"}),
        ("gaussian-0", [few, few], {"arm": "gaussian_halves", "draw": 0}),
        ("gaussian-1", [few, -few], {"arm": "gaussian_halves", "draw": 1}),
        ("identity", [np.eye(GENES)], {"arm": "identity"}),
    ):
        write_operator(from_blocks(blocks, support, tuple(genes), **meta), folder / f"{name}.safetensors")
    return {path.stem: str(path) for path in folder.iterdir() if path.stem != "parts" or path.suffix == ".h5ad"}


def random_rows(row: dict) -> list[dict]:
    """Scan rows of random heads: L0H0 is best of draw 0 and L2H0 of draw 1; `best` and the external part mislead."""
    best, row = {0: 0, 1: 2}, row | {"chosen": False}
    rows = []
    for arm in ("gaussian", "shuffle", "row_permuted"):
        for draw, first in best.items():
            key = {layer: 0.5 if layer == first else 0.1 * layer for layer in range(3)}
            drawn = row | {"arm": arm, "draw": draw}
            rows += [drawn | {"head": f"L{i}H0", "layer": i, "residualised": value} for i, value in key.items()]
            rows += [drawn | {"head": "best", "layer": first, "residualised": 0.9}]
            rows += [drawn | {"head": "L1H0", "layer": 1, "part": "external", "residualised": 0.8}]
    return rows


def job(files: dict[str, str], *operators: str, heads: str = "heads") -> ChainFiles:
    """Inputs of a job on some operators."""
    paths = [files[name] for name in operators]
    return ChainFiles(files["panel"], files["parts"], ONTOLOGY, files["attention"], files[heads], paths)

"""A tiny cohort on disk with its configuration, for the tests of `opbench check`."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from opbench.config.data import Simulation
from opbench.models.checkpoint import write_checkpoint
from opbench.models.transformer import ScGPT
from opbench.panels.simulate import simulate_cohort

ROOT = Path(__file__).resolve().parents[2]
GENES = 120
SIMULATION = Simulation(donors=9, corpus_donors=2, cells_per_donor=70, corpus_cells_per_donor=60, genes=GENES, seed=3)
ARGS = {"nlayers": 3, "nheads": 2, "embsize": 8, "d_hid": 8, "dropout": 0.0, "n_bins": 51, "max_seq_len": 64}
CONFIG: dict[str, Any] = {
    "run": "small",
    "datasets": {
        "mine": {
            "path": "cells.h5ad",
            "evaluation": "role == 'evaluation'",
            "corpus": "role == 'corpus'",
            "labels": "labels.tsv",
        }
    },
    "panels": {"mine": {"datasets": ["mine"], "genes": {"kind": "hvg", "n": 50, "corpus": "mine"}}},
    "model": {"name": "tiny", "checkpoint": "model", "corpus": "mine"},
    "operators": {"cells": 100, "gaussian_draws": 1},
    "methods": ["pca10", "raw_log1p", "chance"],
    "campaigns": {
        "lodo": {"panel": "mine", "design": "leave_one_donor_out", "train": "mine", "test": "mine", "splits": 9,
                 "min_cells": 50}
    },
    "endpoints": {"binary": {"t_vs_ctl": {"positive": {"mine": ["CTL"]}, "negative": {"mine": ["T"]}}}},
}  # fmt: skip


def write_cohort(folder: Path) -> None:
    """Write cells.h5ad, labels.tsv and the checkpoint folder `model`."""
    simulate_cohort(SIMULATION, ROOT / "resources" / "ontology", folder / "cells.h5ad")
    shutil.copy(ROOT / "resources" / "labels" / "simulated.tsv", folder / "labels.tsv")
    vocab = {f"G{gene + 1:04d}": gene for gene in range(GENES)} | {
        "<pad>": GENES,
        "<cls>": GENES + 1,
        "<eoc>": GENES + 2,
    }
    write_checkpoint(folder / "model", ARGS, vocab, ScGPT(ARGS, len(vocab)).initialise(0).state_dict())
    (folder / "model" / "recipe.json").write_text("{}\n")


def edited(*changes: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """A copy of the configuration after changes."""
    raw = copy.deepcopy(CONFIG)
    for change in changes:
        change(raw)
    return raw


def put(path: str, value: object) -> Callable[[dict[str, Any]], object]:
    """A change that sets the key at a dotted path."""

    def change(raw: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            raw = raw[parent]
        raw[key] = value

    return change


def write_config(folder: Path, raw: dict[str, Any]) -> str:
    """Write the configuration and return its path."""
    (folder / "run.yaml").write_text(yaml.safe_dump(raw))
    return str(folder / "run.yaml")

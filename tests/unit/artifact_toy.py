"""A toy panel, the file that it comes from, an operator and its packed artifact."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from opbench.config import Config, parse_config
from opbench.discovery.pack import PackFiles, pack_artifact
from opbench.operators.operator import from_blocks, write_operator
from opbench.panels.build import log1p_cp10k

ONTOLOGY = Path(__file__).resolve().parents[2] / "resources/ontology"
STAGES = {
    "HSC": ("HSC", "stem_progenitor", 0), "GMP": ("GMP", "stem_progenitor", 3), "Mono": ("Cl_Mono", "mono_dc", 4),
    "cDC": ("Dendritic", "mono_dc", 5), "T": ("Naive_CD4", "t", 5), "B": ("Naive_B", "b_plasma", 5),
}  # fmt: skip
ALL_GENES, GENES, DONORS, PER_LABEL = 60, 40, 6, 6
RAW = {
    "run": "toy",
    "datasets": {"a": {"path": "a.h5ad", "source": "toy", "columns": {}, "labels": "l.tsv", "corpus": "x"}},
    "panels": {"p": {"datasets": ["a"], "genes": {"kind": "hvg", "n": 40, "corpus": "a"}}},
    "model": {"name": "toy", "corpus": "a"},
    "adaptor": {"width": 4, "patience": 5, "max_epochs": 20, "cells_per_stage": 30, "validation_donors": 2},
    "campaigns": {"c": {"panel": "p", "design": "leave_one_donor_out", "train": "a", "test": "a", "splits": 6}},
    "endpoints": {"binary": {"mono": {"positive": {"a": ["Mono"]}, "negative": {"a": ["cDC", "GMP"]}}}},
}  # fmt: skip


def config() -> Config:
    return parse_config(RAW)


def cells() -> AnnData:
    """Counts of all genes, whose first GENES in reversed order are the panel's."""
    rng = np.random.default_rng(0)
    label = np.tile(np.repeat(list(STAGES), PER_LABEL), DONORS)
    rate = np.exp(rng.normal(0, 1, (len(STAGES), ALL_GENES)))[[list(STAGES).index(name) for name in label]]
    obs = pd.DataFrame({"donor": np.repeat([f"d{i}" for i in range(DONORS)], PER_LABEL * len(STAGES)), "label": label})
    var = pd.DataFrame(
        {"ids": [f"ENSG{i:011d}.{i % 7}" for i in range(ALL_GENES)]}, index=[f"g{i}" for i in range(ALL_GENES)]
    )
    obs.index = [f"c{i}" for i in range(len(obs))]
    return AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs, var=var)


def make(folder: Path, variant: str = "full") -> dict[str, Path]:
    """Write cells, panel and operator, and pack the artifact."""
    whole = cells()
    names = list(whole.var_names[:GENES][::-1])
    counts = sp.csr_matrix(whole[:, names].X).astype(np.int32)
    counts.sort_indices()
    library = np.asarray(whole.X.sum(1), dtype=np.float64).ravel()
    obs = whole.obs.assign(dataset="a", tissue="m", condition="healthy", library_size=library)
    for column, k in (("stages", 0), ("branch", 1), ("depth", 2)):
        obs[column] = [STAGES[name][k] for name in obs["label"]]
    obs.index = "a:" + obs.index
    var = pd.DataFrame({"present_a": True}, index=names)
    panel = AnnData(counts, obs=obs, var=var, layers={"log1p": log1p_cp10k(counts, library)})
    panel.uns["panel"] = {"name": "p", "missing": {"a": np.array([], dtype=object)}, "library_is_partial": {"a": False}}
    paths = {name: folder / f"{name}.h5ad" for name in ("cells", "panel")}
    paths |= {name: folder / f"{name}.safetensors" for name in ("drift", "artifact")}
    whole.write_h5ad(paths["cells"], compression="gzip")
    panel.write_h5ad(paths["panel"])
    blocks = list(np.random.default_rng(1).normal(size=(2, GENES, GENES)))
    blocks[0][5] = blocks[1][5] = 0  # a gene that the operator does not read
    support = np.ones((GENES, GENES), bool)
    write_operator(from_blocks(blocks, support, tuple(names), arm="real"), paths["drift"])
    files = PackFiles(str(paths["panel"]), ONTOLOGY, operator=str(paths["drift"]), dataset=str(paths["cells"]))
    pack_artifact(config(), "p", files, paths["artifact"], variant)
    return paths

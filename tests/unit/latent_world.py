"""A small cohort whose depth, T subtypes and interactions are planted, as files of a chain."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from opbench.config import Config
from opbench.discovery.parts import build_parts
from opbench.operators.operator import from_blocks, write_operator

ONTOLOGY = Path(__file__).resolve().parents[2] / "resources/ontology"
#: Label -> stage, branch, depth; the last two are the two subtypes of T cells.
LABELS = {
    "HSC": ("HSC", "stem_progenitor", 0), "Prog": ("MPP", "stem_progenitor", 1), "GMP": ("GMP", "stem_progenitor", 3),
    "eEry": ("Ery_early", "erythroid_mk", 4), "lEry": ("Erythrocyte", "erythroid_mk", 5),
    "Mono": ("Cl_Mono", "mono_dc", 4), "B": ("Naive_B", "b_plasma", 5), "T": ("Naive_CD4", "t", 5),
    "CTL": ("Memory_CD8", "t", 6),
}  # fmt: skip
DONORS, PER_LABEL, STEPS, NOISE = 12, 10, 9, 40
LIGANDS, RECEPTORS = [f"L{i}" for i in range(STEPS)], [f"R{i}" for i in range(STEPS)]
#: Genes whose level is the depth, genes of the T subtypes, a chain of ligands and receptors, and genes of strong
#: differences between types that mean nothing.
GENES = [*(f"depth{i}" for i in range(6)), *(f"t{i}" for i in range(4)), *LIGANDS, *RECEPTORS]
GENES += [f"noise{i}" for i in range(NOISE)]
RAW = {
    "run": "toy",
    "datasets": {"a": {"path": "a.h5ad", "source": "toy", "columns": {}, "labels": "l.tsv", "corpus": "x"}},
    "panels": {"p": {"datasets": ["a"], "genes": {"kind": "hvg", "n": len(GENES), "corpus": "a"}}},
    "model": {"name": "toy", "corpus": "a"},
    "adaptor": {"width": 6, "patience": 10, "max_epochs": 150, "validation_donors": 2},
    "campaigns": {"c": {"panel": "p", "design": "folds", "train": "a", "test": "a", "splits": 2}},
    "endpoints": {"binary": {"t": {"positive": {"a": ["CTL"]}, "negative": {"a": ["T"]}},
                             "myeloid": {"positive": {"a": ["Mono"]}, "negative": {"a": ["GMP"]}}}},
    "statistics": {"bootstraps": 200},
    "knowledge": {"omni": {"path": "omni.csv", "kind": "interactions", "source": "toy", "licence": "toy"}},
    "discovery": {
        "panels": {"p": {"internal": "a"}}, "seeds": 2, "internal_share": 0.5,
        "gates": {"permutations": 199, "p": 0.01},
        "manifold": {"interactions": "omni", "neighbours": [6, 10], "shuffles": 60},
    },
}  # fmt: skip


def config(**changes: object) -> Config:
    return Config.model_validate(RAW | changes)


def select(*prefixes: str) -> np.ndarray:
    """The operator that passes genes of these names and no other."""
    return np.diag([float(gene.rstrip("0123456789") in prefixes) for gene in GENES])


def _rates(rng: np.random.Generator) -> np.ndarray:
    """Mean count by label and gene."""
    out = np.ones((len(LABELS), len(GENES)))
    # Places of the labels along the chain of interactions have nothing to do with depth.
    place = rng.permutation(np.linspace(0, STEPS - 1, len(LABELS)))
    for row, (name, (_, _, depth)) in enumerate(LABELS.items()):
        out[row, :6] = 0.5 + depth
        out[row, 6:10] = 2.5 if name == "CTL" else 1
        bump = 8 * np.exp(-((np.arange(STEPS) - place[row]) ** 2) / 3) + 0.05
        out[row, 10 : 10 + 2 * STEPS] = [*bump, *bump]
    out[:, -NOISE:] = np.exp(rng.normal(0, 1.5, (len(LABELS), NOISE)))
    return out


def write_world(folder: Path) -> dict[str, str]:
    """Panel, parts, interactions, and operators `drift`, `gaussian-0` (reads noise alone) and others by name."""
    rng = np.random.default_rng(3)
    label = np.tile(np.repeat(np.arange(len(LABELS)), PER_LABEL), DONORS)
    donor = np.repeat([f"d{i:02d}" for i in range(DONORS)], PER_LABEL * len(LABELS))
    counts = sp.csr_matrix(rng.poisson(_rates(rng)[label]).astype(np.int32))
    log1p = sp.csr_matrix((np.log1p(counts.data).astype(np.float32), counts.indices, counts.indptr), counts.shape)
    names = np.array(list(LABELS))[label]
    obs = pd.DataFrame({"dataset": "a", "donor": donor, "tissue": "m", "condition": "healthy", "label": names})
    for column, k in (("stages", 0), ("branch", 1), ("depth", 2)):
        obs[column] = [LABELS[name][k] for name in names]
    obs = obs.assign(library_size=1e4).set_axis([f"a:c{i}" for i in range(len(obs))]).rename_axis("cell")
    panel = AnnData(counts, obs=obs, var=pd.DataFrame({"present_a": True}, index=GENES), layers={"log1p": log1p})
    panel.uns["panel"] = {"name": "p", "missing": {"a": np.array([], dtype=object)}, "library_is_partial": {"a": False}}
    panel.write_h5ad(folder / "panel.h5ad")
    paths = [str(folder / name) for name in ("panel.h5ad", "parts.h5ad", "parts.parquet", "overlap.parquet")]
    build_parts(config(), "p", paths[0], None, *paths[1:])
    chain = [*zip(LIGANDS, RECEPTORS, strict=True), *zip(LIGANDS[1:], RECEPTORS[:-1], strict=True)]
    table = pd.DataFrame(chain, columns=["source_genesymbol", "target_genesymbol"])
    table.to_csv(folder / "omni.csv", index=False)
    support = np.ones((len(GENES),) * 2, bool)
    for name, matrix, meta in (
        ("drift", select("depth", "t"), {"arm": "real"}),
        ("interacting", select("L", "R"), {"arm": "real"}),
        ("gaussian-0", select("noise"), {"arm": "gaussian_halves", "draw": 0}),
        ("gaussian-1", 0.01 * select("noise"), {"arm": "gaussian_halves", "draw": 1}),
    ):
        write_operator(from_blocks([matrix], support, tuple(GENES), **meta), folder / f"{name}.safetensors")
    return {path.stem if path.suffix == ".safetensors" else path.name: str(path) for path in folder.iterdir()}

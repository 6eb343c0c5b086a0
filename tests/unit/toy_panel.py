"""A toy panel on disk: six labels of four branches on as many donors as asked, counts at given rates."""

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

ONTOLOGY = Path(__file__).resolve().parents[2] / "resources/ontology"
#: Label -> stage, branch, depth.
STAGES = {
    "HSC": ("HSC", "stem_progenitor", 0), "GMP": ("GMP", "stem_progenitor", 3), "Mono": ("Cl_Mono", "mono_dc", 4),
    "cDC": ("Dendritic", "mono_dc", 5), "T": ("Naive_CD4", "t", 5), "B": ("Naive_B", "b_plasma", 5),
}  # fmt: skip


def write_panel(path: Path, mean: np.ndarray, donors: int, per_label: int, rng: np.random.Generator) -> sp.csr_matrix:
    """Write cells of every donor and label at rates exp(mean), mean (labels, genes); returns log1p of their counts."""
    label = np.tile(np.repeat(list(STAGES), per_label), donors)
    donor = np.repeat([f"d{i}" for i in range(donors)], per_label * len(STAGES))
    counts = sp.csr_matrix(rng.poisson(np.exp(mean)[[list(STAGES).index(name) for name in label]]).astype(np.int32))
    log1p = sp.csr_matrix((np.log1p(counts.data).astype(np.float32), counts.indices, counts.indptr), counts.shape)
    obs = pd.DataFrame({"dataset": "a", "donor": donor, "tissue": "m", "condition": "healthy", "label": label})
    for column, k in (("stages", 0), ("branch", 1), ("depth", 2)):
        obs[column] = [STAGES[name][k] for name in label]
    obs = obs.assign(library_size=1e4).set_axis([f"a:c{i}" for i in range(len(obs))])
    genes = [f"g{i}" for i in range(mean.shape[1])]
    adata = AnnData(counts, obs=obs, var=pd.DataFrame({"present_a": True}, index=genes), layers={"log1p": log1p})
    adata.uns["panel"] = {"name": "p", "missing": {"a": np.array([], dtype=object)}, "library_is_partial": {"a": False}}
    adata.write_h5ad(path)
    return log1p

"""The contract of a panel file, checked whenever one is read."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata.io import read_h5ad
from scipy.sparse import issparse

from opbench.io.errors import InputError
from opbench.io.h5ad import open_h5ad, read_obs

if TYPE_CHECKING:
    from anndata import AnnData

TEXT_COLUMNS = ("dataset", "donor", "tissue", "condition", "label", "stages", "branch")
NUMBER_COLUMNS = ("depth", "library_size")


def read_panel(path: str | Path) -> "AnnData":
    """Read a panel of n evaluation cells and g genes and check its contract.

    `X` (n, g) int32 CSR counts; `layers["log1p"]` (n, g) float32 CSR log1p of counts per 10,000 of the full
    library; `obs` indexed `<dataset>:<cell_id>` with text columns dataset, donor, tissue, condition, label,
    stages, branch and numbers depth (steps from HSC) and library_size; `var` indexed by symbol with a bool
    `present_<dataset>` for each dataset; `uns["panel"]` with name, missing, library_is_partial.
    Raises InputError naming the first part that is broken.
    """
    with open_h5ad(path):
        pass
    adata = read_h5ad(path)
    adata.obs = _texts(adata.obs, path)
    _check_matrix(adata.X, "X", np.int32, path)
    if "log1p" not in adata.layers:
        raise _broken(path, "has no layer 'log1p'")
    _check_matrix(adata.layers["log1p"], "layers/log1p", np.float32, path)
    counts, values = adata.X, adata.layers["log1p"]
    if not (np.array_equal(counts.indptr, values.indptr) and np.array_equal(counts.indices, values.indices)):
        raise _broken(path, "has counts and log1p values in different places")
    _check_names(adata, path)
    return adata


def read_panel_obs(path: str | Path) -> pd.DataFrame:
    """Read only the cell table of a panel, with the columns checked."""
    return _texts(read_obs(path), path)


def _broken(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}, so it is no panel file; delete it and run again.")


def _texts(obs: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Return `obs` with text columns as str objects; h5ad keeps them as categoricals."""
    for column in (*TEXT_COLUMNS, *NUMBER_COLUMNS):
        if column not in obs.columns:
            raise _broken(path, f"has no obs column '{column}'")
        if obs[column].isna().any():
            raise _broken(path, f"has empty values in obs column '{column}'")
    obs = obs.astype(dict.fromkeys(TEXT_COLUMNS, str) | dict.fromkeys(NUMBER_COLUMNS, float))
    if not (obs["library_size"] > 0).all():
        raise _broken(path, "has a cell whose library_size is not positive")
    return obs


def _check_matrix(matrix: object, name: str, dtype: type, path: str | Path) -> None:
    if not issparse(matrix) or matrix.format != "csr" or matrix.dtype != dtype:  # type: ignore[attr-defined]
        raise _broken(path, f"does not hold '{name}' as CSR of {np.dtype(dtype).name}")


def _check_names(adata: "AnnData", path: str | Path) -> None:
    if not (adata.obs_names.is_unique and adata.var_names.is_unique):
        raise _broken(path, "repeats a cell or a gene")
    datasets = adata.obs["dataset"].unique()
    for name in datasets:
        if adata.var.get(f"present_{name}", pd.Series(dtype=float)).dtype != bool:
            raise _broken(path, f"has no bool var column 'present_{name}'")
    about = adata.uns.get("panel", {})
    for key in ("name", "missing", "library_is_partial"):
        if key not in about:
            raise _broken(path, f"has no uns entry 'panel/{key}'")
    prefix = adata.obs["dataset"] + ":"
    if not all(map(str.startswith, adata.obs_names, prefix)):
        raise _broken(path, "has cells not named <dataset>:<cell_id>")

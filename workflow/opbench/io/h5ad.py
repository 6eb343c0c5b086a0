"""Parts of `.h5ad` files, read without loading the matrix."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from opbench.io.errors import InputError


def read_obs(path: str | Path, columns: Collection[str] = ()) -> pd.DataFrame:
    """Read the per-cell table `obs` alone; `columns` must be among its columns.

    Raises `InputError` when the file is not readable as h5ad or a column is missing.
    """
    import h5py
    from anndata.io import read_elem

    try:
        with h5py.File(path, "r") as file:
            obs = read_elem(file["obs"])
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: holds no readable 'obs' ({error}); correct the path, or delete the file if this workflow made it."
        ) from error
    if missing := sorted(set(columns) - set(obs.columns)):
        raise InputError(f"{path}: 'obs' lacks the columns {missing}; write them, or name others.")
    return obs

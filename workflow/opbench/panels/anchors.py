"""Anchors: mean expression of a donor's cells of one type, the points that the paper's head is trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.io.h5ad import open_h5ad
from opbench.panels.panel import TEXT_COLUMNS, read_panel

if TYPE_CHECKING:
    from anndata import AnnData

#: What an anchor is a mean over (spec A.2): the stage follows from the cell type.
KEY = ["dataset", "donor", "tissue", "label"]


def make_anchors(cells: "AnnData", min_cells: int, setting: str = "sweeps.min_cells") -> "AnnData":
    """Average a panel's log1p vectors by dataset x donor x tissue x cell type (arXiv:2603.10261; spec A.2).

    Returns (a, G): `X` float32 means over at least `min_cells` cells each; `obs` dataset, donor, tissue, condition (the
    most common one), label, stages, branch, depth and n_cells, sorted, indexed `dataset:donor:tissue:label`; `var` the
    panel's genes; `uns["anchors"]` with panel and min_cells. An operator is linear, so that the anchor of a feature map
    is the feature map of the anchor. Raises InputError, naming `setting`, when no group is large enough.
    """
    from anndata import AnnData

    groups = cells.obs.groupby(KEY, observed=True, sort=True)
    obs = groups[["stages", "branch", "depth"]].first()
    obs["condition"] = groups["condition"].agg(lambda values: values.mode().iloc[0])
    obs["n_cells"] = groups.size().astype(np.int64)
    code = groups.ngroup().to_numpy()
    average = csr_matrix((1 / obs["n_cells"].to_numpy()[code], (code, np.arange(cells.n_obs))))
    kept = (obs["n_cells"] >= min_cells).to_numpy()
    if not kept.any():
        raise InputError(
            f"panel '{cells.uns['panel']['name']}': no donor has {min_cells} cells of one type, so there is no anchor; "
            f"lower {setting}."
        )
    means = (average[kept] @ cells.layers["log1p"]).toarray().astype(np.float32)
    obs = obs[kept].reset_index()
    obs.index = pd.Index(obs[KEY].agg(":".join, axis=1), name="anchor")
    about = {"panel": str(cells.uns["panel"]["name"]), "min_cells": min_cells}
    return AnnData(means, obs=obs[[*TEXT_COLUMNS, "depth", "n_cells"]], var=cells.var[[]], uns={"anchors": about})


def build_anchors(panel: str | Path, min_cells: int, output: str | Path) -> None:
    """Stage: write the anchors of a panel file."""
    anchors = make_anchors(read_panel(panel), min_cells)
    with atomic(output) as partial:
        anchors.write_h5ad(partial)


def read_anchors(path: str | Path) -> "AnnData":
    """Read an anchor file and check what `make_anchors` promises; InputError names the first part that is broken."""
    from anndata.io import read_h5ad

    with open_h5ad(path):
        pass
    anchors = read_h5ad(path)
    obs = anchors.obs
    for column in (*TEXT_COLUMNS, "depth", "n_cells"):
        if column not in obs.columns or obs[column].isna().any():
            raise _broken(path, f"has no obs column '{column}', or empty values in it")
    anchors.obs = obs = obs.astype(dict.fromkeys(TEXT_COLUMNS, str))
    if not isinstance(anchors.X, np.ndarray) or anchors.X.dtype != np.float32 or not np.isfinite(anchors.X).all():
        raise _broken(path, "does not hold 'X' as finite float32")
    if set(anchors.uns.get("anchors", {})) != {"panel", "min_cells"}:
        raise _broken(path, "has no uns entries 'anchors/panel' and 'anchors/min_cells'")
    if (obs["n_cells"] < anchors.uns["anchors"]["min_cells"]).any():
        raise _broken(path, "has an anchor of too few cells")
    if obs.duplicated(KEY).any():
        raise _broken(path, "repeats an anchor")
    return anchors


def _broken(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}, so it is no anchor file; delete it and run again.")

"""Mean expression of genes outside a panel, by anchor."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.discovery.parts import Parts
from opbench.io.errors import InputError
from opbench.io.h5ad import open_h5ad, read_frame
from opbench.panels.all_genes import open_all_genes
from opbench.panels.anchors import KEY
from opbench.panels.panel import read_panel_obs


def genes_of(parts: Parts, all_genes: str | Path | None) -> tuple[str, ...]:
    """Symbols of the file of all genes, or of the parts where there is none."""
    if all_genes is None:
        return parts.genes
    with open_h5ad(all_genes) as file:
        return tuple(read_frame(file, "var", all_genes).index.astype(str))


def anchor_profiles(
    parts: Parts, names: Sequence[str], all_genes: str | Path | None, genes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Mean log1p expression of `genes` by anchor of each named part, (a, g) float32.

    Read from the file of all genes, whose cells are the panel's, or else from the anchors themselves. Raises
    InputError when the file has not the cells that the anchors were made of.
    """
    if all_genes is None:
        columns = pd.Index(parts.genes).get_indexer(genes)
        return {name: parts.parts[name].x[:, columns] for name in names}
    cells = _cells(parts, all_genes)
    log1p, held = open_all_genes(all_genes, pd.Index(cells["cell"]))
    anchor, size = cells["anchor"].to_numpy(), len(parts.obs)
    count = np.bincount(anchor, minlength=size)
    average = csr_matrix((1 / count[anchor], (anchor, np.arange(len(cells)))), (size, len(cells)))
    means = (average @ log1p[:, pd.Index(held).get_indexer(genes)]).toarray().astype(np.float32)
    out = {}
    for name in names:
        rows = parts.obs.index.get_indexer(parts.parts[name].ids)
        right = parts.parts[name].n_cells
        if (wrong := count[rows] != right).any():
            row = int(wrong.argmax())
            raise InputError(
                f"{all_genes}: holds {count[rows[row]]} cells of anchor '{parts.parts[name].ids[row]}', which was made "
                f"of {right[row]}; delete the file and run again."
            )
        out[name] = means[rows]
    return out


def _cells(parts: Parts, all_genes: str | Path) -> pd.DataFrame:
    """Cells of anchors: `cell`, and `anchor`, a row of `parts.obs`; one that the internal part holds is no other's."""
    obs = read_panel_obs(all_genes)[KEY].rename_axis("cell").reset_index()
    anchors = parts.obs[[*KEY, "part"]].assign(anchor=np.arange(len(parts.obs)))
    inside = anchors.loc[anchors["part"] == "internal", ["dataset", "donor"]].drop_duplicates()
    held = set(obs.merge(inside)["cell"].str.partition(":")[2])
    obs = obs.merge(anchors, on=KEY)
    return obs[(obs["part"] == "internal") | ~obs["cell"].str.partition(":")[2].isin(held)]

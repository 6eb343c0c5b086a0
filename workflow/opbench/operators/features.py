"""Feature maps: what an operator makes of cells, by its encoding."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.operators.operator import Operator


def cell_features(
    operator: Operator, log1p: sp.csr_matrix, cell_ids: Sequence[str], labels: Sequence[str]
) -> np.ndarray:
    """Features of n cells, (n, F) float32: each cell's depend on that cell alone.

    log1p (n, G); cell_ids and labels (n,), the labels as `dataset:label` and read for no encoding but `label`.
    """
    if operator.encoding == "log1p":
        found = log1p @ operator.matrix
    elif operator.encoding == "rank":
        found = rank_weights(log1p) @ operator.matrix
    elif operator.encoding == "label":
        found = _looked_up(operator, cell_ids, labels)
    else:
        raise InputError(f"operator encoding '{operator.encoding}' is unknown; export the operator again.")
    return np.ascontiguousarray(found, dtype=np.float32)


def rank_weights(log1p: sp.csr_matrix) -> sp.csr_matrix:
    """Weights 1 - r / n of the n genes that a cell expresses, r = 0 for the highest; ties by gene order."""
    held = log1p.copy()
    held.eliminate_zeros()
    held.sort_indices()
    per_cell = np.diff(held.indptr)
    cell = np.repeat(np.arange(held.shape[0]), per_cell)
    order = np.lexsort((held.indices, -held.data, cell))
    rank = np.empty(held.nnz)
    rank[order] = np.arange(held.nnz) - held.indptr[cell]
    held.data = (1 - rank / per_cell[cell]).astype(np.float32)
    return held


def _looked_up(operator: Operator, cell_ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    row = {name: index for index, name in enumerate(operator.rows)}
    if unknown := sorted(set(labels) - set(row)):
        raise InputError(f"operator on labels: has no row for {unknown[:3]}; export it for this panel again.")
    meta, width = operator.meta, operator.matrix.shape[1]
    found = operator.matrix[[row[label] for label in labels]].astype(np.float64)
    for index, cell in enumerate(cell_ids):
        noise = keyed_rng(meta["seed"], "label_lookup", meta["draw"], "cell", cell)
        found[index] += noise.normal(0, float(meta["noise_sd"]), width)  # type: ignore[arg-type]
    return found

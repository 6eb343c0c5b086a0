"""An operator file: a (G, K*G) matrix whose feature map is x -> xA, with the record of its making."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from opbench.io.atomic import atomic
from opbench.io.errors import InputError


@dataclass(frozen=True)
class Operator:
    """A linear map on gene space.

    matrix: (G, K*G) float32; K blocks side by side (2 for the drift, 1 for a single head), so that
    `x @ matrix` is the feature map of arXiv:2603.10261 for a cell's log1p vector x of G genes.
    support: (G, G) bool, entries whose genes were tokenised together in at least one cell (decision 2).
    """

    matrix: np.ndarray
    support: np.ndarray
    genes: tuple[str, ...]
    meta: dict[str, object] = field(default_factory=dict)

    @property
    def blocks(self) -> np.ndarray:
        """The K blocks as (K, G, G)."""
        n = len(self.genes)
        return self.matrix.reshape(n, -1, n).transpose(1, 0, 2)


def from_blocks(blocks: list[np.ndarray], support: np.ndarray, genes: tuple[str, ...], **meta: object) -> Operator:
    """Put (G, G) blocks side by side."""
    matrix = np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
    return Operator(matrix, support, genes, dict(meta))


def write_operator(operator: Operator, path: str | Path) -> None:
    """Write as safetensors; genes and provenance travel in the header."""
    meta = {"genes": json.dumps(operator.genes), "meta": json.dumps(operator.meta, sort_keys=True)}
    tensors = {"matrix": operator.matrix, "support": operator.support.astype(np.uint8)}
    with atomic(path) as partial:
        save_file(tensors, str(partial), metadata=meta)


def read_operator(path: str | Path) -> Operator:
    """Read an operator file and check its shapes."""
    try:
        with safe_open(str(path), framework="np") as file:
            matrix, support = file.get_tensor("matrix"), file.get_tensor("support").astype(bool)
            meta = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: is not an operator file ({error}); export it again.") from error
    if "genes" not in meta:
        raise InputError(f"{path}: holds no gene list in its header; export the operator again.")
    genes = tuple(json.loads(meta["genes"]))
    if matrix.shape[0] != len(genes) or matrix.shape[1] % len(genes) or support.shape != (len(genes),) * 2:
        raise InputError(f"{path}: matrix {matrix.shape} does not fit its {len(genes)} genes; export it again.")
    return Operator(matrix, support, genes, json.loads(meta.get("meta", "{}")))

"""An operator file: a (G, K*G) matrix whose feature map is x -> xA, with the record of its making."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.io.store import digest


@dataclass(frozen=True)
class Operator:
    """A linear map on gene space, or on what `encoding` makes of a cell.

    matrix: (G, K*G) float32; K blocks side by side (2 for the drift, 1 for a single head), so that
    `x @ matrix` is the feature map of arXiv:2603.10261 for a cell's log1p vector x of G genes.
    support: (G, G) bool, entries that may differ from 0; of attention operators, those whose genes were
    tokenised together in at least one cell (decision 2).
    meta: `encoding` is `log1p` (x itself, the default), `rank` (x's ranks) or `label`: the matrix is then
    (n, F), its rows are the `labels` in meta, and `noise_sd`, `seed` and `draw` say what is added a cell.
    """

    matrix: np.ndarray
    support: np.ndarray
    genes: tuple[str, ...]
    meta: dict[str, object] = field(default_factory=dict)

    @property
    def encoding(self) -> str:
        """What the matrix is applied to."""
        return str(self.meta.get("encoding", "log1p"))

    @property
    def rows(self) -> tuple[str, ...]:
        """What the rows of the matrix stand for: genes, or labels."""
        labels = self.meta["labels"] if self.encoding == "label" else self.genes
        return tuple(map(str, labels))  # type: ignore[arg-type]

    @property
    def blocks(self) -> np.ndarray:
        """The K blocks as (K, G, G); an operator on labels has none."""
        n = len(self.genes)
        return self.matrix.reshape(n, -1, n).transpose(1, 0, 2)

    @property
    def digest(self) -> str:
        """Digest of the feature map; neither name nor provenance belongs to it."""
        keys = ("labels", "noise_sd", "seed", "draw") if self.encoding == "label" else ()
        return digest(self.matrix, self.genes, self.encoding, *(self.meta[key] for key in keys))


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


def read_operator(path: str | Path, genes: tuple[str, ...] | None = None) -> Operator:
    """Read an operator file and check its shapes; with `genes`, those of the panel that it is for."""
    try:
        with safe_open(str(path), framework="np") as file:
            matrix, support = file.get_tensor("matrix"), file.get_tensor("support").astype(bool)
            meta = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: is not an operator file ({error}); export it again.") from error
    if "genes" not in meta:
        raise InputError(f"{path}: holds no gene list in its header; export the operator again.")
    held = tuple(json.loads(meta["genes"]))
    operator = Operator(matrix, support, held, json.loads(meta.get("meta", "{}")))
    square = operator.encoding == "label" or matrix.shape[1] % len(held) == 0
    if matrix.shape[0] != len(operator.rows) or not square or support.shape != (len(held),) * 2:
        raise InputError(f"{path}: matrix {matrix.shape} does not fit its {len(held)} genes; export it again.")
    if genes is not None and held != genes:
        raise InputError(f"{path}: its genes are not those of the panel; export the operator for this panel again.")
    return operator

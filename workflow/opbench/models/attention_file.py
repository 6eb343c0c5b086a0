"""Attention files: the sums, and the cells that they are over; read without PyTorch."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.models.tokens import TokenTable, tokenise_cells

TENSORS = ("sums", "cotokenised", "tokenised")
#: Parts of the cells' sparse log1p, stored as `log1p_<part>`.
SPARSE = ("data", "indices", "indptr")


@dataclass(frozen=True)
class AttentionSums:
    """Summed attention over G genes and how it was made.

    `sums` (L, H, G, G) float32, or a `StoredSums` of that shape; `cotokenised` (G, G) int32, cells in which both
    genes were tokens; `tokenised` (G,) int64, its diagonal; `log1p` (n, G) what the model was shown of the cells, so
    that other sums can be made over the same ones; `cells` and `genes` in order; `metadata` JSON-able.
    """

    sums: "NDArray[np.float32] | StoredSums"
    cotokenised: NDArray[np.int32]
    tokenised: NDArray[np.int64]
    log1p: csr_matrix
    cells: list[str]
    genes: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)


def corpus_tokens(attention: AttentionSums) -> TokenTable:
    """The tokens that the attention was summed over, once more."""
    made = attention.metadata
    settings = (made["convention"], made["max_length"], made["seed"], made["n_bins"])
    return tokenise_cells(attention.log1p, attention.cells, *settings)


def save_attention(attention: AttentionSums, path: str | Path) -> None:
    """Write as safetensors; genes, cells and metadata go into its JSON header."""
    from safetensors.numpy import save_file

    header = {"genes": attention.genes, "cells": attention.cells, "metadata": attention.metadata}
    tensors = {name: np.ascontiguousarray(getattr(attention, name)) for name in TENSORS}
    tensors |= {f"log1p_{part}": getattr(attention.log1p, part) for part in SPARSE}
    with atomic(path) as partial:
        save_file(tensors, partial, metadata={"opbench": json.dumps(header, sort_keys=True)})


class StoredSums:
    """The sums of an attention file: `sums[layers]` and `sums[layer, head]` read those alone."""

    def __init__(self, path: str | Path, shape: tuple[int, ...]) -> None:
        """Remember the file; it is opened when indexed."""
        self.path, self.shape = path, shape

    def __len__(self) -> int:
        """Layers."""
        return self.shape[0]

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> NDArray[np.float32]:
        """Read the part that `index` names."""
        from safetensors import safe_open

        with safe_open(self.path, framework="numpy") as file:
            return file.get_slice("sums")[index]


def load_attention(path: str | Path, stored: bool = False) -> AttentionSums:
    """Read what `save_attention` wrote; with `stored` the sums stay in the file until they are indexed."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["opbench"])
            tensors = {name: file.get_tensor(name) for name in TENSORS if not (stored and name == "sums")}
            if stored:
                tensors["sums"] = StoredSums(path, tuple(file.get_slice("sums").get_shape()))
            shape = (len(header["cells"]), len(header["genes"]))
            tensors["log1p"] = csr_matrix(tuple(file.get_tensor(f"log1p_{part}") for part in SPARSE), shape=shape)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no attention file ({error}); delete it and run again.") from error
    return AttentionSums(**tensors, **header)

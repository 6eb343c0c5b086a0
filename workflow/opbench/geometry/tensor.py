"""Gene-representation files: what each layer makes of each gene, and how often the gene was seen.

A gene's row is the mean of its token vectors over the cells in which it was tokenised (spectral-geometry 1.1). The
count of those cells is the main nuisance covariate, and a gene with count 0 has a zero row, which is no position.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from opbench.io.atomic import atomic
from opbench.io.errors import InputError

#: Of the header of the file.
VERSION = 1
FACTS = ("mean", "variance", "detection")
ATTENTION = ("attention", "cotokenised")


@dataclass(frozen=True)
class GeneTensor:
    """Representations of G genes and what is needed to read them.

    `tensor` (layers, G, d) float32; `count` (G,) int64, cells in which the gene was a token; `mean`, `variance` of
    log1p(CP10k) and `detection`, the share of cells with any, (G,) float32, over all cells shown. `layers` are the
    layers' numbers: -1 is the sum of the token and value embeddings, 0 the first block. `attention` (L, g, g) float32,
    or None, is post-softmax attention summed over cells and averaged over heads among `attention_genes`, row query by
    column key; `cotokenised` (g, g) int64 counts the cells that it is summed over. `metadata` is JSON-able.
    """

    tensor: NDArray[np.float32]
    count: NDArray[np.int64]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    detection: NDArray[np.float32]
    genes: list[str]
    layers: list[int]
    attention: NDArray[np.float32] | None = None
    cotokenised: NDArray[np.int64] | None = None
    attention_genes: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def place(self) -> dict[str, int]:
        """Row of each symbol."""
        return {gene: row for row, gene in enumerate(self.genes)}

    def covariates(self, rows: NDArray) -> NDArray[np.float64]:
        """Detection, mean log1p, log of the token count and variance of the genes `rows`, (n, 4)."""
        columns = (self.detection, self.mean, np.log1p(self.count), self.variance)
        return np.column_stack([column[rows] for column in columns]).astype(np.float64)


def check_tensor(tensor: GeneTensor, source: str = "gene tensor") -> GeneTensor:
    """Return `tensor`; InputError naming `source` unless shapes, symbols and zero rows agree."""
    n = len(tensor.genes)
    shape = tensor.tensor.shape
    if len(shape) != 3 or shape[:2] != (len(tensor.layers), n):
        raise InputError(
            f"{source}: 'tensor' has shape {shape} but the header names {len(tensor.layers)} layers and {n} genes; "
            "extract it again."
        )
    for name in ("count", *FACTS):
        if getattr(tensor, name).shape != (n,):
            raise InputError(
                f"{source}: '{name}' has shape {getattr(tensor, name).shape}, not ({n},); extract it again."
            )
    if len(tensor.place) != n:
        twice = next(gene for row, gene in enumerate(tensor.genes) if tensor.place[gene] != row)
        raise InputError(f"{source}: the gene '{twice}' is there twice; name every gene once.")
    if not np.isfinite(tensor.tensor).all():
        raise InputError(f"{source}: 'tensor' holds values that are not finite; check the model's weights.")
    for layer, rows in zip(tensor.layers, tensor.tensor, strict=True):
        wrong = np.flatnonzero((np.abs(rows).max(axis=1) == 0) != (tensor.count == 0))
        if len(wrong):
            raise InputError(
                f"{source}: at layer {layer} the row of '{tensor.genes[wrong[0]]}' (count "
                f"{tensor.count[wrong[0]]}) and of {len(wrong) - 1} others does not agree with its count, as if rows "
                "had been read by position; extract it again."
            )
    return tensor


def write_tensor(tensor: GeneTensor, path: str | Path) -> None:
    """Check and write as safetensors; symbols, layers and metadata go into its JSON header."""
    from safetensors.numpy import save_file

    check_tensor(tensor, str(path))
    names = ["tensor", "count", *FACTS, *(name for name in ATTENTION if getattr(tensor, name) is not None)]
    header = {"version": VERSION} | {
        name: getattr(tensor, name) for name in ("genes", "layers", "attention_genes", "metadata")
    }
    with atomic(path) as partial:
        arrays = {name: np.ascontiguousarray(getattr(tensor, name)) for name in names}
        save_file(arrays, partial, metadata={"opbench": json.dumps(header, sort_keys=True)})


def read_tensor(path: str | Path) -> GeneTensor:
    """Read and check what `write_tensor` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["opbench"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        version = header.pop("version")
        tensor = GeneTensor(**arrays, **header)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no gene-representation file ({error}); delete it and run again.") from error
    if version != VERSION:
        raise InputError(f"{path}: has version {version!r}, not {VERSION}; delete it and run again.")
    return check_tensor(tensor, str(path))


def expression_facts(log1p: csr_matrix) -> dict[str, NDArray[np.float32]]:
    """Mean and variance of log1p and share of cells with any, of each gene of `log1p` (cells, G), (G,) float32."""
    n = log1p.shape[0]
    total = np.asarray(log1p.sum(axis=0, dtype=np.float64)).ravel()
    square = np.asarray(log1p.multiply(log1p).sum(axis=0, dtype=np.float64)).ravel()
    mean = total / n
    facts = (mean, np.maximum(square / n - mean**2, 0), log1p.getnnz(axis=0) / n)
    return {name: values.astype(np.float32) for name, values in zip(FACTS, facts, strict=True)}


def coexpression_svd(log1p: csr_matrix, genes: Sequence[str], count: NDArray[np.int64], width: int) -> GeneTensor:
    """The same cells without a model: U S of the standardised genes × cells matrix, one layer of at most `width` axes.

    Rows are genes, each with mean 0 and length 1 over the cells of `log1p` (cells, G), so that inner products are
    Pearson correlations up to the truncation. Genes that are constant, or have `count` 0 in the model's tensor, get
    zero rows and count 0.
    """
    values = log1p.toarray().astype(np.float64).T
    values -= values.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(values, axis=1)
    seen = (count > 0) & (norm > 0)
    values = np.where(seen, 1 / np.where(norm > 0, norm, 1), 0)[:, None] * values
    u, s, _ = np.linalg.svd(values[seen], full_matrices=False)
    width = min(width, len(s))
    tensor = np.zeros((1, len(genes), width), dtype=np.float32)
    tensor[0, seen] = u[:, :width] * s[:width]
    facts = expression_facts(log1p)
    metadata = {"kind": "coexpression_svd", "cells": log1p.shape[0]}
    return check_tensor(
        GeneTensor(tensor, np.where(seen, count, 0), genes=list(genes), layers=[0], metadata=metadata, **facts),
        "co-expression SVD",
    )


def take_genes(tensor: GeneTensor, genes: Sequence[str]) -> GeneTensor:
    """The tensor over `genes` in their order, found by symbol; an unknown one is an InputError."""
    if missing := [gene for gene in genes if gene not in tensor.place]:
        raise InputError(f"gene tensor: has no gene '{missing[0]}' ({len(missing)} are missing); leave them out.")
    rows = np.array([tensor.place[gene] for gene in genes], dtype=np.int64)
    parts = {name: getattr(tensor, name)[rows] for name in ("count", *FACTS)}
    return replace(tensor, tensor=tensor.tensor[:, rows], genes=list(genes), **parts)


def coexpression(log1p: csr_matrix) -> NDArray[np.float32]:
    """Pearson correlation of the genes of `log1p` (cells, n), (n, n) float32; 0 for a gene that never varies."""
    values = log1p.toarray().astype(np.float64)
    values -= values.mean(axis=0)
    norm = np.linalg.norm(values, axis=0)
    values = (values / np.where(norm > 0, norm, 1)).astype(np.float32)
    return values.T @ values

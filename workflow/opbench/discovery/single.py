"""The single-head form of an operator: one head's attention, and of a random arm what it makes of that head."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import HEADS, read_table
from opbench.models.attention_file import AttentionSums
from opbench.operators import controls
from opbench.operators.drift import parse_head
from opbench.operators.operator import Operator


class NoSingleError(Exception):
    """An operator of several blocks that has no single-head form here; the text is the reason."""


def chosen_head(file: str) -> str:
    """Name of the real operator's head that the scan chose (`HEADS`); NoSingleError when it chose none."""
    heads: pd.DataFrame = read_table(file, HEADS)
    names = heads.loc[heads["chosen"] & (heads["arm"] == "real"), "head"].unique()
    if len(names) > 1:
        raise InputError(f"{file}: marks {len(names)} heads of the real operator as 'chosen'; run the scan again.")
    if not len(names):
        reasons = [reason for reason in heads["reason"].unique() if reason]
        raise NoSingleError(f"the scan chose no head{': ' + reasons[0] if reasons else ''}")
    return str(names[0])


def _gaussian(head: np.ndarray, attention: AttentionSums, seed: int, draw: int) -> np.ndarray:
    support = attention.cotokenised > 0
    out = np.zeros(head.shape)
    mean, sd = head[support].mean(dtype=np.float64), head[support].std(dtype=np.float64)
    out[support] = keyed_rng(seed, "gaussian_head", draw).normal(mean, sd, int(support.sum()))
    return out


def _order(attention: AttentionSums, seed: int, arm: str, draw: int) -> np.ndarray:
    """The order of genes that the arm's drift has at this draw."""
    return controls.gene_order(attention.tokenised > 0, seed, arm, draw)


def _row_stochastic(head: np.ndarray, attention: AttentionSums, seed: int, draw: int) -> np.ndarray:
    total = head.sum(1, keepdims=True, dtype=np.float64)
    return head / np.where(total > 0, total, 1)


Build = Callable[[np.ndarray, AttentionSums, int, int], np.ndarray]
#: Arm -> what it makes of a head (G, G), from the attention, the operators' seed and the draw.
BUILDS: dict[str, Build] = {
    "real": lambda head, attention, seed, draw: head,
    "gaussian_halves": _gaussian,
    "gaussian_blocks": _gaussian,
    "shuffle": lambda head, attention, seed, draw: controls.shuffle([head], attention.cotokenised > 0, seed, draw)[0],
    "row_permuted": lambda head, attention, seed, draw: head[_order(attention, seed, "row_permuted", draw)],
    "spectrum": lambda head, attention, seed, draw: controls.permute_genes(
        [head], _order(attention, seed, "spectrum", draw)
    )[0],
    "dense": lambda head, attention, seed, draw: controls.dense(1, len(head), seed, draw)[0],
    "counts": lambda head, attention, seed, draw: head / np.maximum(attention.cotokenised, 1),
    "row_stochastic": _row_stochastic,
}


def single_matrix(operator: Operator, head: str | None, attention: AttentionSums, seed: int) -> np.ndarray:
    """The (G, G) float32 matrix that stands for an operator at the step `top1`.

    Of the real operator: the attention sums of `head`. Of a random arm: the same construction on that head, with the
    mean and sd of its support for a Gaussian. Of an operator that is one matrix: itself. NoSingleError for operators
    of several blocks without such a construction (`random_model`, whose attention is not at hand).
    """
    if operator.matrix.shape[1] == len(operator.genes):
        return operator.matrix
    arm, draw = str(operator.meta["arm"]), int(operator.meta.get("draw", -1))  # type: ignore[call-overload]
    if arm not in BUILDS:
        raise NoSingleError(f"arm '{arm}' has no single-head form")
    if head is None:
        raise NoSingleError("the scan chose no head")
    layer, index = parse_head(head)
    if layer >= attention.sums.shape[0] or index >= attention.sums.shape[1]:
        raise InputError(f"head '{head}' is outside the attention's {attention.sums.shape[:2]}; run the scan again.")
    made = BUILDS[arm](np.asarray(attention.sums[layer, index]), attention, seed, draw)
    return np.ascontiguousarray(made, dtype=np.float32)

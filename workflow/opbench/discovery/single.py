"""The single-head form of an operator: the head that the scan ranks first among the arm's own heads.

The real operator's is the best of all heads, so that a random arm of the scan has the best of as many random ones.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from opbench.config.discovery import Scan
from opbench.discovery.random_heads import random_head
from opbench.discovery.scan_table import BEST
from opbench.io.errors import InputError
from opbench.io.tables import HEADS, read_table
from opbench.models.attention_file import AttentionSums
from opbench.operators import controls
from opbench.operators.drift import parse_head
from opbench.operators.operator import Operator

#: Random arms of the scan, by the operators' names of the same arms.
SCANNED = {
    "gaussian_halves": "gaussian",
    "gaussian_blocks": "gaussian",
    "shuffle": "shuffle",
    "row_permuted": "row_permuted",
}


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


def best_random_head(file: str, arm: str, draw: int, scan: Scan) -> str:
    """Name of the head whose random version has the largest key of its arm and draw on the part that selects.

    arm: an operators' arm of `SCANNED`; scan: key and part. NoSingleError when the scan has no such row or value.
    """
    heads: pd.DataFrame = read_table(file, HEADS)
    mine = heads[(heads["arm"] == SCANNED[arm]) & (heads["draw"] == draw) & (heads["head"] != BEST)]
    if mine.empty:
        raise NoSingleError(
            f"the scan has no draw {draw} of {SCANNED[arm]} heads; raise discovery.scan.draws to have its best head"
        )
    keys = mine[mine["part"] == scan.select_on].set_index("head")[scan.key].dropna()
    if keys.empty:
        raise NoSingleError(f"no {SCANNED[arm]} head of draw {draw} has a {scan.key} on the {scan.select_on} part")
    return str(keys.sort_index().idxmax())


def _order(attention: AttentionSums, seed: int, arm: str, draw: int) -> np.ndarray:
    """The order of genes that the arm's drift has at this draw."""
    return controls.gene_order(attention.tokenised > 0, seed, arm, draw)


def _row_stochastic(head: np.ndarray, attention: AttentionSums, seed: int, draw: int) -> np.ndarray:
    total = head.sum(1, keepdims=True, dtype=np.float64)
    return head / np.where(total > 0, total, 1)


Build = Callable[[np.ndarray, AttentionSums, int, int], np.ndarray]
#: Arm beside those of the scan -> what it makes of a head (G, G), from the attention, the operators' seed and the draw.
BUILDS: dict[str, Build] = {
    "real": lambda head, attention, seed, draw: head,
    "spectrum": lambda head, attention, seed, draw: controls.permute_genes(
        [head], _order(attention, seed, "spectrum", draw)
    )[0],
    "dense": lambda head, attention, seed, draw: controls.dense(1, len(head), seed, draw)[0],
    "counts": lambda head, attention, seed, draw: head / np.maximum(attention.cotokenised, 1),
    "row_stochastic": _row_stochastic,
}


def is_single(operator: Operator) -> bool:
    """Whether an operator is one matrix, its own single-head form."""
    return operator.matrix.shape[1] == len(operator.genes)


def head_of(operator: Operator, file: str, scan: Scan) -> str:
    """Name of the head that stands for an operator, by the scan's table `HEADS`; '' for an operator of one matrix.

    NoSingleError where the scan chose none, and for arms without a single-head form (`random_model`, whose attention
    is not at hand).
    """
    arm, draw = _identity(operator)
    if is_single(operator):
        return ""
    if arm in SCANNED:
        return best_random_head(file, arm, draw, scan)
    if arm not in BUILDS:
        raise NoSingleError(f"arm '{arm}' has no single-head form")
    return chosen_head(file)


def _identity(operator: Operator) -> tuple[str, int]:
    return str(operator.meta["arm"]), int(operator.meta.get("draw", -1))  # type: ignore[call-overload]


def single_matrix(operator: Operator, head: str, attention: AttentionSums, seed: int) -> np.ndarray:
    """The (G, G) float32 matrix that stands for an operator at the step `top1`; head: that of `head_of`.

    Of the real operator: the attention sums of the head. Of a random arm of the scan: the scan's own matrix of this
    draw in that head's place. Of another arm: its construction on the head. Of an operator of one matrix: itself.
    """
    if is_single(operator):
        return operator.matrix
    arm, draw = _identity(operator)
    layer, index = parse_head(head)
    if layer >= attention.sums.shape[0] or index >= attention.sums.shape[1]:
        raise InputError(f"head '{head}' is outside the attention's {attention.sums.shape[:2]}; run the scan again.")
    if arm in SCANNED:
        made = random_head(SCANNED[arm], layer, index, attention, seed, draw)
    else:
        made = BUILDS[arm](np.asarray(attention.sums[layer, index]), attention, seed, draw)
    return np.ascontiguousarray(made, dtype=np.float32)

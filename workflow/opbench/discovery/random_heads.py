"""Random matrices in the place of one attention head, as the scan scores them and the compaction chain uses them."""

import numpy as np

from opbench.io.seeds import derive_seed, keyed_rng
from opbench.models.attention_file import AttentionSums
from opbench.operators import controls

#: Arms with a matrix in the place of each head.
RANDOM = ("gaussian", "shuffle", "row_permuted")


def random_matrix(arm: str, matrix: np.ndarray, attention: AttentionSums, seed: int, draw: int) -> np.ndarray:
    """A draw of a random arm in the place of one head's sums (G, G), on the same support; `seed` is the head's own.

    gaussian: N(mean, sd of the head's entries); shuffle: its values in other places; row_permuted: genes renamed on
    the reading side.
    """
    support = attention.cotokenised > 0
    if arm == "shuffle":
        return controls.shuffle([matrix], support, seed, draw)[0]
    if arm == "row_permuted":
        order = controls.gene_order(attention.tokenised > 0, seed, arm, draw)
        return controls.permute_rows([matrix], order)[0]
    values, held = np.zeros(matrix.shape, np.float32), matrix[support].astype(np.float64)
    rng = keyed_rng(seed, "gaussian_head", draw)
    values[support] = rng.normal(held.mean(), held.std(), len(held))
    return values


def random_head(arm: str, layer: int, head: int, attention: AttentionSums, seed: int, draw: int) -> np.ndarray:
    """The same for a head of the attention file, (G, G); `seed` is the operators'."""
    own = derive_seed(seed, "scan", layer, head)
    return random_matrix(arm, np.asarray(attention.sums[layer, head]), attention, own, draw)

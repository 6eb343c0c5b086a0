"""Operators from the corpus cells of the attention alone: who occurs with whom, without a model."""

import numpy as np
from scipy.sparse import csr_matrix, diags

from opbench.models.attention_file import AttentionSums, corpus_tokens


def uniform(attention: AttentionSums) -> np.ndarray:
    """Attention spread evenly over a cell's n_c tokens: sum over cells of 1[i, j in c] / n_c (spec B.2), (G, G).

    Rows sum to the tokenised count, as the model's do; `<cls>`, where the convention has one, takes its share.
    """
    table = corpus_tokens(attention)
    cell = np.repeat(np.arange(len(table.lengths)), table.lengths)
    genes = table.columns >= 0
    shape = (len(table.lengths), len(attention.genes))
    tokens = csr_matrix((np.ones(int(genes.sum())), (cell[genes], table.columns[genes])), shape=shape)
    return (tokens.T @ diags(1 / np.maximum(table.lengths, 1)) @ tokens).toarray()


def coexpression(attention: AttentionSums) -> np.ndarray:
    """Pearson correlation of log1p over the attention's own cells, (G, G); 0 for genes that were never tokenised."""
    values = attention.log1p.toarray().astype(np.float64)
    values -= values.mean(0)
    values[:, attention.tokenised == 0] = 0
    norm = np.sqrt((values**2).sum(0))
    values /= np.where(norm > 0, norm, 1)
    return values.T @ values


def ppmi(cotokenised: np.ndarray, n_cells: int) -> np.ndarray:
    """Positive pointwise mutual information max(0, ln(n_ij N / (n_i n_j))) of two genes being tokens, (G, G)."""
    together = cotokenised.astype(np.float64)
    own = np.diagonal(together)
    expected = np.outer(own, own) / n_cells
    ratio = np.divide(together, expected, out=np.ones_like(together), where=together > 0)
    return np.maximum(np.log(ratio), 0)

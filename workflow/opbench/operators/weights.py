"""Operators read from the model's weights by way of its gene-token embedding E (spec B.3, K11-K13).

x EEᵀ and the others are re-parametrisations of x of at most the model's width in rank.
"""

from pathlib import Path

import numpy as np

from opbench.models.attention_file import AttentionSums
from opbench.models.checkpoint import read_checkpoint
from opbench.models.coverage import gene_ids
from opbench.models.transformer import ScGPT, load_model


class GeneCircuits:
    """The embedding E (G, d) of a panel's genes, as the model uses it, and the matrices that act on it.

    Genes that were never tokenised have a zero row, as in the attention operators.
    """

    def __init__(self, model: ScGPT, ids: np.ndarray, tokenised: np.ndarray) -> None:
        import torch

        self.model = model
        with torch.no_grad():
            # With its LayerNorm: what the first layer adds the value to.
            embedding = model.encoder(torch.as_tensor(ids, device=model.device)).cpu().numpy()
        self.embedding = np.where(tokenised[:, None], embedding.astype(np.float64), 0)

    @classmethod
    def read(cls, checkpoint_dir: str | Path, attention: AttentionSums) -> "GeneCircuits":
        """Those of a checkpoint for the genes of an attention file."""
        checkpoint = read_checkpoint(checkpoint_dir)
        ids, _ = gene_ids(attention.genes, checkpoint.vocab, str(checkpoint_dir))
        return cls(load_model(checkpoint), ids, attention.tokenised > 0)

    def operator(self, kind: str, order: np.ndarray | None = None) -> np.ndarray:
        """E M Eᵀ (G, G) of kind `gram`, `qk` or `ov`; with `order` (G,), E's rows are permuted first."""
        embedding = self.embedding if order is None else self.embedding[order]
        middle = {"gram": self._gram, "qk": self._qk, "ov": self._ov}[kind]()
        return embedding @ middle @ embedding.T

    def _gram(self) -> np.ndarray:
        return np.eye(self.embedding.shape[1])

    def _qk(self) -> np.ndarray:
        """Mean over layers and heads of W_Q W_Kᵀ / sqrt(d_head), (d, d); biases are left out.

        The heads' products add up to that of the whole matrices, so that only their number is needed.
        """
        width, heads = self.embedding.shape[1], self.model.heads
        total = np.zeros((width, width))
        for query, key, _ in map(self._parts, range(self.model.layers)):
            total += query.T @ key
        return total / (self.model.layers * heads * np.sqrt(width / heads))

    def _ov(self) -> np.ndarray:
        """Mean over layers and heads of W_V W_O, (d, d): what a token read there adds to the one that reads it."""
        width = self.embedding.shape[1]
        total = np.zeros((width, width))
        for layer in range(self.model.layers):
            out = self.model.transformer_encoder.layers[layer].self_attn.out_proj.weight
            total += self._parts(layer)[2].T @ out.detach().cpu().numpy().astype(np.float64).T
        return total / (self.model.layers * self.model.heads)

    def _parts(self, layer: int) -> np.ndarray:
        """W_Q, W_K and W_V of a layer as PyTorch holds them, (3, d, d): outputs by inputs."""
        held = self.model.transformer_encoder.layers[layer].self_attn.in_proj_weight
        width = self.embedding.shape[1]
        return held.detach().cpu().numpy().astype(np.float64).reshape(3, width, width)

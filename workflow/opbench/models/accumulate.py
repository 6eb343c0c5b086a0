"""Sums attention while the encoder runs, cell by cell and head by head, so that a map is used while it is in cache."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from opbench.models.tokens import Packed
from opbench.models.transformer import ScGPT

#: Attention weights held at once, unless one head of one cell has more: 6 MB fit a processor's last cache.
CPU_WEIGHTS = 1_500_000
#: A GPU wants few, large kernels: 64 MB.
GPU_WEIGHTS = 16_000_000
#: Share of the free GPU memory that the sums may take; otherwise they stay in the machine's.
GPU_SHARE = 0.5


@dataclass(frozen=True)
class _Cell:
    """One cell's tokens within a batch, its first gene's position, and where its (n, n) maps go (None: all genes)."""

    tokens: slice
    first_gene: int
    target: Tensor | None


class AttentionAccumulator:
    """Adds each cell's post-softmax attention to `sums` (L, H, G * G), row query by column key, as the encoder runs.

    Cells come packed, in ascending gene column. `<cls>` takes part in the attention and is dropped from the sums.
    """

    def __init__(self, model: ScGPT, n_genes: int, longest: int) -> None:
        """Make empty sums over `n_genes` genes for cells of at most `longest` tokens."""
        self.model, self.n_genes = model, n_genes
        device = model.device
        held = max(GPU_WEIGHTS if device.type == "cuda" else CPU_WEIGHTS, longest**2)
        self._weights = torch.empty(min(held, model.heads * longest**2), device=device)
        shape = (model.layers, model.heads, n_genes**2)
        self.sums = torch.zeros(shape, device=device if _fits(shape, device) else "cpu")
        self._cells: list[_Cell] = []

    @torch.no_grad()
    def add(self, batch: Packed) -> None:
        """Run the encoder on a batch and add its attention."""
        self._cells = [self._place(span, batch.columns[span]) for span in batch.spans]
        device = self.model.device
        gene_ids, values = (torch.as_tensor(a, device=device)[None] for a in (batch.gene_ids, batch.values))
        self.model.encode(gene_ids, values, mixer=self._mix)

    def _place(self, tokens: slice, columns: np.ndarray) -> _Cell:
        first = int(columns[0] < 0)
        genes = columns[first:].astype(np.int64)
        if len(genes) == self.n_genes:
            return _Cell(tokens, first, None)
        target = torch.as_tensor(genes, device=self.sums.device)
        return _Cell(tokens, first, (target[:, None] * self.n_genes + target).flatten())

    def _mix(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, heads, length, width = q.shape
        q = q * width**-0.5
        mixed = q.new_empty(1, length, heads, width).transpose(1, 2)
        for cell in self._cells:
            n = cell.tokens.stop - cell.tokens.start
            step = max(1, len(self._weights) // n**2)
            for start in range(0, heads, step):
                part = slice(start, min(start + step, heads))
                weights = self._weights[: (part.stop - start) * n**2].view(-1, n, n)
                torch.bmm(q[0, part, cell.tokens], k[0, part, cell.tokens].transpose(1, 2), out=weights)
                torch.softmax(weights, dim=-1, out=weights)
                self._add(self.sums[layer, part], weights, cell)
                torch.bmm(weights, v[0, part, cell.tokens], out=mixed[0, part, cell.tokens])
        return mixed

    def _add(self, sums: Tensor, weights: Tensor, cell: _Cell) -> None:
        """Add the genes' weights, (h, n, n), to the `sums` (h, G * G) of the same heads."""
        weights = weights[:, cell.first_gene :, cell.first_gene :].to(sums.device)
        if cell.target is None:
            sums.view(-1, self.n_genes, self.n_genes).add_(weights)
        else:
            flat = weights.reshape(len(weights), -1)
            # An index that is expanded over the heads is read once, and its entries are all different.
            sums.scatter_add_(1, cell.target.expand(len(flat), -1), flat)


def _fits(shape: tuple[int, ...], device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return 4 * np.prod(shape, dtype=np.int64) <= GPU_SHARE * free

"""Gaussian random projection of log1p expression to the width of scGPT's cell embedding: no learning at all."""

import numpy as np

from opbench.io.seeds import keyed_rng
from opbench.methods.interface import Method, Output, Plan, Task, Variant

WIDTH = 512
DRAWS = 3


class Rp512(Method):
    """What as many random directions as the model has know already."""

    label = "random projection-512"
    citation = "spec K14"
    protocol = "inductive"
    core = False
    memory_mb = 2000

    def variants(self, plan: Plan) -> list[Variant]:
        """A few draws, averaged before methods are compared."""
        return [Variant(draw=draw, width=WIDTH) for draw in range(DRAWS)]

    def run(self, task: Task, variant: Variant) -> Output:
        """One N(0, 1/d) matrix for both sides; it depends on the draw, not on the split. At most G directions."""
        n_genes = task.train.log1p.shape[1]
        width = min(variant.width, n_genes)
        rng = keyed_rng(variant.seed, "random-projection-512", variant.draw)
        matrix = rng.normal(0, width**-0.5, (n_genes, width)).astype(np.float32)
        reason = f"{width} directions: the panel has no more genes" if width < variant.width else ""
        return Output(projection=matrix, fits=0, reason=reason)

"""Gaussian random projection of log1p expression to the width of scGPT's cell embedding: no learning at all."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.projections import random_directions

WIDTH = 512
DRAWS = 3


class Rp512(Method):
    """What as many random directions as scGPT has know already."""

    label = "random projection-512"
    citation = "spec K14"
    protocol = "inductive"
    core = False
    memory_mb = 2000

    def variants(self, plan: Plan) -> list[Variant]:
        """A few draws, averaged before methods are compared."""
        return [Variant(draw=draw, width=WIDTH) for draw in range(DRAWS)]

    def run(self, task: Task, variant: Variant) -> Output:
        """At most G directions."""
        n_genes = task.train.log1p.shape[1]
        matrix = random_directions("random-projection-512", variant.seed, variant.draw, n_genes, WIDTH)
        reason = f"{n_genes} directions: the panel has no more genes" if n_genes < WIDTH else ""
        return Output(projection=matrix, fits=0, reason=reason)

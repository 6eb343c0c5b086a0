"""Gaussian random projection of log1p expression to the head's width: no learning at all."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.projections import random_directions

DRAWS = 3


class RandomProjection(Method):
    """What ten random directions of raw expression already know."""

    label = "random projection-10"
    citation = "spec K14"
    protocol = "inductive"
    settings = ("adaptor",)
    core = True
    memory_mb = 2000

    def variants(self, plan: Plan) -> list[Variant]:
        """A few draws, averaged before methods are compared."""
        return [Variant(draw=draw, width=plan.adaptor.width) for draw in range(DRAWS)]

    def run(self, task: Task, variant: Variant) -> Output:
        """Project both sides on the same N(0, 1/d) matrix; it depends on the draw, not on the split."""
        n_genes = task.train.log1p.shape[1]
        matrix = random_directions("random-projection", variant.seed, variant.draw, n_genes, variant.width)
        return Output(representation=(task.train.log1p @ matrix, task.test.log1p @ matrix), fits=0)

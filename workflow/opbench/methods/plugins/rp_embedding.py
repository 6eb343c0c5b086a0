"""Gaussian random projection of log1p expression to the width of this model's cell embedding: no learning at all."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.projections import random_directions

DRAWS = 3


class RpEmbedding(Method):
    """The embedding's own control: as many random directions of raw expression as it has dimensions (spec K14)."""

    label = "random projection, embedding width"
    citation = "spec K14"
    protocol = "inductive"
    operator_kinds = ("embedding",)
    core = False
    memory_mb = 2000

    def variants(self, plan: Plan) -> list[Variant]:
        """A few draws, averaged before methods are compared; of the embedding nothing but its width is read."""
        return [Variant(operator="embedding-mean", draw=draw) for draw in range(DRAWS)]

    def run(self, task: Task, variant: Variant) -> Output:
        """At most G directions."""
        genes, width = task.train.log1p.shape[1], task.train.features(variant.operator).shape[1]
        matrix = random_directions("random-projection-embedding", variant.seed, variant.draw, genes, width)
        return Output(projection=matrix, fits=0)

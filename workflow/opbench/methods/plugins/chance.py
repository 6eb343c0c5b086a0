"""The floor: random scores, seeded by draw and split."""

from opbench.io.seeds import keyed_rng
from opbench.methods.interface import Method, Output, Plan, Task, Variant

DRAWS = 5


class Chance(Method):
    """Random class scores and a random pseudotime."""

    label = "chance"
    citation = "control"
    protocol = "chance"
    core = True

    def variants(self, plan: Plan) -> list[Variant]:
        """A few draws, averaged before methods are compared."""
        return [Variant(draw=draw) for draw in range(DRAWS)]

    def run(self, task: Task, variant: Variant) -> Output:
        """Independent normal scores for every cell and class."""
        rng = keyed_rng(task.seed, "chance", variant.draw)
        n, classes = len(task.test.ids), task.classes
        scores = {
            "stage": rng.normal(size=(n, len(classes.labels))),
            "branch": rng.normal(size=(n, len(classes.branches))),
            **{name: rng.normal(size=n) for name in classes.binary},
        }
        return Output(scores=scores, pseudotime=rng.normal(size=n), depth=rng.normal(size=n), fits=0)

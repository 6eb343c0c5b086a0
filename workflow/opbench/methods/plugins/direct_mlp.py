"""A small MLP on raw expression: can the endpoints be learnt without any model? (arXiv:2603.10261, its table S22.)"""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.mlp import mlp_output

#: Hidden widths by the arm's name.
ARMS = {"64": (64,), "128-64": (128, 64)}


class DirectMlp(Method):
    """The paper's direct-learnability control."""

    label = "MLP on raw log1p"
    citation = "control of arXiv:2603.10261"
    protocol = "inductive"
    settings = ("adaptor",)
    needs_labels = True
    memory_mb = 3000
    gpu = 1

    def variants(self, plan: Plan) -> list[Variant]:
        """One hidden layer or two; to a plateau on whole training donors, as heads with that budget."""
        return [Variant(arm=arm, budget="plateau", seed=plan.adaptor.seed) for arm in ARMS]

    def run(self, task: Task, variant: Variant) -> Output:
        """Class scores of MLPs on the panel's genes."""
        train, test = task.train.log1p.toarray(), task.test.log1p.toarray()
        return mlp_output(train, test, task, variant, ARMS[variant.arm], task.plan.device)

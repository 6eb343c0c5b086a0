"""Operators at full width: no head, linear probes on xA itself (spec K4)."""

import numpy as np

from opbench.methods.heads import control_variants
from opbench.methods.interface import Method, Output, Plan, Task, Variant


class OperatorProbe(Method):
    """What an operator leaves of x, and at which conditioning, when no bottleneck chooses."""

    label = "operator at full width"
    citation = "spec K4, K10"
    protocol = "inductive"
    core = False
    by_name = True
    operator_kinds = (
        "drift", "gaussian",
        "shuffle", "spectrum", "row_permuted", "dense", "random_model", "gram_permuted", "qk_permuted", "ov_permuted",
        "pooled", "counts", "row_stochastic", "uniform", "coexpression", "ppmi", "qk", "ov", "gram", "identity",
        "token_bag",
    )  # fmt: skip
    needs_operators = True
    memory_mb = 3000

    def skip(self, plan: Plan) -> str | None:
        """Without controls there is nothing to hold the real operator against."""
        return None if control_variants(plan) else "operators.controls names no arm that this method runs"

    def variants(self, plan: Plan) -> list[Variant]:
        """The real operator, the Gaussian draws and every control that reads no labels; width 0 stands for full."""
        real = Variant("drift", "real", width=0)
        arm = f"gaussian_{plan.gaussian_arm}"
        gaussian = [Variant(f"gaussian-{draw}", arm, draw, 0) for draw in range(plan.gaussian_draws)]
        return [real, *gaussian, *(Variant(v.operator, v.arm, v.draw, 0) for v in control_variants(plan))]

    def run(self, task: Task, variant: Variant) -> Output:
        """The operator as a projection of log1p, which all splits are probed through together, where it is one.

        Columns of genes that it never writes to are 0 in every cell and say nothing to any readout.
        """
        matrix = task.projection(variant.operator)
        if matrix is not None:
            return Output(projection=np.ascontiguousarray(matrix[:, matrix.any(0)]), correlated=True, fits=0)
        train, test = (cells.features(variant.operator) for cells in (task.train, task.test))
        return Output(representation=(train, test), fits=0)

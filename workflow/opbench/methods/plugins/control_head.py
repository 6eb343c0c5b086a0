"""The same head on every control operator of the configuration (docs/evidence.md)."""

from opbench.methods.heads import control_variants, head_variants
from opbench.methods.interface import Plan, Variant
from opbench.methods.plugins.extracted_head import ExtractedHead


class ControlHead(ExtractedHead):
    """If a control does as well, what it lacks was not needed."""

    label = "control-operator head"
    citation = "spec K, decisions 17 and 18"
    protocol = "inductive"
    settings = ("adaptor",)
    core = False
    by_name = True
    needs_labels = True
    operator_kinds = (
        "shuffle", "spectrum", "row_permuted", "dense", "random_model", "gram_permuted", "qk_permuted", "ov_permuted",
        "pooled", "counts", "row_stochastic", "uniform", "coexpression", "ppmi", "qk", "ov", "gram", "identity",
        "token_bag",
    )  # fmt: skip
    memory_mb = 3000

    def skip(self, plan: Plan) -> str | None:
        """There must be a control to run."""
        return None if control_variants(plan) else "operators.controls names no arm that this method runs"

    def variants(self, plan: Plan) -> list[Variant]:
        """Every operator at each budget; those without draws with each adaptor seed."""
        found = control_variants(plan)
        return [v for control in found for v in head_variants(plan, control.operator, control.arm, control.draw)]

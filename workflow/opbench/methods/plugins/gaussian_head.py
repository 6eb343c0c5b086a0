"""The matched control: the same head on Gaussian operators with the real operator's support."""

from opbench.methods.heads import head_variants
from opbench.methods.interface import Plan, Variant
from opbench.methods.plugins.extracted_head import ExtractedHead


class GaussianHead(ExtractedHead):
    """If this does as well, the model's attention deserves no credit."""

    label = "Gaussian-operator head"
    citation = "spec K2, decision 17"
    protocol = "inductive"
    settings = ("adaptor",)
    core = True
    needs_labels = True
    operator_kinds = ("gaussian",)
    memory_mb = 3000

    def skip(self, plan: Plan) -> str | None:
        """There must be a draw to run."""
        return None if plan.gaussian_draws else "operators.gaussian_draws is 0"

    def variants(self, plan: Plan) -> list[Variant]:
        """Every draw at each budget."""
        draws = range(plan.gaussian_draws)
        arm = f"gaussian_{plan.gaussian_arm}"
        return [v for draw in draws for v in head_variants(plan, f"gaussian-{draw}", arm, draw)]

"""scVI (Lopez et al. 2018, Nat Methods 15:1053) at the extracted head's width, fitted on training donors."""

from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.scvi_fit import scvi_output


class ScVI10(Method):
    """The usual deep generative representation, from counts. Its encoder is not given the donor.

    So it maps donors it has never seen, one cell at a time; only the decoder is given the training donors.
    """

    label = "scVI-10D"
    citation = "Lopez et al. 2018, Nat Methods 15:1053"
    protocol = "inductive"
    settings = ("adaptor", "baselines.scvi")
    memory_mb = 2000
    gpu = 1
    environment = "scvi"

    def variants(self, plan: Plan) -> list[Variant]:
        """One arm, named after its encoder."""
        return [Variant(arm="no-batch", width=plan.baselines.scvi.width)]

    def run(self, task: Task, variant: Variant) -> Output:
        """Latent means of both sides."""
        return scvi_output(task, variant, surgery=False)

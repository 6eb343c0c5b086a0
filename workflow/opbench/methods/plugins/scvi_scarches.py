"""scVI whose encoder is given the donor, with test donors mapped by scArches surgery on their unlabelled cells."""

from opbench.io.errors import NotApplicable
from opbench.methods.interface import Method, Output, Plan, Task, Variant
from opbench.methods.scvi_fit import scvi_output


class ScVIScArches(Method):
    """What knowing a test donor's cells is worth to scVI. Not inductive: offsets are fitted on the cells tested."""

    label = "scVI-10D scArches"
    citation = "Lotfollahi et al. 2022, Nat Biotechnol 40:121"
    protocol = "transductive"
    settings = ("adaptor", "baselines.scvi")
    memory_mb = 2000
    gpu = 1
    environment = "scvi"

    def variants(self, plan: Plan) -> list[Variant]:
        """One arm."""
        return [Variant(arm="scarches", width=plan.baselines.scvi.width)]

    def run(self, task: Task, variant: Variant) -> Output:
        """Latent means of both sides; NotApplicable past the splits that the configuration asks for."""
        first = task.plan.baselines.scvi.scarches_splits
        if task.split >= first:
            raise NotApplicable(f"run on the first {first} splits of a campaign (baselines.scvi.scarches_splits)")
        return scvi_output(task, variant, surgery=True)

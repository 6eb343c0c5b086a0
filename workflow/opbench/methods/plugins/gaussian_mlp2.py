"""The matched control of the extracted head with MLP2 readout: the same on Gaussian operators."""

from opbench.methods.interface import Output, Task, Variant
from opbench.methods.mlp import read_latent
from opbench.methods.plugins.extracted_mlp2 import HIDDEN
from opbench.methods.plugins.gaussian_head import GaussianHead


class GaussianMlp2(GaussianHead):
    """If this does as well, neither the attention nor the readout's bend is the reason."""

    label = "Gaussian-operator head + MLP2"
    citation = "spec K2, decision 17"
    protocol = "inductive"
    settings = ("adaptor",)
    core = False
    needs_labels = True
    operator_kinds = ("gaussian",)
    memory_mb = 3000

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit the head as ever, then MLPs width-64-C on its latent."""
        return read_latent(super().run(task, variant), task, variant, HIDDEN)

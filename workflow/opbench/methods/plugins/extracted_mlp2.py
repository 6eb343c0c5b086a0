"""The extracted head's latent under the paper's optional MLP2 readout instead of linear probes."""

from opbench.methods.interface import Output, Task, Variant
from opbench.methods.mlp import read_latent
from opbench.methods.plugins.extracted_head import ExtractedHead

HIDDEN = (64,)


class ExtractedMlp2(ExtractedHead):
    """What a bend in the readout adds to the extracted latent."""

    label = "extracted head + MLP2"
    citation = "arXiv:2603.10261, S21"
    protocol = "inductive"
    settings = ("adaptor",)
    core = False
    needs_labels = True
    operator_kinds = ("drift",)
    memory_mb = 3000

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit the head as ever, then MLPs width-64-C on its latent.

        The head has seen the donors that stop the MLPs: with the fixed budget it was trained on them, with the
        plateau it was stopped by them. The test donors are new to both.
        """
        return read_latent(super().run(task, variant), task, variant, HIDDEN)

"""Diffusion pseudotime inside each test donor, on the donor's own principal axes."""

import scipy.sparse as sp

from opbench.methods.donor_local import Pseudotime, diffusion_pseudotime, principal_axes, run_donors
from opbench.methods.interface import Method, Output, Task, Variant

#: Raise when the computation changes: stored results of another version are not used.
VERSION = 1


class Dpt(Method):
    """DPT as scanpy's tutorial on hematopoiesis runs it: scaled genes, PCA, neighbours, diffusion map, distance.

    The neighbours are scanpy's default, and the kernel is the Gaussian one of the publication, as for every
    representation that is scored by DPT.
    """

    label = "DPT, donor's own PCA"
    citation = "Haghverdi et al. 2016, Nat Methods 13:845"
    protocol = "per-donor"
    core = True
    uses_start_cell = True
    memory_mb = 1500

    def run(self, task: Task, variant: Variant) -> Output:
        """Pseudotime of each test donor from its start cell; training cells are not used."""
        settings = task.plan.baselines.dpt

        def compute(cells: sp.csr_matrix, start: int) -> Pseudotime:
            axes = principal_axes(cells, settings.components, scaled=True)
            return diffusion_pseudotime(axes, start, settings.neighbours)

        parameters = (VERSION, settings.components, settings.neighbours)
        return run_donors(task, "dpt", ("scanpy",), parameters, compute)

"""Diffusion pseudotime inside each test donor, on the donor's own principal axes."""

from pathlib import Path

import scipy.sparse as sp

from opbench.io.source_digest import source_digest
from opbench.methods.donor_local import Pseudotime, diffusion_pseudotime, principal_axes, run_donors
from opbench.methods.interface import Method, Output, Task, Variant


class Dpt(Method):
    """DPT as scanpy's tutorial on hematopoiesis runs it: scaled genes, PCA, neighbours, diffusion map, distance.

    The neighbours are scanpy's default, and the kernel is the Gaussian one of the publication, as for every
    representation that is scored by DPT.
    """

    label = "DPT, donor's own PCA"
    citation = "Haghverdi et al. 2016, Nat Methods 13:845"
    protocol = "per-donor"
    settings = ("baselines.dpt",)
    core = True
    uses_start_cell = True
    memory_mb = 1500

    def run(self, task: Task, variant: Variant) -> Output:
        """Pseudotime of each test donor from its start cell; training cells are not used."""
        settings = task.plan.baselines.dpt

        def compute(cells: sp.csr_matrix, start: int) -> Pseudotime:
            axes = principal_axes(cells, settings.components, scaled=True)
            return diffusion_pseudotime(axes, start, settings.neighbours)

        parameters = (source_digest(Path(__file__)), settings.components, settings.neighbours)
        return run_donors(task, "dpt", ("scanpy",), parameters, compute)

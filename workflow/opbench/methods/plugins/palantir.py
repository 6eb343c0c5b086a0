"""Palantir inside each test donor, on the donor's own principal axes."""

import contextlib
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from opbench.io.seeds import derive_seed
from opbench.io.source_digest import source_digest
from opbench.methods.donor_local import (
    Pseudotime,
    climb,
    connected_part,
    join_notes,
    no_pseudotime,
    principal_axes,
    run_donors,
    spread,
)
from opbench.methods.interface import Method, Output, Task, Variant

if TYPE_CHECKING:
    from anndata import AnnData

#: Neighbours of `run_palantir` and `run_diffusion_maps` by default, diffusion components of its tutorial (1.4).
NEIGHBOURS, COMPONENTS = 30, 5
#: Diffusion components when the first attempts fail: the default of `run_diffusion_maps`.
MORE_COMPONENTS = 10
#: Palantir asks ARPACK for this tolerance: eigenvalues closer to 1 are not told from those of separate components.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Rung:
    """One attempt: neighbours of both graphs, fewest eigenvectors (the constant one counts), waypoints, seed."""

    neighbours: int
    eigenvectors: int
    waypoints: int
    seed: int


class Palantir(Method):
    """Palantir as its tutorial runs it, from the start cell that all methods share.

    Palantir raises no error on a graph that falls apart, and joins cells out of reach by edges of its own: such a
    result is refused, and tried again with more neighbours, then with all eigenvectors (every step is in the notes).
    """

    label = "Palantir"
    citation = "Setty et al. 2019, Nat Biotechnol 37:451"
    protocol = "per-donor"
    settings = ("baselines.palantir",)
    uses_start_cell = True
    memory_mb = 1500
    environment = "palantir"

    def run(self, task: Task, variant: Variant) -> Output:
        """Pseudotime of each test donor from its start cell; training cells are not used."""
        settings = task.plan.baselines.palantir
        seed = derive_seed(variant.seed, "palantir")

        def compute(cells: sp.csr_matrix, start: int) -> Pseudotime:
            axes = principal_axes(cells, settings.components, scaled=False)
            rungs = ladder(len(axes), settings.eigenvectors, settings.waypoints, seed)
            return climb([(name, partial(attempt, axes, start, rung)) for name, rung in rungs], len(axes))

        parameters = (
            source_digest(Path(__file__)),
            settings.components,
            settings.eigenvectors,
            settings.waypoints,
            seed,
        )
        return run_donors(task, "palantir", ("palantir", "scanpy"), parameters, compute)


def ladder(n: int, eigenvectors: int, waypoints: int, seed: int) -> list[tuple[str, Rung]]:
    """Attempts in order, with their names; a graph never joins a cell to more than half of n cells."""
    tries = ((1, eigenvectors), (2, eigenvectors), (2, MORE_COMPONENTS), (4, MORE_COMPONENTS))
    rungs = [Rung(min(factor * NEIGHBOURS, (n - 1) // 2), floor, waypoints, seed) for factor, floor in tries]
    named = [(f"{rung.neighbours} neighbours, {rung.eigenvectors} eigenvectors or more", rung) for rung in rungs]
    return list(dict(named).items())  # a small donor's limit makes some equal


def attempt(axes: np.ndarray, root: int, rung: Rung) -> Pseudotime:
    """Palantir on one donor, (n, d) -> (n,); what cannot be trusted is a problem."""
    import palantir
    from anndata import AnnData

    n = len(axes)

    def build(rows: np.ndarray) -> "AnnData":
        # Cells are named by position: Palantir sorts waypoints by name, and names must not change bits.
        obs = pd.DataFrame(index=[f"{row:09d}" for row in rows])
        cells = AnnData(np.zeros((len(rows), 1), dtype=np.float32), obs, obsm={"X_pca": axes[rows]})
        palantir.utils.compute_kernel(cells, knn=rung.neighbours)
        return cells

    part = connected_part(build, "DM_Kernel", n, root)
    if part.problem:
        return no_pseudotime(n, part.problem, part.components)
    n_components = min(max(COMPONENTS, rung.eigenvectors), len(part.rows) - 2)
    found = palantir.utils.diffusion_maps_from_kernel(part.graph.obsp["DM_Kernel"], n_components, rung.seed)
    found["EigenVectors"].index = part.graph.obs_names
    slowest = float(found["EigenValues"].iloc[1])
    if not slowest < 1 - TOLERANCE:
        return no_pseudotime(n, f"graph is nearly disconnected: eigenvalue {slowest:.6f}", part.components)
    space, note = multiscale_space(found, min(rung.eigenvectors, n_components))
    if (parts := separate_parts(space, rung.neighbours)) > 1:
        return no_pseudotime(n, f"graph of the multiscale space has {parts} components", part.components)
    start = f"{root:09d}"
    # Pseudotime does not depend on fates. One cell that is a waypoint anyway is named as their end: the search for
    # ends is unseeded.
    ends = [name for name in (space[0].idxmax(), space[0].idxmin()) if name != start]
    with contextlib.redirect_stdout(io.StringIO()):
        result = palantir.core.run_palantir(
            space, start, terminal_states=ends[:1], knn=rung.neighbours, num_waypoints=rung.waypoints,
            n_jobs=1, use_early_cell_as_start=True, seed=rung.seed,
        )  # fmt: skip
    values = result.pseudotime.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return no_pseudotime(n, "pseudotime is not finite or constant", part.components)
    moved = "" if result.waypoints[0] == start else f"Palantir moved the start to cell {int(result.waypoints[0])}"
    before = int((values < values[np.searchsorted(part.rows, root)]).sum())
    earlier = f"cells before the start: {before}" if before else ""
    return spread(values, part, n, join_notes(note, moved, earlier))


def multiscale_space(found: dict, floor: int) -> tuple[pd.DataFrame, str]:
    """Multiscale space by the eigen gap, of `floor` eigenvectors at least, and a note when the floor was used.

    The gap often picks too few to hold the branches apart (dpeerlab/Palantir issues 90 and 147).
    """
    import palantir

    space = palantir.utils.determine_multiscale_space(found)
    chosen = space.shape[1] + 1
    if chosen >= floor:
        return space, ""
    space = palantir.utils.determine_multiscale_space(found, n_eigs=floor)
    return space, f"eigen gap picks {chosen} eigenvectors, {floor} used"


def separate_parts(space: pd.DataFrame, neighbours: int) -> int:
    """Components of the graph that Palantir walks along: it would join them by edges that no neighbours have."""
    from sklearn.neighbors import kneighbors_graph
    from sklearn.preprocessing import minmax_scale

    graph = kneighbors_graph(minmax_scale(space), neighbours, include_self=True)
    return int(connected_components(graph, directed=False)[0])

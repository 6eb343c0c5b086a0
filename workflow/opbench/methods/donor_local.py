"""Trajectories inside one donor: its own axes, diffusion pseudotime, retries, and reuse of equal donors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from opbench.io.errors import InputError
from opbench.io.store import Arrays, digest
from opbench.methods.interface import Output, Task

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger("opbench.methods")
#: Diffusion components used by DPT (scanpy's default); fewer when a donor has few cells.
DIFFUSION_COMPONENTS = 10
#: With less than this share of cells connected to the root the order means nothing.
MIN_REACHED = 0.8
#: `scanpy.tl.dpt` leaves components with eigenvalues from here on out of the distance (`Neighbors._get_dpt_row`).
SCANPY_SLOWEST = 0.9994
#: Eigenvalues are float32 there: closer to 1 than this, 1 - eigenvalue is rounding.
RESOLVED = 1e-6
#: From here on scanpy's Gaussian kernel is sparse and not symmetric (1.11: eigenvalues above 1), and another is used.
GAUSS_CELLS = 8192


@dataclass(frozen=True)
class Pseudotime:
    """values (n,) with NaN for cells not connected to the root; `problem` says why there are none.

    components: connected components of the graph; note: what was done that is not plain.
    """

    values: np.ndarray
    components: int
    problem: str = ""
    note: str = ""


def no_pseudotime(n: int, problem: str, components: int = 0) -> Pseudotime:
    """A failure, for n cells."""
    return Pseudotime(np.full(n, np.nan), components, problem)


def principal_axes(log1p: sp.csr_matrix, components: int, scaled: bool) -> np.ndarray:
    """Centred PCA of some cells alone, (n, G) -> (n, d) float32 with d at most `components`.

    scaled: genes have unit variance over these cells, as in scanpy's `recipe_zheng17`.
    """
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(log1p.toarray() if scaled else log1p.copy())
    if scaled:
        sc.pp.scale(cells)
    sc.pp.pca(cells, n_comps=max(min(components, *(size - 1 for size in cells.shape)), 1), random_state=0)
    return np.asarray(cells.obsm["X_pca"], dtype=np.float32)


@dataclass(frozen=True)
class Connected:
    """Cells that the root reaches: their positions, their graph, and the components of the whole graph."""

    rows: np.ndarray
    graph: AnnData
    components: int
    problem: str = ""


def connected_part(build: Callable[[np.ndarray], AnnData], key: str, n: int, root: int) -> Connected:
    """The cells connected to the one at position `root`, of n.

    build: positions -> graph, whose `obsp[key]` is symmetric. Libraries raise no error on graphs that fall apart:
    cells out of reach are left out and the graph of the others is made again. There is a problem when fewer
    than `MIN_REACHED` of the cells are left.
    """
    rows, components = np.arange(n), 0
    while True:
        graph = build(rows)
        count, component = connected_components(graph.obsp[key], directed=False)
        components = components or count
        reached = component == component[np.searchsorted(rows, root)]
        share = reached.sum() / n
        if share < MIN_REACHED:
            text = f"graph has {components} components; the root reaches {share:.0%}"
            return Connected(rows, graph, components, text)
        if reached.all():
            return Connected(rows, graph, components)
        rows = rows[reached]


def spread(values: np.ndarray, part: Connected, n: int, note: str = "") -> Pseudotime:
    """Values of the connected cells, put back among all n; the others are NaN and counted in the note."""
    out = np.full(n, np.nan)
    out[part.rows] = values
    lost = n - len(part.rows)
    left_out = f"{lost} of {n} cells not connected to the root ({part.components} components)" if lost else ""
    return Pseudotime(out, part.components, note=join_notes(left_out, note))


def join_notes(*notes: str) -> str:
    """Notes that say something, in one line."""
    return "; ".join(filter(None, notes))


def diffusion_pseudotime(representation: np.ndarray, root: int, neighbours: int) -> Pseudotime:
    """DPT (Haghverdi et al. 2016, Nat Methods 13:845) of one donor's cells, (n, d) -> (n,), by scanpy.

    Where the graph is nearly disconnected or very long, scanpy silently drops the slowest components, which carry
    the order (on a simulated tree of 4,000 cells with little noise, Spearman 0.11 with the truth); the published
    distance over all components is then taken (0.96 there), and the note says so.
    """
    import scanpy as sc
    from anndata import AnnData

    x = np.ascontiguousarray(representation, dtype=np.float32)
    n = len(x)
    if n <= neighbours or np.ptp(x, axis=0).max() == 0:
        return no_pseudotime(n, "too few cells or a constant representation", n)

    def build(rows: np.ndarray) -> AnnData:
        cells = AnnData(np.zeros((len(rows), 1), dtype=np.float32), obsm={"X_rep": x[rows]})
        # The Gaussian kernel is the one DPT was published with, and needs no compilation.
        method, search = ("gauss", None) if len(rows) < GAUSS_CELLS else ("umap", "sklearn")
        k = min(neighbours, len(rows) - 1)
        sc.pp.neighbors(cells, n_neighbors=k, use_rep="X_rep", method=method, transformer=search, random_state=0)
        return cells

    part = connected_part(build, "connectivities", n, root)
    if part.problem:
        return no_pseudotime(n, part.problem, part.components)
    cells, start = part.graph, int(np.searchsorted(part.rows, root))
    n_comps = min(DIFFUSION_COMPONENTS + 5, len(part.rows) - 2)
    sc.tl.diffmap(cells, n_comps=n_comps, random_state=0)
    values = cells.uns["diffmap_evals"][1:DIFFUSION_COMPONENTS].astype(np.float64)
    slow = int((values >= SCANPY_SLOWEST).sum())
    if slow and 1 - values.max() < RESOLVED:
        return no_pseudotime(n, f"graph is nearly disconnected: eigenvalue {values.max():.7f}", part.components)
    if slow:
        axes = cells.obsm["X_diffmap"][:, 1:DIFFUSION_COMPONENTS].astype(np.float64)
        distance = np.linalg.norm(values / (1 - values) * (axes - axes[start]), axis=1)
        note = f"{slow} diffusion components with eigenvalues from {SCANPY_SLOWEST} on are kept"
        return spread(distance / distance.max(), part, n, note)
    cells.uns["iroot"] = start
    sc.tl.dpt(cells, n_dcs=min(DIFFUSION_COMPONENTS, n_comps))
    found = cells.obs["dpt_pseudotime"].to_numpy(dtype=np.float64)
    return spread(np.where(np.isfinite(found), found, np.nan), part, n)


def climb(rungs: Sequence[tuple[str, Callable[[], Pseudotime]]], n: int) -> Pseudotime:
    """The first of several attempts, (name, attempt), that has no problem; the note says why others were left.

    A library's exception counts as the attempt's problem. When all fail, `problem` lists every attempt.
    """
    left: list[str] = []
    for name, attempt in rungs:
        try:
            found = attempt()
        except MemoryError:
            raise
        except Exception as error:
            log.exception("%s failed", name)
            found = no_pseudotime(n, f"{type(error).__name__}: {error}".splitlines()[0][:120])
        if not found.problem:
            taken = f"retried with {name}" if left else ""
            return replace(found, note=join_notes(*left, taken, found.note))
        left.append(f"{name}: {found.problem}")
    return no_pseudotime(n, join_notes(*left))


def run_donors(
    task: Task,
    name: str,
    libraries: tuple[str, ...],
    parameters: tuple,
    compute: Callable[[sp.csr_matrix, int], Pseudotime],
) -> Output:
    """Run `compute` on each test donor alone, from its start cell, through the task's store (decision 23).

    An entry's key is the donor's expression, its start cell, the method's `name` and `parameters` (the digest of
    its code among them) and the versions of the `libraries`: splits that test a donor from the same start share it.
    compute: (the donor's log1p rows, position of the start cell) -> pseudotime.
    """
    test, store = task.test, task.store
    output = Output(pseudotime=np.full(len(test.ids), np.nan))
    assert output.pseudotime is not None
    computed, reused = store.computed, store.reused
    versions = tuple(map(version, libraries))
    for donor in map(str, np.unique(test.donor)):
        if donor not in task.start_cells:
            output.problems[donor] = "no start cell in this campaign"
            continue
        rows = np.flatnonzero(test.donor == donor)
        start = np.flatnonzero(test.ids[rows] == task.start_cells[donor])
        if len(start) != 1:
            cell = task.start_cells[donor]
            raise InputError(f"roots: start cell '{cell}' is none of donor {donor}'s cells; make the roots again.")
        cells = test.log1p[rows]
        key = digest(name, parameters, libraries, versions, cells, int(start[0]))
        entry = store.get(key, partial(_as_arrays, compute, cells, int(start[0])))
        output.pseudotime[rows] = entry["values"]
        for kept, texts in ((output.problems, entry["problem"]), (output.notes, entry["note"])):
            if text := str(texts):
                kept[donor] = text
    output.fits, output.reused = store.computed - computed, store.reused - reused
    return output


def _as_arrays(compute: Callable[[sp.csr_matrix, int], Pseudotime], cells: sp.csr_matrix, start: int) -> Arrays:
    found = compute(cells, start)
    return {"values": found.values, "problem": np.array(found.problem), "note": np.array(found.note)}

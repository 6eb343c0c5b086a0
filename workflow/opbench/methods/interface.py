"""What a method is given, what it gives back, and what it declares.

A method sees training cells with labels and test cells without; it never sees splits' files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from opbench.config.baselines import Baselines
from opbench.config.model import Adaptor
from opbench.io.store import Store

#: Protocols, as printed beside every score. `inductive`: fitted on training donors; `per-donor`: run inside each
#: test donor, from a start cell where it needs one; `pretrained`: released elsewhere, its training donors unknown;
#: `zero-shot`: a frozen model's representation; `floor`: trivial; `leaking`: the paper's own arrangement.
PROTOCOLS = (
    "inductive", "per-donor", "pretrained", "zero-shot", "transductive", "floor", "leaking", "oracle", "chance",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One arm of a method: which operator, which draw, which budget. -1 and '' mean "has none"."""

    operator: str = ""
    arm: str = ""
    draw: int = -1
    width: int = -1
    budget: str = ""
    seed: int = 0


class _Undeclared:
    """Stands for a section of the configuration that a method did not declare: reading it says what to write."""

    def __init__(self, section: str) -> None:
        self._section = section

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"write '{self._section}' into the method's 'settings' to read it")

    def __repr__(self) -> str:
        return ""


@dataclass(frozen=True)
class Plan:
    """Settings of the run that variants are made from.

    seeds: adaptor seeds of operators without draws; controls: control arm -> draws.
    """

    adaptor: Adaptor
    budgets: tuple[str, ...]
    gaussian_draws: int
    gaussian_arm: str
    frozen: bool
    model: str
    baselines: Baselines = field(default_factory=Baselines)
    device: str = "cpu"
    seeds: int = 1
    controls: dict[str, int] = field(default_factory=dict)

    def shown_to(self, method: "Method") -> "Plan":
        """The plan with the sections that the method declares in `settings`; the others are not its business.

        A baseline's own settings then neither re-run the other methods nor change what the store knows of them.
        """
        shown = {
            name: getattr(self.baselines, name) if f"baselines.{name}" in method.settings
            else _Undeclared(f"baselines.{name}")
            for name in Baselines.model_fields
        }  # fmt: skip
        adaptor: Any = self.adaptor if "adaptor" in method.settings else _Undeclared("adaptor")
        return replace(self, adaptor=adaptor, baselines=Baselines.model_construct(**shown))


@dataclass(frozen=True)
class Cells:
    """Some cells of a panel.

    log1p, counts: (n, G) CSR of the panel's genes; donor: (n,) str; features(name): (n, F) float32 rows of what a
    method's `operator_kinds` asks for (xA of an operator, or an embedding), of one operator after another at little
    cost, of several in turn at a high one; all_genes(): (n, all) float32 CSR of
    log1p(CP10k) of every gene of the datasets, for methods that declare `needs_all_genes`.
    label and branch (n,) int codes and depth (n,) are None for training cells unless the method declares
    `needs_labels`, and for test cells unless it declares `reads_test_labels`.
    """

    ids: np.ndarray
    log1p: sp.csr_matrix
    counts: sp.csr_matrix
    donor: np.ndarray
    features: Callable[[str], np.ndarray]
    label: np.ndarray | None
    branch: np.ndarray | None
    depth: np.ndarray | None
    all_genes: Callable[[], sp.csr_matrix] | None = None


@dataclass(frozen=True)
class Classes:
    """Names behind the codes.

    labels: `dataset:label`, K of them, with their ruler (K, K) in graph steps; branches: B names;
    binary: two-class task -> (positive label codes, negative label codes) over all datasets.
    """

    labels: tuple[str, ...]
    branches: tuple[str, ...]
    ruler: np.ndarray
    binary: dict[str, tuple[frozenset[int], frozenset[int]]]
    stages: tuple[frozenset[str], ...] = ()
    branch_of: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One split as a method sees it. `seed` is the split's, shared by all methods; `split` its number in the campaign.

    start_cells: test donor -> id of its root cell, the same for all methods; empty unless the method declares
    `uses_start_cell`. genes, all_genes: names of the columns of `log1p` and of `all_genes()`. store: what equal
    inputs have given before, in this run's other jobs too. projection(name): (G, d) float32 matrix A of an operator
    whose features are xA of `log1p`, for methods that declare `needs_operators`; None where they are not.
    """

    train: Cells
    test: Cells
    classes: Classes
    seed: int
    plan: Plan
    start_cells: dict[str, str] = field(default_factory=dict)
    genes: tuple[str, ...] = ()
    all_genes: tuple[str, ...] = ()
    store: Store = field(default_factory=Store)
    split: int = 0
    projection: Callable[[str], np.ndarray | None] = lambda name: None


@dataclass
class Output:
    """What a method gives: a representation, or class scores and pseudotime of its own.

    representation: ((n_train, d), (n_test, d)), or, where it is linear in `log1p`, projection: (G, d), which the
    readouts of all splits share passes over the cells with. correlated: whether the columns of the projection are so
    alike that probes would not converge, and go along principal axes to the same optimum. scores: task name ->
    (n_test, C) decision scores, or (n_test,) for a two-class task, above 0 where the positive side is called;
    pseudotime, depth: (n_test,), NaN for cells without one. `status` is `ok` or `cap`. problems: test donor -> why it
    has no pseudotime; notes: test donor -> remark for its rows.
    parameters: trained numbers; fits, reused: fits computed and taken from the store; gpu_s: GPU seconds.
    """

    representation: tuple[np.ndarray, np.ndarray] | None = None
    projection: np.ndarray | sp.csr_matrix | None = None
    correlated: bool = False
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    pseudotime: np.ndarray | None = None
    depth: np.ndarray | None = None
    parameters: int = 0
    fits: int = 1
    reused: int = 0
    gpu_s: float = 0.0
    status: str = "ok"
    reason: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def check_output(output: object, task: Task) -> Output:
    """Return what a method gave, if it keeps the contract; else ValueError says what does not."""
    if not isinstance(output, Output):
        raise ValueError(f"run() returned a {type(output).__name__}, not an Output")
    n_train, n_test, classes = len(task.train.ids), len(task.test.ids), task.classes
    shapes = {"stage": (n_test, len(classes.labels)), "branch": (n_test, len(classes.branches))}
    shapes |= dict.fromkeys(classes.binary, (n_test,))
    for name, scores in output.scores.items():
        if name not in shapes:
            raise ValueError(f"scores['{name}'] is of no task; tasks are {sorted(shapes)}")
        if np.shape(scores) != shapes[name]:
            raise ValueError(f"scores['{name}'] has shape {np.shape(scores)}, expected {shapes[name]}")
        if np.isnan(scores).any():
            raise ValueError(f"scores['{name}'] has NaN; a class that is never called scores -inf")
    for name, values in (("pseudotime", output.pseudotime), ("depth", output.depth)):
        if values is not None and np.shape(values) != (n_test,):
            raise ValueError(f"{name} has shape {np.shape(values)}, expected {(n_test,)}")
    if output.representation is not None:
        for side, values, n in zip(("train", "test"), output.representation, (n_train, n_test), strict=True):
            if np.ndim(values) != 2 or len(values) != n:
                raise ValueError(f"representation of {side} cells has shape {np.shape(values)}, expected ({n}, d)")
            if not np.isfinite(values).all():
                raise ValueError(f"representation of {side} cells has values that are not finite")
    if output.projection is not None and output.projection.shape[0] != task.train.log1p.shape[1]:
        raise ValueError(f"projection has shape {output.projection.shape}, expected ({task.train.log1p.shape[1]}, d)")
    return output


class Method(ABC):
    """Base of all methods. Class attributes are literals: the workflow reads them without importing.

    core: run where a configuration does not name methods; by_name: not part of `all`, but for campaigns that name it;
    needs_labels: training labels are shown;
    operator_kinds: `drift`, `head`, `gaussian`, `embedding` or control arms; needs_operators: the operators themselves
    are handed in, and `task.projection` gives them; memory_mb: peak of a job on a small panel;
    gpu: 1 where one helps, asked for only when `model.device` is `cuda`; environment: name of its file in `envs/`;
    reads_releases: the released models' label tables of `baselines` belong to its results; settings: sections of the
    configuration that it reads from `plan`, of `adaptor` and `baselines.<name>`.
    """

    label: str = ""
    citation: str = ""
    protocol: str = "inductive"
    core: bool = False
    by_name: bool = False
    needs_labels: bool = False
    needs_all_genes: bool = False
    uses_start_cell: bool = False
    reads_test_labels: bool = False
    operator_kinds: tuple[str, ...] = ()
    needs_operators: bool = False
    memory_mb: int = 2000
    gpu: int = 0
    environment: str = "core"
    reads_releases: bool = False
    settings: tuple[str, ...] = ()

    def skip(self, plan: Plan) -> str | None:
        """Return why the method cannot run under this plan, or None."""
        return None

    def variants(self, plan: Plan) -> list[Variant]:
        """Arms to run on every split."""
        return [Variant()]

    @abstractmethod
    def run(self, task: Task, variant: Variant) -> Output:
        """Fit on `task.train` and return the output for both sides of the split."""

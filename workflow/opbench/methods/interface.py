"""What a method is given, what it gives back, and what it declares.

A method sees training cells with labels and test cells without; it never sees splits' files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from opbench.config.model import Adaptor

#: Protocols, as printed beside every score. `leaking` marks the paper's own arrangement.
PROTOCOLS = ("inductive", "transductive", "zero-shot", "leaking", "oracle", "chance")


@dataclass(frozen=True)
class Variant:
    """One arm of a method: which operator, which draw, which budget. -1 and '' mean "has none"."""

    operator: str = ""
    arm: str = ""
    draw: int = -1
    width: int = -1
    budget: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """Settings of the run that variants are made from."""

    adaptor: Adaptor
    budgets: tuple[str, ...]
    gaussian_draws: int
    gaussian_arm: str
    frozen: bool
    model: str


@dataclass(frozen=True)
class Cells:
    """Some cells of a panel.

    log1p, counts: (n, G) CSR; donor: (n,) str; features(operator): (n, F) float32 rows of xA.
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


@dataclass(frozen=True)
class Task:
    """One split as a method sees it. `seed` is the split's, shared by all methods.

    start_cells: test donor -> id of its root cell, the same for all methods; empty unless the method declares
    `uses_start_cell`.
    """

    train: Cells
    test: Cells
    classes: Classes
    seed: int
    plan: Plan
    start_cells: dict[str, str] = field(default_factory=dict)


@dataclass
class Output:
    """What a method gives: a representation, or class scores and pseudotime of its own.

    representation: ((n_train, d), (n_test, d)); scores: task name -> (n_test, C) decision scores, or
    (n_test,) for a two-class task; pseudotime, depth: (n_test,). `status` is `ok` or `cap`.
    """

    representation: tuple[np.ndarray, np.ndarray] | None = None
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    pseudotime: np.ndarray | None = None
    depth: np.ndarray | None = None
    parameters: int = 0
    fits: int = 1
    status: str = "ok"
    reason: str = ""


class Method(ABC):
    """Base of all methods. Class attributes are literals: the workflow reads them without importing."""

    label: str = ""
    citation: str = ""
    protocol: str = "inductive"
    needs_labels: bool = False
    uses_start_cell: bool = False
    reads_test_labels: bool = False
    operator_kinds: tuple[str, ...] = ()
    memory_mb: int = 2000
    gpu: int = 0

    def skip(self, plan: Plan) -> str | None:
        """Return why the method cannot run under this plan, or None."""
        return None

    def variants(self, plan: Plan) -> list[Variant]:
        """Arms to run on every split."""
        return [Variant()]

    @abstractmethod
    def run(self, task: Task, variant: Variant) -> Output:
        """Fit on `task.train` and return the output for both sides of the split."""

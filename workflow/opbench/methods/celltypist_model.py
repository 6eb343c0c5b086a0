"""CellTypist models, trained here or released: decision scores of cells for a model's own types.

CellTypist (Domínguez Conde et al. 2022, Science 376:eabl5197) is a one-vs-rest logistic regression on standardised
log1p(CP10k). What it calls probabilities are sigmoids of the decision scores, each type for itself: a row does not sum
to 1, and sure cells tie (celltypist/models.py). Only decision scores are used here. Nor is there majority voting: it
clusters the cells that are tested, so that one test cell's call would depend on the others.
"""

import hashlib
import logging
import os
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from opbench.io.errors import InputError, NotApplicable
from opbench.io.seeds import derive_seed
from opbench.io.source_digest import source_digest
from opbench.io.store import Arrays, digest
from opbench.methods.interface import Output, Task
from opbench.methods.type_scores import Speakers, task_scores

if TYPE_CHECKING:
    from celltypist import Model

#: Two passes as for the maintainers' own models (issues 142 and 158, basic tutorial): SGD ranks the genes, the union of
#: each type's top ones is fitted by L-BFGS; all else is `celltypist.train`'s default. One thread, marrow splits 0 to 2:
#: 22 to 25 s of processor time and 1.8 GB with all 27,899 genes (3,384 to 3,467 kept), 4 to 5 s and 0.5 GB with a panel
#: of 1,200 (792 to 809 kept).
TOP_GENES = 300
#: Training cells per label, because training needs dense matrices; marrow has fewer of each. The maintainers advise
#: to draw as many of each type from large references (issues 128 and 150), and draw 500 in their large-scale tutorial.
CELLS_PER_LABEL = 1000
#: Cells scored at once, which are dense.
BLOCK = 4096


@contextmanager
def quiet_celltypist() -> Iterator[ModuleType]:
    """Yield the library without its messages and warnings.

    Its import makes a folder for models in the home folder unless told otherwise, and matplotlib's one for fonts; here
    they are temporary. It also sets up logging where nobody has, and warning filters.
    """
    root, guard = logging.getLogger(), logging.NullHandler()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.addHandler(guard)
        try:
            with _environment(CELLTYPIST_FOLDER=folder, MPLCONFIGDIR=folder):
                import celltypist
        finally:
            root.removeHandler(guard)
        celltypist.logger.set_level(logging.ERROR)
        warnings.simplefilter("ignore")
        yield celltypist


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def train_model(x: sp.csr_matrix, label: np.ndarray, genes: Sequence[str], seed: int) -> "Model":
    """Train on float32 log1p(CP10k) (n, G) as the maintainers do; feature selection where there are genes to select.

    The library's check that rows sum to 10,000 is off: a panel, or the genes that datasets share, are not all genes.
    """
    from anndata import AnnData
    from pandas import DataFrame

    with quiet_celltypist() as celltypist:
        if np.unique(label, return_counts=True)[1].max() > CELLS_PER_LABEL:
            table = AnnData(obs=DataFrame({"label": label}, index=np.arange(len(label)).astype(str)))
            rows = celltypist.samples.downsample_adata(
                table, mode="each", n_cells=CELLS_PER_LABEL, by="label", random_state=seed
            )
            rows = np.sort(rows)
            x, label = x[rows], label[rows]
        return celltypist.train(
            x,
            labels=label,
            genes=np.array(genes, dtype=object),
            check_expression=False,
            feature_selection=bool((x.getnnz(axis=0) > 0).sum() > TOP_GENES),
            top_genes=TOP_GENES,
            n_jobs=1,
            random_state=seed,
        )


def load_model(path: str | Path, sha256: str) -> "Model":
    """Load a released model, if the file is the one that the user names by its SHA-256: a pickle can run code.

    Raises InputError when it is another file, or no model.
    """
    data = Path(path).read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise InputError(f"{path}: sha256 is {found}, not the {sha256} of the configuration, so it is not loaded.")
    with quiet_celltypist() as celltypist:
        try:
            parts = pickle.loads(data)
            return celltypist.Model(parts["Model"], parts["Scaler_"], parts["description"])
        except Exception as error:  # a foreign pickle raises whatever it likes
            raise InputError(f"{path}: is no CellTypist model ({type(error).__name__}: {error}).") from error


def decision_scores(model: "Model", x: sp.csr_matrix, genes: Sequence[str]) -> np.ndarray:
    """Decision scores (n, types) of log1p(CP10k) (n, G); genes that only one side has are left out, as it does."""
    from anndata import AnnData
    from pandas import DataFrame

    var = DataFrame(index=np.array(genes, dtype=object))
    with quiet_celltypist() as celltypist:
        parts = [
            celltypist.annotate(AnnData(x[start : start + BLOCK], var=var), model=model, majority_voting=False)
            for start in range(0, x.shape[0], BLOCK)
        ]
    return np.concatenate([part.decision_matrix.to_numpy() for part in parts])


def trained_output(task: Task, train: sp.csr_matrix, test: sp.csr_matrix, genes: Sequence[str]) -> Output:
    """Train on a split's training labels and score its test cells; a type is a label.

    A label scores by its decision score, a branch by the best of its labels, a two-class task by the best of the
    positive labels less the best of the negative ones. Labels without training cells score -inf.
    """
    label, branch, classes = task.train.label, task.train.branch, task.classes
    assert label is not None and branch is not None
    if len(np.unique(label)) < 2:
        raise NotApplicable("the training donors hold a single label")
    seed = derive_seed(task.seed, "celltypist") % 2**32

    def compute() -> Arrays:
        model = train_model(train, label, genes, seed)
        fitted = model.classifier
        return {
            "types": fitted.classes_.astype(np.int64),
            "decision": decision_scores(model, test, genes),
            "parameters": np.array(fitted.coef_.size + fitted.intercept_.size),
            "capped": np.array(np.max(fitted.n_iter_) >= fitted.max_iter),
        }

    settings = (
        source_digest(Path(__file__)),
        version("celltypist"),
        version("scikit-learn"),
        TOP_GENES,
        CELLS_PER_LABEL,
        seed,
    )
    before = task.store.computed
    found = task.store.get(digest("celltypist", settings, train, label, np.array(genes), test), compute)
    new, types = task.store.computed - before, found["types"]
    branch_of = np.full(len(classes.labels), -1)
    branch_of[label] = branch
    of_label = types[:, None] == np.arange(len(classes.labels))
    of_branch = branch_of[types][:, None] == np.arange(len(classes.branches))
    sides = {
        name: (np.isin(types, list(pro)), np.isin(types, list(con))) for name, (pro, con) in classes.binary.items()
    }
    capped = bool(found["capped"])
    return Output(
        scores=task_scores(found["decision"], Speakers(of_label, of_branch, sides, of_label)),
        parameters=int(found["parameters"]),
        fits=new,
        reused=1 - new,
        status="cap" if capped else "ok",
        reason="logistic regression reached its cap of iterations" if capped else "",
    )

"""MLP heads on any input: one per class task, balanced by class, stopped early on whole training donors.

The paper (arXiv:2603.10261) names its MLPs' layers and not how they were trained. What is left open is set as in
scikit-learn's MLPClassifier: ReLU, Adam at 1e-3, batches of 200. Its penalty, 1e-4 over a batch, is next to none
and left out. Decision 14 says when to stop.
"""

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from opbench.config.model import Adaptor
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.methods.heads import stopping_donors
from opbench.methods.interface import Cells, Classes, Output, Task, Variant

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Sequential

LEARNING_RATE = 1e-3
BATCH = 200
#: A smaller gain in the loss (nats a cell) is none: separable classes would go on gaining for ever.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class ClassTask:
    """What one MLP learns.

    rows: positions of its cells among the training cells; codes: their classes, below n_classes; held: which of them
    belong to the donors that stop the training.
    """

    name: str
    rows: np.ndarray
    codes: np.ndarray
    n_classes: int
    held: np.ndarray

    @property
    def trained(self) -> np.ndarray:
        """Codes of the classes that the fitted cells hold."""
        return np.unique(self.codes[~self.held])

    @property
    def stop(self) -> np.ndarray:
        """Which cells the training is stopped by.

        A class that only their donors hold was never trained, and its loss would stop the MLP early.
        """
        return self.held & np.isin(self.codes, self.trained)


def class_tasks(cells: Cells, classes: Classes, n_stop: int, seed: int) -> list[ClassTask]:
    """Branch, stage, and every two-class task; those whose fitted cells are of a single class are left out.

    `n_stop` whole donors are drawn by `seed` to stop the training: for branch and stage those that stop the cell
    heads, for a two-class task among the donors that hold both sides, as the loss on one side would favour it.
    """
    assert cells.label is not None and cells.branch is not None
    every = np.ones(len(cells.label), dtype=bool)
    wanted = [
        ("branch", every, cells.branch, len(classes.branches)),
        ("stage", every, cells.label, len(classes.labels)),
    ]
    for name, sides in classes.binary.items():
        positive, negative = (np.isin(cells.label, list(side)) for side in sides)
        wanted.append((name, positive | negative, positive, 2))
    tasks = []
    for name, used, code, n_classes in wanted:
        rows, donor, codes = np.flatnonzero(used), cells.donor[used], code[used].astype(np.int64)
        able = np.intersect1d(donor[codes == 1], donor[codes == 0]) if name in classes.binary else donor
        if len(able):
            task = ClassTask(name, rows, codes, n_classes, np.isin(donor, stopping_donors(able, n_stop, seed)))
            if len(task.trained) > 1 and task.stop.any():
                tasks.append(task)
    if not tasks:
        raise InputError(
            f"{len(np.unique(cells.donor))} training donors are too few to train an MLP on some and stop it on others; "
            "take a campaign with more donors."
        )
    return tasks


def mlp_output(
    train: np.ndarray, test: np.ndarray, task: Task, variant: Variant, hidden: Sequence[int], device: str = "cpu"
) -> Output:
    """Scores of one MLP per class task, trained on `train` (n_train, F) and read at `test` (n_test, F).

    hidden: widths of the hidden layers. Inputs are standardised by the training cells. `parameters` are those of the
    largest MLP, `fits` the MLPs trained; a class that no fitted cell has scores -inf.
    """
    from opbench.models.device import choose_device

    began, chosen, settings = time.perf_counter(), choose_device(device), task.plan.adaptor
    x, x_test = _standardised(train, test, device)
    output, capped = Output(fits=0), []
    for item in class_tasks(task.train, task.classes, settings.validation_donors, task.seed):
        seed = derive_seed(variant.seed, "mlp", item.name)
        model = make_mlp((x.shape[1], *hidden, item.n_classes), seed).to(chosen)
        if not _train(model, x, item, settings, seed):
            capped.append(item.name)
        output.scores[item.name] = _scores(model, x_test, item, item.name in task.classes.binary)
        output.parameters = max(output.parameters, sum(p.numel() for p in model.parameters()))
        output.fits += 1
    if capped:
        output.status, output.reason = "cap", f"no plateau within {settings.max_epochs} epochs: {', '.join(capped)}"
    # Scores are copied back at the end of each fit, so the GPU has finished by now.
    output.gpu_s = time.perf_counter() - began if chosen.type == "cuda" else 0.0
    return output


def make_mlp(widths: Sequence[int], seed: int) -> "Sequential":
    """Linear layers of these widths, input and classes included, with ReLU between them; initialised by `seed`."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "init"))
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths[:-1])]
        return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def _standardised(train: np.ndarray, test: np.ndarray, device: str) -> "tuple[Tensor, Tensor]":
    """Both sides centred and scaled by the training cells, on `device`.

    A column without spread is 0 on both sides: its weights learn nothing, and a test cell must not meet them.
    """
    import torch

    mean = train.mean(0, dtype=np.float64).astype(np.float32)
    scale = train.std(0, dtype=np.float64).astype(np.float32)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    # Copied, because kernels choose by a tensor's alignment, which numpy does not fix and the last bits depend on.
    x, x_test = (torch.tensor((side - mean) * inverse, dtype=torch.float32) for side in (train, test))
    return x.to(device), x_test.to(device)


def _train(model: "Sequential", x: "Tensor", item: ClassTask, settings: Adaptor, seed: int) -> bool:
    """Train in place; keep the epoch that does best on the stopping donors, and say whether a plateau came.

    The loss is cross-entropy with classes weighed equally, as the linear probes weigh them.
    """
    import torch
    from torch.nn.functional import cross_entropy

    size = np.bincount(item.codes[~item.held], minlength=item.n_classes)
    weight = torch.from_numpy(np.where(size > 0, size.sum() / (len(item.trained) * size.clip(1)), 0))
    weight = weight.to(x.device, torch.float32)
    rows, codes = torch.from_numpy(item.rows).to(x.device), torch.from_numpy(item.codes).to(x.device)
    fit, stop = (torch.from_numpy(np.flatnonzero(part)).to(x.device) for part in (~item.held, item.stop))
    x_stop, codes_stop = x[rows[stop]], codes[stop]
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    best, best_epoch, state, reached = math.inf, 0, model.state_dict(), False
    for number in range(settings.max_epochs):
        order = torch.from_numpy(keyed_rng(seed, "epoch", number).permutation(len(fit))).to(x.device)
        for batch in torch.tensor_split(fit[order], math.ceil(len(fit) / BATCH)):
            optimiser.zero_grad(set_to_none=True)
            loss = cross_entropy(model(x[rows[batch]]), codes[batch], weight, reduction="sum") / len(batch)
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            now = float(cross_entropy(model(x_stop), codes_stop, weight))
        if now < best - TOLERANCE:
            best, best_epoch, state = now, number, deepcopy(model.state_dict())
        elif number - best_epoch >= settings.patience:
            reached = True
            break
    model.load_state_dict(state)
    return reached


def _scores(model: "Sequential", x: "Tensor", item: ClassTask, binary: bool) -> np.ndarray:
    import torch

    with torch.no_grad():
        logits = model(x).cpu().numpy().astype(np.float64)
    if binary:
        return logits[:, 1] - logits[:, 0]
    untrained = np.setdiff1d(np.arange(item.n_classes), item.trained)
    logits[:, untrained] = -np.inf
    return logits


def read_latent(output: Output, task: Task, variant: Variant, hidden: Sequence[int]) -> Output:
    """Replace the linear readout of a head's latent by MLPs of the `hidden` widths.

    The representation is left out: pseudotime and depth do not depend on the readout, so the head's own rows hold.
    """
    if output.projection is not None:
        train, test = (np.asarray(cells.log1p @ output.projection) for cells in (task.train, task.test))
    else:
        assert output.representation is not None
        train, test = output.representation
    # So few inputs are quicker on a processor than a GPU takes to start its kernels.
    read = mlp_output(train, test, task, variant, hidden)
    reasons = "; ".join(filter(None, (output.reason, read.reason)))
    return replace(
        read,
        parameters=output.parameters + read.parameters,
        fits=output.fits + read.fits,
        reused=output.reused,
        gpu_s=output.gpu_s,
        status="cap" if "cap" in (output.status, read.status) else "ok",
        reason=reasons,
    )

"""From the decision scores of a classifier's own cell types to those of the benchmark's tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opbench.io.errors import InputError
from opbench.methods.interface import Classes
from opbench.panels.ontology import read_tsv

#: Below every decision score, above the -inf of a label without one.
LOWEST = -1e300


@dataclass(frozen=True)
class Speakers:
    """Which of a classifier's T types speak for what.

    of_label (T, K), of_branch (T, B); sides: two-class task -> types (T,) of its positive and its negative side;
    alone (T, K): types that speak for no other label of the same dataset.
    """

    of_label: np.ndarray
    of_branch: np.ndarray
    sides: dict[str, tuple[np.ndarray, np.ndarray]]
    alone: np.ndarray


def task_scores(decision: np.ndarray, types: Speakers) -> dict[str, np.ndarray]:
    """Scores by task of decision scores (n, T): the best type of a label (K) or branch (B), -inf without one.

    Where a cell's best type speaks for several labels, the type that speaks best for one of them alone lifts that label
    by the least step there is. A two-class task scores the best type of the positive side less the best of the negative
    one. Tasks for which no type speaks are left out.
    """
    scores = {}
    if types.of_label.any():
        stage = scores["stage"] = _best(decision, types.of_label)
        tied = stage == stage.max(1, keepdims=True)
        rows = np.flatnonzero(tied.sum(1) > 1)
        own = _best(decision[rows], types.alone).clip(min=LOWEST)
        first = np.where(tied[rows], own, -np.inf).argmax(1)
        stage[rows, first] = np.nextafter(stage[rows, first], np.inf)
    if types.of_branch.any():
        scores["branch"] = _best(decision, types.of_branch)
    for name, (positive, negative) in types.sides.items():
        if positive.any() and negative.any():
            scores[name] = decision[:, positive].max(1) - decision[:, negative].max(1)
    return scores


def _best(decision: np.ndarray, member: np.ndarray) -> np.ndarray:
    out = np.full((len(decision), member.shape[1]), -np.inf)
    for column in np.flatnonzero(member.any(0)):
        out[:, column] = decision[:, member[:, column]].max(1)
    return out


def read_types(path: str | Path, types: Sequence[str], branch_of: dict[str, str]) -> list[frozenset[str]]:
    """Stages of each type by a TSV with columns `label` and `stages` (joined by `|`; empty: the type is left out).

    branch_of: stage -> branch. Raises InputError for a type that the table lacks or repeats, an unknown stage, and
    stages of several branches.
    """
    table = read_tsv(path, ["label", "stages"])
    if twice := table["label"][table["label"].duplicated()].tolist():
        raise InputError(f"{path}: label '{twice[0]}' is given twice; keep one row.")
    listed = dict(zip(table["label"], table["stages"], strict=True))
    if lacking := [name for name in types if name not in listed]:
        raise InputError(
            f"{path}: the model's type '{lacking[0]}', and {len(lacking) - 1} more, have no row; add one, with empty "
            "stages for a type that has none."
        )
    found = [frozenset(filter(None, listed[name].split("|"))) for name in types]
    for name, stages in zip(types, found, strict=True):
        if unknown := sorted(stages - set(branch_of)):
            raise InputError(f"{path}: label '{name}': stage '{unknown[0]}' is not in the stage graph; correct it.")
        if len({branch_of[stage] for stage in stages}) > 1:
            raise InputError(f"{path}: label '{name}': its stages are of several branches; keep those of one.")
    return found


def map_types(
    types: Sequence[frozenset[str]], classes: Classes, stages: Sequence[frozenset[str]], branch_of: dict[str, str]
) -> Speakers:
    """What each type speaks for by its stages; `stages`: of each label; branch_of: stage -> branch.

    A type speaks for the label of each dataset, and for the side of a task, that its stages match best (Jaccard index);
    for equally good labels alike, but for no side if both are equally good. A type with stages that no label has still
    speaks for its branch.
    """
    of_label = np.zeros((len(types), len(stages)), dtype=bool)
    alone = of_label.copy()
    dataset = np.array([name.split(":")[0] for name in classes.labels])
    for name in np.unique(dataset):
        columns = np.flatnonzero(dataset == name)
        near = _nearest(types, [stages[k] for k in columns])
        of_label[:, columns] = near
        alone[:, columns] = near & (near.sum(1, keepdims=True) == 1)
    branches = [{branch_of[stage] for stage in own} for own in types]
    of_branch = np.array([[branch in own for branch in classes.branches] for own in branches])
    sides = {}
    for task, codes in classes.binary.items():
        near = _nearest(types, [frozenset().union(*(stages[k] for k in side)) for side in codes])
        near &= ~near.all(1, keepdims=True)
        sides[task] = (near[:, 0], near[:, 1])
    return Speakers(of_label, of_branch, sides, alone)


def _nearest(types: Sequence[frozenset[str]], targets: Sequence[frozenset[str]]) -> np.ndarray:
    overlap = np.array([[len(own & other) / max(len(own | other), 1) for other in targets] for own in types])
    return (overlap > 0) & (overlap == overlap.max(1, keepdims=True))

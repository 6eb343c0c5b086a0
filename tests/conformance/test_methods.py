"""Every file of the plug-in folder must pass this suite; a new method is covered by being there.

Set OPBENCH_METHODS to a folder of your own methods to put them through it.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import balanced_accuracy_score

from opbench.io.store import Store
from opbench.methods import registry
from opbench.methods.interface import PROTOCOLS, Output, Task, check_output
from opbench.readouts.probes import class_scores, standardise

ROOT = Path(__file__).resolve().parents[2]
#: A user's own folder, or the worked example of docs/add-a-baseline.md, which users copy.
FOLDERS = [os.environ.get("OPBENCH_METHODS") or str(ROOT / "docs" / "examples")]
NAMES = list(registry.plugin_files(FOLDERS))
BRACKETS = {"oracle", "chance"}


def run_all(name: str, trial) -> list[Output]:
    """Run every variant; the truth is handed only to a method that declares it reads it."""
    method = registry.load(name, FOLDERS)
    if reason := method.skip(trial.task.plan):
        pytest.skip(reason)  # its own unit test covers it
    task = replace(trial.task, store=Store())  # a second run must compute, not look up
    task = replace(task, test=trial.truth) if method.reads_test_labels else task
    return [check_output(method.run(task, variant), task) for variant in method.variants(task.plan)]


class Outputs(dict):
    """Outputs by method, each run when it is first asked for."""

    def __init__(self, trial):
        self.trial = trial

    def __missing__(self, name):
        return self.setdefault(name, run_all(name, self.trial))


@pytest.fixture(scope="module")
def outputs(trial):
    return Outputs(trial)


@pytest.mark.parametrize("name", NAMES)
def test_declares_what_it_is(name, trial):
    method, said = registry.load(name, FOLDERS), registry.declared(name, FOLDERS)
    assert method.protocol in PROTOCOLS
    assert method.label
    assert method.citation
    assert said.get("protocol", "inductive") == method.protocol
    assert said.get("operator_kinds", ()) == method.operator_kinds
    if method.skip(trial.task.plan):
        return
    variants = method.variants(trial.task.plan)
    assert len(set(variants)) == len(variants) > 0


def dense(matrix):
    """An array, also of a sparse matrix, as which the identity is given."""
    return matrix.toarray() if sp.issparse(matrix) else matrix


def representation(task: Task, output: Output) -> tuple[np.ndarray, np.ndarray] | None:
    """Both sides' coordinates, given as such or as a projection of log1p."""
    if output.projection is not None:
        return tuple((cells.log1p @ dense(output.projection)) for cells in (task.train, task.test))
    return output.representation


@pytest.mark.parametrize("name", NAMES)
def test_gives_something_of_the_right_shape(name, trial, outputs):
    task = trial.task
    n_train, n_test = len(task.train.ids), len(task.test.ids)
    for output in outputs[name]:
        assert output.status in ("ok", "cap")
        sides = representation(task, output)
        assert sides is not None or output.scores or output.pseudotime is not None
        assert output.projection is None or output.representation is None
        if sides is not None:
            train, test = sides
            assert train.shape[0] == n_train
            assert train.ndim == 2
            assert test.shape == (n_test, train.shape[1])
            assert np.isfinite(train).all()
            assert np.isfinite(test).all()
            assert np.std(test, axis=0).max() > 0
        explained = np.isin(task.test.donor, [*output.problems, *output.notes])
        for values in (output.pseudotime, output.depth):
            assert values is None or (values.shape == (n_test,) and (np.isfinite(values) | explained).all())
        for key, width in (("stage", len(task.classes.labels)), ("branch", len(task.classes.branches))):
            assert key not in output.scores or output.scores[key].shape == (n_test, width)
        for key in task.classes.binary:
            assert key not in output.scores or output.scores[key].shape == (n_test,)


@pytest.mark.parametrize("name", NAMES)
def test_same_inputs_give_same_bits(name, trial, outputs):
    for first, second in zip(outputs[name], run_all(name, trial), strict=True):
        sides = (representation(trial.task, output) for output in (first, second))
        for a, b in zip(*(side or () for side in sides), strict=True):
            np.testing.assert_array_equal(a, b)
        for key in first.scores:
            np.testing.assert_array_equal(first.scores[key], second.scores[key])
        np.testing.assert_array_equal(first.pseudotime, second.pseudotime)


@pytest.mark.parametrize("name", [n for n in NAMES if registry.declared(n, FOLDERS).get("protocol") == "inductive"])
def test_inductive_methods_map_each_test_cell_alone(name, trial):
    """A test cell's coordinates and scores must not depend on which other cells are tested."""
    task, method = trial.task, registry.load(name, FOLDERS)
    variant = method.variants(task.plan)[0]
    keep = np.arange(len(task.test.ids)) % 2 == 0
    part = task.test
    half = replace(
        part, ids=part.ids[keep], log1p=part.log1p[keep], counts=part.counts[keep],
        donor=part.donor[keep], features=lambda key: part.features(key)[keep],
        all_genes=lambda: part.all_genes()[keep],
    )  # fmt: skip
    whole, alone = method.run(task, variant), registry.load(name, FOLDERS).run(replace(task, test=half), variant)
    if (sides := representation(task, whole)) is not None:
        other = representation(replace(task, test=half), alone)
        np.testing.assert_allclose(other[1], sides[1][keep], rtol=1e-4, atol=1e-4)
    assert set(alone.scores) == set(whole.scores)
    for key in whole.scores:
        np.testing.assert_allclose(alone.scores[key], whole.scores[key][keep], rtol=1e-4, atol=1e-4)


def accuracy(trial, output: Output) -> float:
    task = trial.task
    if "stage" in output.scores:
        predicted = output.scores["stage"].argmax(1)
    else:
        train, test = standardise(*representation(task, output))
        predicted = class_scores(train, task.train.label, test, len(task.classes.labels)).argmax(1)
    return balanced_accuracy_score(trial.truth.label, predicted)


# Those that run inside a donor give pseudotime alone: test_trajectory_methods.py has their floor and ceiling.
OTHERWISE = ("per-donor", "floor")
CLASSIFY = [
    n for n in NAMES if n not in BRACKETS and registry.declared(n, FOLDERS).get("protocol") not in OTHERWISE
]  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFY)
def test_beats_chance_with_labels_and_not_without(name, trial, permuted, outputs):
    assert accuracy(trial, outputs[name][0]) > 0.35  # chance is 0.2
    if not registry.load(name, FOLDERS).reads_test_labels:
        blind = run_all(name, permuted)[0]
        assert accuracy(permuted, blind) < 0.35


@pytest.mark.parametrize("name", [n for n in NAMES if registry.declared(n, FOLDERS).get("protocol") == "floor"])
def test_floors_stay_low(name, trial, outputs):
    """Depth varies a cell here whatever its label, and one number cannot tell five labels apart."""
    (output,) = outputs[name]
    assert accuracy(trial, output) < 0.45
    if (sides := representation(trial.task, output)) is not None:
        assert sides[0].shape[1] == 1


def test_the_brackets_bracket(trial, outputs):
    assert accuracy(trial, outputs["oracle"][0]) == 1
    assert abs(np.mean([accuracy(trial, o) for o in outputs["chance"]]) - 0.2) < 0.1
    positive = np.isin(trial.truth.label, [1])
    assert (outputs["oracle"][0].scores["pair"] > 0).tolist() == positive.tolist()

"""Every file of the plug-in folder must pass this suite; a new method is covered by being there."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from opbench.methods import registry
from opbench.methods.interface import PROTOCOLS, Output
from opbench.readouts.probes import class_scores, standardise

NAMES = list(registry.plugin_files())
BRACKETS = {"oracle", "chance"}


def run_all(name: str, trial) -> list[Output]:
    """Run every variant; the truth is handed only to a method that declares it reads it."""
    method = registry.load(name)
    task = replace(trial.task, test=trial.truth) if method.reads_test_labels else trial.task
    return [method.run(task, variant) for variant in method.variants(task.plan)]


@pytest.fixture(scope="module")
def outputs(trial):
    return {name: run_all(name, trial) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_declares_what_it_is(name, trial):
    method, said = registry.load(name), registry.declared(name)
    assert method.protocol in PROTOCOLS
    assert method.label
    assert method.citation
    assert said.get("protocol", "inductive") == method.protocol
    assert said.get("operator_kinds", ()) == method.operator_kinds
    assert method.skip(trial.task.plan) is None
    variants = method.variants(trial.task.plan)
    assert len(set(variants)) == len(variants) > 0


@pytest.mark.parametrize("name", NAMES)
def test_gives_something_of_the_right_shape(name, trial, outputs):
    task = trial.task
    n_train, n_test = len(task.train.ids), len(task.test.ids)
    for output in outputs[name]:
        assert output.status in ("ok", "cap")
        assert output.representation is not None or output.scores or output.pseudotime is not None
        if output.representation is not None:
            train, test = output.representation
            assert train.shape[0] == n_train
            assert test.shape == (n_test, train.shape[1])
            assert np.isfinite(train).all()
            assert np.isfinite(test).all()
            assert np.std(test, axis=0).max() > 0
        for values in (output.pseudotime, output.depth):
            assert values is None or (values.shape == (n_test,) and np.isfinite(values).all())
        for key, width in (("stage", len(task.classes.labels)), ("branch", len(task.classes.branches))):
            assert key not in output.scores or output.scores[key].shape == (n_test, width)
        for key in task.classes.binary:
            assert key not in output.scores or output.scores[key].shape == (n_test,)


@pytest.mark.parametrize("name", NAMES)
def test_same_inputs_give_same_bits(name, trial, outputs):
    for first, second in zip(outputs[name], run_all(name, trial), strict=True):
        if first.representation is not None:
            for a, b in zip(first.representation, second.representation, strict=True):
                np.testing.assert_array_equal(a, b)
        for key in first.scores:
            np.testing.assert_array_equal(first.scores[key], second.scores[key])


@pytest.mark.parametrize("name", [n for n in NAMES if registry.declared(n).get("protocol") == "inductive"])
def test_inductive_methods_map_each_test_cell_alone(name, trial):
    """A test cell's coordinates must not depend on which other cells are tested."""
    task, method = trial.task, registry.load(name)
    variant = method.variants(task.plan)[0]
    keep = np.arange(len(task.test.ids)) % 2 == 0
    part = task.test
    half = replace(
        part, ids=part.ids[keep], log1p=part.log1p[keep], counts=part.counts[keep],
        donor=part.donor[keep], features=lambda key: part.features(key)[keep],
    )  # fmt: skip
    whole = method.run(task, variant).representation[1][keep]
    alone = registry.load(name).run(replace(task, test=half), variant).representation[1]
    np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-4)


def accuracy(trial, output: Output) -> float:
    task = trial.task
    if "stage" in output.scores:
        predicted = output.scores["stage"].argmax(1)
    else:
        train, test = standardise(*output.representation)
        predicted = class_scores(train, task.train.label, test, len(task.classes.labels)).argmax(1)
    return balanced_accuracy_score(trial.truth.label, predicted)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in BRACKETS])
def test_beats_chance_with_labels_and_not_without(name, trial, permuted, outputs):
    assert accuracy(trial, outputs[name][0]) > 0.35  # chance is 0.2
    if not registry.load(name).reads_test_labels:
        blind = run_all(name, permuted)[0]
        assert accuracy(permuted, blind) < 0.35


def test_the_brackets_bracket(trial, outputs):
    assert accuracy(trial, outputs["oracle"][0]) == 1
    assert abs(np.mean([accuracy(trial, o) for o in outputs["chance"]]) - 0.2) < 0.1
    positive = np.isin(trial.truth.label, [1])
    assert (outputs["oracle"][0].scores["pair"] > 0).tolist() == positive.tolist()

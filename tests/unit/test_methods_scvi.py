"""scVI: what its encoders know of a donor, who stops the training, and what is kept of it."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from opbench.config.baselines import Baselines, ScVI
from opbench.config.model import Adaptor
from opbench.io.errors import InputError, NotApplicable
from opbench.io.store import Store
from opbench.methods import registry, scvi_fit
from opbench.methods.heads import stopping_donors
from opbench.methods.interface import Cells, Classes, Output, Plan, Task, Variant

GENES, TRAIN, TEST = 40, 150, 40
SETTINGS = ScVI(max_epochs=8, query_epochs=4, width=3)


def make_cells(n: int, donors: list[str], seed: int) -> Cells:
    rng = np.random.default_rng(seed)
    donor = np.array(donors)[np.arange(n) % len(donors)]
    rate = np.random.default_rng(0).gamma(1, 1, (3, GENES))[np.arange(n) % 3]
    counts = rng.poisson(rate * rng.gamma(4, 0.25, (len(donors), GENES))[np.arange(n) % len(donors)])
    counts[0] = 0  # a cell without counts in the panel has no size, but a latent
    x = sp.csr_matrix(counts)
    return Cells(np.arange(n).astype(str), x, x, donor, lambda name: x, None, None, None)


def make_task(settings: ScVI = SETTINGS, device: str = "cpu", donors: int = 5) -> Task:
    names = [f"d{i}" for i in range(donors)]
    plan = Plan(
        Adaptor(validation_donors=1), ("fixed",), 0, "halves", frozen=False, model="none",
        baselines=Baselines(scvi=settings), device=device,
    )  # fmt: skip
    classes = Classes((), (), np.zeros((0, 0)), {})
    return Task(make_cells(TRAIN, names, 1), make_cells(TEST, ["new", "newer"], 2), classes, 7, plan)


def held_cells(task: Task) -> np.ndarray:
    return np.isin(task.train.donor, stopping_donors(task.train.donor, 1, task.seed))


def run(name: str, task: Task) -> Output:
    method = registry.load(name)
    return method.run(task, method.variants(task.plan)[0])


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task()


@pytest.fixture(scope="module")
def recipe() -> scvi_fit.Recipe:
    return scvi_fit.Recipe(SETTINGS, "cpu", 3)


@pytest.fixture(scope="module")
def fits(task, recipe) -> dict[str, scvi_fit.Fit]:
    held = held_cells(task)
    with scvi_fit.quiet_scvi():
        cells = scvi_fit.reference_cells(task, held, 3)
        plain = scvi_fit.fit_reference(cells, held, recipe)
        return {"plain": plain, "surgery": scvi_fit.fit_reference(cells, held, recipe, **scvi_fit.FOR_SURGERY)}


@pytest.fixture(scope="module")
def outputs(task) -> dict[str, Output]:
    return {name: run(name, task) for name in ("scvi", "scvi_scarches")}


@pytest.mark.parametrize(("name", "reads_donor"), [("plain", False), ("surgery", True)])
def test_only_the_encoder_made_for_surgery_is_given_the_donor(name, reads_donor, task, fits):
    known = np.unique(fits[name].model.adata.obs["donor"])
    with scvi_fit.quiet_scvi():
        one, other = (
            scvi_fit.latent(fits[name].model, scvi_fit.as_anndata(task.test.counts, np.repeat(donor, TEST)))
            for donor in known[:2]
        )
    assert np.array_equal(one, other) != reads_donor


@pytest.mark.parametrize(("name", "moves"), [("plain", False), ("surgery", True)])
def test_surgery_moves_the_query_only_where_the_encoder_is_given_the_donor(name, moves, task, recipe, fits):
    model = fits[name].model
    query = scvi_fit.as_anndata(task.test.counts, task.test.donor)
    with scvi_fit.quiet_scvi():
        some = scvi_fit.as_anndata(task.test.counts, np.repeat(model.adata.obs["donor"].iloc[0], TEST))
        before, known = scvi_fit.latent(model, some), scvi_fit.latent(model, model.adata)
        grown = scvi_fit.operate(model, query, recipe)
        assert (np.abs(scvi_fit.latent(grown, query) - before).max() > 1e-3) == moves
        # What is already known stays where it is.
        np.testing.assert_allclose(scvi_fit.latent(grown, model.adata.copy()), known, atol=1e-5)


def test_the_two_variants_differ(outputs):
    for a, b in zip(outputs["scvi"].representation, outputs["scvi_scarches"].representation, strict=True):
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        assert np.abs(a - b).max() > 0.1


def test_whole_donors_stop_and_lend_the_decoder_no_name(task, fits):
    held = held_cells(task)
    assert 0 < held.sum() < TRAIN
    model = fits["plain"].model
    seen, stop = np.asarray(model.train_indices), np.asarray(model.validation_indices)
    assert set(task.train.donor[seen]).isdisjoint(task.train.donor[stop])
    assert sorted([*seen, *stop]) == list(range(1, TRAIN))  # the empty cell trains nothing
    assert set(stop) == set(np.flatnonzero(held)) - {0}
    assert set(model.adata.obs["donor"]) == set(task.train.donor[~held])
    assert set(model.adata.obs["donor"][held]) > {task.train.donor[seen][0]}  # not one, but random donors


def test_the_best_epoch_is_kept(task, recipe, monkeypatch):
    held, measured = held_cells(task), []
    monkeypatch.setattr(scvi_fit, "_train", overtrain(measured))
    with scvi_fit.quiet_scvi():
        fit = scvi_fit.fit_reference(scvi_fit.reference_cells(task, held, 3), held, recipe)
    assert int(fit.model.module.px_r[0].detach()) == int(np.argmin(measured))


def overtrain(measured: list[float]):
    """Stands for training: the weights count epochs, the ELBO falls, rises, and is lost."""

    class Stub:
        early_stopping_callback = type("", (), {"stopped_epoch": 4})

    def train(model, epochs, held, recipe, callbacks, **more):
        import torch

        for number, elbo in enumerate([9.0, 5.0, 7.0, float("nan")]):
            measured.append(np.nan_to_num(elbo, nan=np.inf))
            with torch.no_grad():
                model.module.px_r[0] = number
            trainer = type("", (), {"callback_metrics": {"elbo_validation": elbo}})
            callbacks[0].on_validation_end(trainer, type("", (), {"module": model.module}))
        model.module.eval()
        model.is_trained_, model.trainer = True, Stub

    return train


def test_the_cap_is_a_status_and_a_plateau_is_none(task, outputs):
    assert outputs["scvi"].status == "cap"
    assert outputs["scvi"].reason == "no plateau of the held-out ELBO within 8 epochs"
    settings = SETTINGS.model_copy(update={"max_epochs": 400, "patience": 1})
    assert (found := run("scvi", make_task(settings))).status == "ok"
    assert found.reason == ""


def test_same_inputs_same_bits_and_none_is_fitted_twice(task, outputs):
    for name, fits in (("scvi", 1), ("scvi_scarches", 2)):
        first, again, fresh = outputs[name], run(name, task), run(name, replace(task, store=Store()))
        assert (first.fits, first.reused) == (fresh.fits, fresh.reused) == (fits, 0)
        assert (again.fits, again.reused) == (0, fits)
        for other in (again, fresh):
            for a, b in zip(first.representation, other.representation, strict=True):
                np.testing.assert_array_equal(a, b)
    moved = registry.load("scvi").run(task, Variant(seed=1))
    assert (moved.fits, np.array_equal(moved.representation[1], outputs["scvi"].representation[1])) == (1, False)


def test_parameters_are_what_is_trained(outputs):
    width, hidden, donors = SETTINGS.width, 128, 4
    encoder = GENES * hidden + hidden + 2 * (hidden * width + width)
    decoder = (width + donors) * hidden + hidden + 2 * (hidden * GENES + GENES) + GENES  # mean, dropout, dispersion
    norms = 2 * 2 * hidden
    assert outputs["scvi"].parameters == encoder + decoder + norms
    # Layer normalisation has no parameters here; three donors more, and the encoder knows all seven.
    assert outputs["scvi_scarches"].parameters == encoder + decoder + (3 + 7) * hidden


def test_scarches_runs_on_the_first_splits_only(task, monkeypatch):
    monkeypatch.setattr(scvi_fit, "fit_reference", None)
    with pytest.raises(NotApplicable, match="first 0 splits"):
        run("scvi_scarches", make_task(SETTINGS.model_copy(update={"scarches_splits": 0})))


def test_what_cannot_be_done_is_said(monkeypatch):
    with pytest.raises(NotApplicable, match="two training donors"):
        run("scvi", make_task(donors=1))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"model\.device: 'cuda' asks for a GPU"):
        run("scvi", make_task(device="cuda"))


@pytest.mark.parametrize("name", ["scvi", "scvi_scarches"])
def test_a_fit_keeps_no_cells(name, task, monkeypatch):
    make, tables = scvi_fit.as_anndata, []

    def made(counts: sp.csr_matrix, donor: np.ndarray):
        tables.append(weakref.ref(table := make(counts, donor)))
        return table

    monkeypatch.setattr(scvi_fit, "as_anndata", made)
    run(name, replace(task, store=Store()))
    gc.collect()
    assert len(tables) == 2
    assert all(table() is None for table in tables)


def test_a_fit_says_nothing_and_leaves_nothing(tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    run("scvi_scarches", make_task())
    run("scvi", make_task(SETTINGS.model_copy(update={"max_epochs": 30, "patience": 1})))
    captured = capfd.readouterr()
    assert (captured.out, captured.err, list(tmp_path.iterdir()), list(recwarn)) == ("", "", [], [])

"""Fitting scVI (Lopez et al. 2018, Nat Methods 15:1053) on training donors, and encoding donors it has not seen.

An scVI model has a fixed list of batches, here donors. Two ways are honest with an unseen donor: an encoder that is
not given the batch, which is scvi-tools' default, or scArches surgery (Lotfollahi et al. 2022, Nat Biotechnol 40:121),
which adds the donor to the list and fits its offsets on its cells, without labels. With the default encoder surgery
changes no latent (scvi-tools issue 2331), so the second way is another model, whose encoder is given the batch.
"""

import io
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from opbench.config.baselines import ScVI
from opbench.io.errors import NotApplicable
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.store import Arrays, digest
from opbench.methods.heads import stopping_donors
from opbench.methods.interface import Output, Task, Variant

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch import LightningModule, Trainer
    from scvi.model import SCVI

#: Epochs in which the weight of the KL term rises to 1, at most half of the cap. scvi-tools takes 400, its number of
#: epochs when nothing stops them; stopped at epoch 13 to 60, such a model has hardly met the term. Lowest held-out ELBO
#: on marrow splits 0, 1, 2 (nats a cell, negated): 238.7, 211.4, 221.9 with 400; 232.8, 205.0, 214.0 with 50;
#: 232.8, 203.3, 213.2 with 20; 233.4, 203.6, 213.7 with 10; 233.7, 204.3, 214.2 with none.
KL_WARMUP = 20
#: scvi-tools' default. Larger batches make epochs up to a quarter quicker, but more are needed. Marrow splits 0 and 1,
#: held-out ELBO and processor time of a fit on one thread: 232.8, 203.3 in 25, 24 s; with 256 cells 233.3, 203.6 in 29,
#: 24 s; with 512 234.2, 204.0 in 43, 38 s; with 64, and a warm-up of 10, 232.8, 203.5 in 26, 29 s.
BATCH = 128
#: What surgery needs (scvi-tools' tutorial of reference mapping; decision 22).
FOR_SURGERY = {"encode_covariates": True, "use_layer_norm": "both", "use_batch_norm": "none"}
#: Modules that are made but unused: library sizes are observed, and a gene has one dispersion in all cells.
UNUSED = ("l_encoder.", "decoder.px_r_decoder.")
#: Cells encoded at once.
BLOCK = 4096


@dataclass(frozen=True)
class Recipe:
    """How to fit; `accelerator` is Lightning's name of the device."""

    settings: ScVI
    accelerator: str
    seed: int


@dataclass(frozen=True)
class Fit:
    """A model at the epoch where the held-out ELBO was lowest; `capped` where no plateau came."""

    model: "SCVI"
    epochs: int
    capped: bool


def scvi_output(task: Task, variant: Variant, surgery: bool) -> Output:
    """Latent means (n, width) of training and test cells; with `surgery`, donors that are held out are mapped.

    Whole training donors stop the training (decision 14), and are then encoded as test donors are.
    Raises InputError when the plan asks for a GPU and there is none, NotApplicable with a single training donor.
    """
    from opbench.models.device import choose_device

    settings, device = task.plan.baselines.scvi, choose_device(task.plan.device).type
    donor = task.train.donor.astype(str)
    held = np.isin(donor, stopping_donors(donor, task.plan.adaptor.validation_donors, task.seed))
    if held.all():
        raise NotApplicable("scVI needs two training donors, because one is held out to stop on")
    seed = derive_seed(variant.seed, task.seed, "scvi")
    recipe = Recipe(settings, "gpu" if device == "cuda" else "cpu", seed)

    def compute() -> Arrays:
        with quiet_scvi():
            return (_mapped if surgery else _encoded)(task, held, recipe)

    code = (version("scvi-tools"), version("torch"), Path(__file__).read_bytes(), device)
    cells = (task.train.counts, donor, held, task.test.counts, task.test.donor.astype(str))
    began, before = time.perf_counter(), task.store.computed
    found = task.store.get(digest("scvi", *code, settings.model_dump(), surgery, seed, *cells), compute)
    new, fits, capped = task.store.computed > before, int(found["fits"]), bool(found["capped"])
    return Output(
        representation=(found["train"], found["test"]),
        parameters=int(found["parameters"]),
        fits=fits if new else 0,
        reused=0 if new else fits,
        gpu_s=time.perf_counter() - began if new and device == "cuda" else 0.0,
        status="cap" if capped else "ok",
        reason=f"no plateau of the held-out ELBO within {found['epochs']} epochs" if capped else "",
    )


@contextmanager
def quiet_scvi() -> Iterator[None]:
    """Keep scvi-tools silent, and on one thread: the order of summation must not depend on the machine."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # early stopping prints its reason
        warnings.simplefilter("ignore")
        import scvi
        import torch

        scvi.settings.verbosity = logging.ERROR
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.simplefilter("ignore")  # again, because imports add filters of their own
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _encoded(task: Task, held: np.ndarray, recipe: Recipe) -> Arrays:
    """Latents by the encoder that is not given the donor; test cells bear a training donor's name, which is unread."""
    reference = reference_cells(task, held, recipe.seed)
    fit = fit_reference(reference, held, recipe)
    test = as_anndata(task.test.counts, np.repeat(reference.obs["donor"].iloc[0], len(task.test.ids)))
    z, z_test = latent(fit.model, reference), latent(fit.model, test)
    fit.model.deregister_manager()  # of the test cells
    forget(fit.model)
    return _arrays(fit, fit.model, z, z_test, fits=1)


def _mapped(task: Task, held: np.ndarray, recipe: Recipe) -> Arrays:
    """Latents by scArches: stopping and test donors together are the query, with offsets for each donor."""
    reference = reference_cells(task, held, recipe.seed)
    fit = fit_reference(reference, held, recipe, **FOR_SURGERY)
    counts = sp.vstack([task.train.counts[held], task.test.counts], format="csr")
    query = as_anndata(counts, np.concatenate([task.train.donor[held], task.test.donor]))
    model = operate(fit.model, query, recipe)
    z, mapped = latent(fit.model, reference), latent(model, query)
    z[held] = mapped[: held.sum()]
    forget(model)
    forget(fit.model)
    return _arrays(fit, model, z, mapped[held.sum() :], fits=2)


def _arrays(fit: Fit, model: "SCVI", train: np.ndarray, test: np.ndarray, fits: int) -> Arrays:
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise FloatingPointError("scVI's latent is not finite")
    numbers = sum(p.numel() for name, p in model.module.named_parameters() if not name.startswith(UNUSED))
    about = {"parameters": numbers, "epochs": fit.epochs, "capped": fit.capped, "fits": fits}
    return {"train": train, "test": test} | {name: np.array(value) for name, value in about.items()}


def as_anndata(counts: sp.csr_matrix, donor: np.ndarray) -> "AnnData":
    """Counts (n, G) with each cell's donor (n,); all tables of a task have the same genes in the same order."""
    from anndata import AnnData
    from pandas import DataFrame

    n, genes = counts.shape
    obs = DataFrame({"donor": donor.astype(str)}, index=np.arange(n).astype(str))
    return AnnData(counts.astype(np.float32), obs=obs, var=DataFrame(index=np.arange(genes).astype(str)))


def reference_cells(task: Task, held: np.ndarray, seed: int) -> "AnnData":
    """Training cells, those of stopping donors under the names of random donors among the others.

    The decoder learns nothing of a stopping donor, so its held-out ELBO is averaged over the donors that were learnt.
    """
    donor = task.train.donor.astype(str)
    donor[held] = keyed_rng(seed, "held-donors").choice(np.unique(donor[~held]), held.sum())
    return as_anndata(task.train.counts, donor)


def fit_reference(cells: "AnnData", held: np.ndarray, recipe: Recipe, **architecture: Any) -> Fit:
    """Train on the cells that are not `held` (n,), stopping by the ELBO of those that are.

    The cap is scvi-tools' own number of epochs for so many cells, or `max_epochs` where that is less.
    """
    import scvi
    from lightning.pytorch.callbacks import LambdaCallback
    from scvi.model import SCVI
    from scvi.model._utils import get_max_epochs_heuristic

    cap = min(recipe.settings.max_epochs, get_max_epochs_heuristic(cells.n_obs))
    warmup = min(KL_WARMUP, cap // 2)
    scvi.settings.seed = recipe.seed % 2**32
    SCVI.setup_anndata(cells, batch_key="donor")
    model = SCVI(cells, n_latent=recipe.settings.width, **architecture)
    best: dict[str, Any] = {"elbo": np.inf}

    def keep_best(trainer: "Trainer", plan: "LightningModule") -> None:
        elbo = float(trainer.callback_metrics["elbo_validation"])
        if elbo < best["elbo"]:
            best.update(elbo=elbo, weights={name: x.clone() for name, x in plan.module.state_dict().items()})

    _train(
        model,
        cap,
        held,
        recipe,
        early_stopping=True,
        early_stopping_monitor="elbo_validation",
        early_stopping_patience=recipe.settings.patience,
        early_stopping_warmup_epochs=warmup,
        check_val_every_n_epoch=1,
        callbacks=[LambdaCallback(on_validation_end=keep_best)],
        plan_kwargs={"n_epochs_kl_warmup": warmup},
    )
    if "weights" not in best:
        raise FloatingPointError("scVI's held-out ELBO was never finite")
    model.module.load_state_dict(best["weights"])
    return Fit(model, cap, model.trainer.early_stopping_callback.stopped_epoch == 0)


def operate(model: "SCVI", query: "AnnData", recipe: Recipe) -> "SCVI":
    """A copy of a model with the donors of `query` added and their offsets fitted; nothing else changes.

    Hence no weight decay, and the full weight of the KL term from the start.
    """
    import scvi
    from scvi.model import SCVI

    scvi.settings.seed = derive_seed(recipe.seed, "surgery") % 2**32
    SCVI.prepare_query_anndata(query, model)
    grown = SCVI.load_query_data(query, model, accelerator=recipe.accelerator)
    plan = {"weight_decay": 0.0, "n_epochs_kl_warmup": None}
    _train(grown, recipe.settings.query_epochs, np.zeros(query.n_obs, dtype=bool), recipe, plan_kwargs=plan)
    return grown


def _train(model: "SCVI", epochs: int, held: np.ndarray, recipe: Recipe, **more: Any) -> None:
    empty = np.asarray(model.adata.X.sum(1)).ravel() == 0  # the logarithm of their size is not finite
    parts = [np.flatnonzero(~held & ~empty), np.flatnonzero(held & ~empty), np.flatnonzero(empty)]
    batch = min(BATCH, len(parts[0]))
    model.train(
        max_epochs=epochs,
        accelerator=recipe.accelerator,
        devices=1,
        batch_size=batch,
        # Batch normalisation fails on a batch of one cell; scvi-tools warns of fewer than three.
        datasplitter_kwargs={"external_indexing": parts, "drop_last": len(parts[0]) % batch in (1, 2)},
        enable_progress_bar=False,
        logger=False,
        enable_checkpointing=False,
        **more,
    )


def latent(model: "SCVI", cells: "AnnData") -> np.ndarray:
    """Means of the approximate posterior, float32 (n, width)."""
    return model.get_latent_representation(cells, batch_size=BLOCK).astype(np.float32)


def forget(model: "SCVI") -> None:
    """Let go of a model's own cells; scvi-tools' classes would keep them until the process ends."""
    model.deregister_manager(model.adata)

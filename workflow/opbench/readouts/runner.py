"""Runs one method's variants over splits, reusing what equal inputs have given, and keeps account of the cost."""

import logging
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd

from opbench.io.errors import NotApplicable
from opbench.io.labels import method_labels
from opbench.io.store import SECONDS, Arrays, Store, digest
from opbench.io.tables import COSTS, LATENT, SCORES
from opbench.methods.interface import Method, Output, Plan, Task, Variant, check_output
from opbench.readouts.panel_data import PanelData
from opbench.readouts.probes import Probed
from opbench.readouts.scoring import Score, Scorer, SplitTruth
from opbench.splits.views import SplitView

log = logging.getLogger("opbench.run_method")
#: Statuses of a split, the later the worse.
SEVERITY = ("not_applicable", "ok", "cap", "oom", "failed")
#: Wider representations are not drawn as a latent.
MAX_LATENT_WIDTH = 50
#: Training cells drawn beside the test cells in the latent view.
LATENT_TRAIN_CELLS = 2000


@dataclass(frozen=True)
class View:
    """A split with the positions of its cells."""

    split: SplitView
    truth: SplitTruth


@dataclass(frozen=True)
class Gap:
    """Why a method gives nothing: a status and its reason."""

    status: str
    reason: str

    @classmethod
    def of(cls, error: Exception) -> "Gap":
        """Status of an exception; PyTorch reports a failed allocation as a RuntimeError."""
        if isinstance(error, NotApplicable):
            return cls("not_applicable", str(error))
        text = str(error)
        oom = isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text
        return cls("oom" if oom else "failed", f"{type(error).__name__}: {error}".splitlines()[0][:200])


@dataclass
class Cost:
    """Account of one variant, summed over the splits that gave something.

    saved_s: what the reused results took when they were computed. `status` is the worst of any split; that some are
    not applicable counts only when all are.
    """

    splits: int = 0
    fits: int = 0
    probes: int = 0
    reused: int = 0
    wall_s: float = 0.0
    saved_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    parameters: int = 0
    status: str = "not_applicable"

    def add_status(self, status: str) -> None:
        """Take a split's status into account."""
        self.status = max(self.status, status, key=SEVERITY.index)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time of a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s += time.perf_counter() - wall
            self.cpu_s += time.process_time() - cpu


@dataclass
class Runner:
    """One method on a panel. `source` stands for all code that its results depend on."""

    method: Method
    plan: Plan
    data: PanelData
    scorer: Scorer
    store: Store
    source: str
    costs: dict[Variant, Cost] = field(default_factory=dict)
    records: list[dict] = field(default_factory=list)
    latents: list[pd.DataFrame] = field(default_factory=list)

    def run(self, variant: Variant, views: Sequence[View], gap: Gap | None) -> None:
        """Run and score a variant on its splits; what the store holds is taken from there."""
        cost = self.costs.setdefault(variant, Cost())
        with cost.timed():
            outcomes: dict[int, list[Score] | Gap] = {}
            missing = []
            for view in views:
                if gap:
                    outcomes[view.split.index] = gap
                elif kept := self.store.find(self._key(variant, view)):
                    outcomes[view.split.index] = self._recall(kept, variant, view, cost)
                else:
                    missing.append(view)
            if missing:
                outcomes |= self._compute(variant, missing, cost)
            for view in views:
                found = outcomes[view.split.index]
                if not isinstance(found, Gap):
                    cost.splits += 1
                    cost.add_status("cap" if any(score.status == "cap" for score in found) else "ok")
                else:
                    cost.add_status(found.status)
                    found = self.scorer.unavailable(view.truth, found.status, found.reason)
                self.records += [self._record(view, variant, score) for score in found]

    def _compute(self, variant: Variant, views: Sequence[View], cost: Cost) -> dict[int, list[Score] | Gap]:
        """Run the method split by split, probe all outputs together, score and store them."""
        outcomes: dict[int, list[Score] | Gap] = {}
        done: list[tuple[View, Output, float]] = []
        for number, view in enumerate(views, 1):
            start, saved = time.perf_counter(), self.store.saved_s
            try:
                task = self._task(view)
                output = check_output(self.method.run(task, variant), task)
                saved = self.store.saved_s - saved
                cost.saved_s += saved
                done.append((view, output, time.perf_counter() - start + saved))
                log.info("split %d (%d of %d): ran", view.split.index, number, len(views))
            except Exception as error:
                outcomes[view.split.index] = self._failed(error, view)
        start = time.perf_counter()
        probed = self._probe(done)
        each = (time.perf_counter() - start) / max(1, len(done))
        for (view, output, seconds), found in zip(done, probed, strict=True):
            try:
                outcomes[view.split.index] = (
                    found if isinstance(found, Gap)
                    else self._finish(variant, view, output, found, seconds + each, cost)
                )  # fmt: skip
            except Exception as error:
                outcomes[view.split.index] = self._failed(error, view)
        return outcomes

    def _probe(self, done: Sequence[tuple[View, Output, float]]) -> list[Probed | Gap]:
        """Probes of all outputs, together; one by one when that breaks, so that one split takes no other with it."""
        try:
            return [*self.scorer.probe([output for _, output, _ in done], [view.truth for view, _, _ in done])]
        except Exception as error:
            if len(done) == 1:
                return [self._failed(error, done[0][0])]
            return [found for item in done for found in self._probe([item])]

    def _failed(self, error: Exception, view: View) -> Gap:
        # A failed method is typed rows and the campaign goes on; the traceback is in the job's log.
        if not isinstance(error, NotApplicable):
            log.error("method failed on split %d", view.split.index, exc_info=error)
        return Gap.of(error)

    def _finish(
        self, variant: Variant, view: View, output: Output, probed: Probed, seconds: float, cost: Cost
    ) -> list[Score]:
        start = time.perf_counter()
        scores = self.scorer.score(output, view.truth, probed)
        probes = len(probed.scores) + (probed.depth is not None)
        cost.fits += output.fits
        cost.probes += probes
        cost.reused += output.reused
        cost.gpu_s += output.gpu_s
        cost.parameters = output.parameters
        kept = _pack(scores, fits=output.fits + output.reused + probes, parameters=output.parameters)
        if view.split.index == 0 and variant.draw <= 0:
            kept |= self._latent(output, view.truth)
            self._show(kept, variant, view.truth)
        kept[SECONDS] = np.array(seconds + time.perf_counter() - start)
        self.store.put(self._key(variant, view), kept)
        return scores

    def _recall(self, kept: Arrays, variant: Variant, view: View, cost: Cost) -> list[Score]:
        cost.reused += int(kept["fits"])
        cost.saved_s += float(kept[SECONDS])
        cost.parameters = int(kept["parameters"])
        self._show(kept, variant, view.truth)
        return _unpack(kept)

    def _task(self, view: View) -> Task:
        data, truth = self.data, view.truth
        train = data.cells(truth.train, with_truth=self.method.needs_labels)
        test = data.cells(truth.test, with_truth=self.method.reads_test_labels)
        starts = truth.roots if self.method.uses_start_cell else {}
        names = (data.genes, data.all_genes)
        return Task(
            train, test, data.classes, view.split.seed, self.plan, starts, *names, self.store, view.split.index,
            data.projection,
        )  # fmt: skip

    def _key(self, variant: Variant, view: View) -> str:
        """Address of a variant's scores on a split: everything they depend on, by content."""
        data, truth = self.data, view.truth
        starts = sorted(truth.roots.items())
        latent = view.split.index == 0 and variant.draw <= 0
        # How many draws, budgets and seeds a campaign has does not change any one of them.
        plan = replace(self.plan, budgets=(), gaussian_draws=0, seeds=1, controls={})
        own = (
            self.source,
            type(self.method).__qualname__,
            plan,
            variant,
            view.split.seed,
            starts,
            truth.donors,
            latent,
            self._everywhere,
        )
        features = data.features_digest(variant.operator) if variant.operator else self._features
        return digest(*own, features, truth.train, truth.test)

    @cached_property
    def _everywhere(self) -> str:
        """Digest of what all splits share: cells, genes, classes and what is scored."""
        data, campaign = self.data, self.scorer.campaign
        table = data.obs[["donor", "label", "branch", "depth"]]
        cells = (data.obs.index.to_numpy(), *(table[name].to_numpy() for name in table))
        classes = (
            data.classes.labels, data.classes.branches, sorted(data.classes.binary.items()),
            [sorted(stages) for stages in data.classes.stages], sorted(data.classes.branch_of.items()),
        )  # fmt: skip
        scored = (self.scorer.settings, self.scorer.draws, campaign.pseudotime, campaign.seed)
        matrices = [data.log1p, data.counts, *([] if data.all_log1p is None else [data.all_log1p])]
        ruler = (data.classes.ruler, data.compatible)
        return digest(data.genes, data.all_genes, *cells, *matrices, repr(classes), *ruler, *scored, _versions())

    @cached_property
    def _features(self) -> str:
        names = sorted({*self.data.features, *self.data.operators})
        return digest(*(self.data.features_digest(name) for name in names))

    def _record(self, view: View, variant: Variant, score: Score) -> dict:
        zero_shot = self.plan.frozen and self.method.protocol == "inductive"
        return {
            "split": view.split.index,
            "protocol": "zero-shot" if zero_shot else self.method.protocol,
            "model": self.plan.model if self.method.operator_kinds else "",
            "leaking": self.method.protocol == "leaking",
            **variant.__dict__,
            **score.__dict__,
        }

    def score_table(self, about: dict[str, str], splits: pd.DataFrame) -> pd.DataFrame:
        """Score rows joined with each test donor's condition and pre-training overlap."""
        keys = ["split", "donor"]
        test = splits.loc[splits["role"] == "test", [*keys, "condition", "pretraining_overlap"]]
        names = [n for n in SCORES.names if n not in test.columns[2:]]
        frame = pd.DataFrame(self.records).assign(**about)[names]
        return frame.merge(test, on=keys, how="left", validate="many_to_one")[SCORES.names]

    def cost_table(self, about: dict[str, str | int]) -> pd.DataFrame:
        """One row per variant; peak memory is the whole job's."""
        common = about | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        rows_ = [
            common | {"arm": v.arm, "budget": v.budget, "draw": v.draw} | cost.__dict__
            for v, cost in self.costs.items()
        ]
        return pd.DataFrame(rows_)[COSTS.names]

    def _latent(self, output: Output, truth: SplitTruth) -> Arrays:
        """First three principal axes of a narrow representation, for both sides of a split."""
        if output.representation is None or output.representation[0].shape[1] > MAX_LATENT_WIDTH:
            return {}
        train, test = output.representation
        centre = train.mean(0)
        axes = np.linalg.svd(train - centre, full_matrices=False)[2][:3]
        out = {}
        for role, side in (("train", train[:: _step(train)]), ("test", test)):
            xyz = np.zeros((len(side), 3))
            xyz[:, : len(axes)] = (side - centre) @ axes.T
            out[f"latent_{role}"] = xyz
        return out

    def _show(self, kept: Arrays, variant: Variant, truth: SplitTruth) -> None:
        if "latent_test" not in kept:
            return
        for role, positions in (("train", truth.train[:: _step(truth.train)]), ("test", truth.test)):
            obs, xyz = self.data.obs.iloc[positions], kept[f"latent_{role}"]
            columns = obs[["donor", "condition", "label", "branch", "depth"]].reset_index(drop=True)
            frame = columns.assign(
                arm=variant.arm, budget=variant.budget, role=role, cell_id=obs.index.to_numpy(),
                x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2],
            )  # fmt: skip
            self.latents.append(frame)

    def latent_table(self, about: dict[str, str]) -> pd.DataFrame:
        """The latent view of split 0, or an empty table."""
        if not self.latents:
            return LATENT.empty_table().to_pandas()
        frame = pd.concat(self.latents, ignore_index=True).assign(**about, split=0)
        frame["method"] = method_labels(frame)
        # Of several adaptor seeds the first is shown.
        return frame.drop_duplicates(["method", "role", "cell_id"], ignore_index=True)[LATENT.names]


def _versions() -> list[str]:
    """Versions of the libraries that scores come from."""
    names = ("numpy", "scipy", "scikit-learn", "scanpy", "torch", "scvi-tools", "palantir", "celltypist")
    found = []
    for name in names:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def _step(cells: np.ndarray) -> int:
    return max(1, -(-len(cells) // LATENT_TRAIN_CELLS))


def _pack(scores: list[Score], **about: int) -> Arrays:
    columns = pd.DataFrame([score.__dict__ for score in scores])
    text = {name: columns[name].to_numpy(str) for name in ("donor", "endpoint", "status", "reason")}
    return (
        text
        | {"value": columns["value"].to_numpy(float), "n": columns["n"].to_numpy(int)}
        | {name: np.array(value) for name, value in about.items()}
    )


def _unpack(kept: Arrays) -> list[Score]:
    names = ("donor", "endpoint", "value", "n", "status", "reason")
    return [Score(*row) for row in zip(*(kept[name].tolist() for name in names), strict=True)]

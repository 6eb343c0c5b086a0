"""The runner: equal inputs are computed once, failures are rows, and reuse is accounted for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from opbench.config.baselines import DPT, Baselines, ScVI
from opbench.config.benchmark import Campaign, Endpoints
from opbench.config.model import Adaptor
from opbench.io.errors import NotApplicable
from opbench.io.store import Store
from opbench.methods.interface import Classes, Method, Output, Plan, Variant
from opbench.readouts.panel_data import PanelData
from opbench.readouts.runner import Runner, View
from opbench.readouts.scoring import Scorer, SplitTruth
from opbench.splits.views import SplitView, rows

N, GENES, LABELS = 240, 20, 4
ABOUT = {"run": "r", "panel": "p", "campaign": "c", "method": "m"}
PLAN = Plan(Adaptor(), ("fixed",), 0, "halves", frozen=False, model="none")
CAMPAIGN = Campaign(panel="p", design="leave_one_donor_out", train="d", test="d", splits=4)


class Counting(Method):
    """A projection that counts its runs."""

    def __init__(self):
        self.runs = 0

    def run(self, task, variant):
        self.runs += 1
        return Output(projection=np.random.default_rng(variant.draw).normal(size=(GENES, 5)).astype(np.float32))


class Failing(Counting):
    """Fails on one donor, cannot do another."""

    def run(self, task, variant):
        if "d1" in task.test.donor:
            raise RuntimeError("no luck\nwith this")
        if "d2" in task.test.donor:
            raise NotApplicable("nothing to do")
        return super().run(task, variant)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    label = rng.integers(0, LABELS, N)
    counts = sp.csr_matrix(rng.poisson(np.exp(rng.normal(0, 1, (LABELS, GENES)))[label]).astype(np.int32))
    obs = pd.DataFrame(
        {"dataset": "d", "donor": [f"d{i % 4}" for i in range(N)], "label": label.astype(str), "condition": "healthy",
         "branch": np.where(label < 2, "a", "b"), "depth": label.astype(float)},
        index=[f"d:c{i}" for i in range(N)],
    )  # fmt: skip
    ruler = np.abs(np.subtract.outer(range(LABELS), range(LABELS))).astype(float)
    classes = Classes(tuple("0123"), ("a", "b"), ruler, {"pair": (frozenset({1}), frozenset({0}))})
    log1p = sp.csr_matrix(counts, dtype=np.float32).log1p()
    same = np.eye(LABELS, dtype=bool)
    return PanelData(obs, log1p, counts, classes, label, (label >= 2).astype(int), same, genes=tuple("x" * GENES))


def views_of(data, seed=0):
    out = []
    for i in range(4):
        others = tuple(f"d{j}" for j in range(4) if j != i)
        view = SplitView(i, seed, others, (f"d{i}",), "d", "d")
        first = data.obs.index[(data.obs["donor"] == f"d{i}").to_numpy()][0]
        out.append(View(view, SplitTruth(*rows(data.obs, view), (f"d{i}",), {f"d{i}": first})))
    return out


def runner(data, method, store, campaign=CAMPAIGN, source="code"):
    return Runner(method, PLAN, data, Scorer(data, campaign, Endpoints(nulls=19), 19), store, source)


def splits_of(views):
    return pd.DataFrame(
        [{"split": v.split.index, "donor": d, "role": "test", "condition": "healthy", "pretraining_overlap": False}
         for v in views for d in v.split.test_donors]
    )  # fmt: skip


FIRST = Variant(draw=0)


def run(data, method, store, views, variant=FIRST, **changes):
    made = runner(data, method, store, **changes)
    made.run(variant, views, None)
    return made.score_table(ABOUT, splits_of(views)), made.cost_table(ABOUT | {"chunk": 0}).iloc[0], made


def test_a_second_job_computes_nothing_and_writes_the_same(data, tmp_path):
    views = views_of(data)
    first, second = Counting(), Counting()
    scores, cost, made = run(data, first, Store(tmp_path), views)
    again, reused, other = run(data, second, Store(tmp_path), views)
    pd.testing.assert_frame_equal(scores, again)
    pd.testing.assert_frame_equal(made.latent_table(ABOUT), other.latent_table(ABOUT))
    assert (first.runs, second.runs) == (4, 0)
    # Three tasks and the depth of four splits.
    assert (cost["fits"], cost["probes"], cost["reused"]) == (4, 16, 0)
    assert (reused["fits"], reused["probes"], reused["reused"]) == (0, 0, 20)
    assert reused["wall_s"] < reused["saved_s"]
    assert scores["status"].isin(["ok", "not_applicable"]).all()
    assert scores.loc[scores["endpoint"] == "stage_balanced_accuracy", "value"].notna().all()


def test_more_splits_cost_only_the_new_ones_whatever_their_company(data, tmp_path):
    views, method = views_of(data), Counting()
    run(data, method, Store(tmp_path), views[:2])
    whole, _, _ = run(data, method, Store(tmp_path), views)
    assert method.runs == 4
    alone, _, _ = run(data, Counting(), Store(), views)
    np.testing.assert_allclose(whole["value"], alone["value"], atol=2e-3)


@pytest.mark.parametrize("what", ["seed", "variant", "source", "cells", "endpoints"])
def test_what_a_score_depends_on_is_in_its_address(data, tmp_path, what):
    views, method, store = views_of(data), Counting(), Store(tmp_path)
    run(data, method, store, views)
    other, changes = data, {}
    if what == "seed":
        views = views_of(data, seed=1)
    elif what == "variant":
        changes["variant"] = Variant(draw=1)
    elif what == "source":
        changes["source"] = "other code"
    elif what == "cells":
        depth = data.obs.assign(depth=data.obs["depth"] + 1)
        other = replace(data, obs=depth)
    else:
        changes["campaign"] = CAMPAIGN.model_copy(update={"pseudotime": False})
    run(other, method, store, views, **changes)
    assert method.runs == 8


def test_a_failure_is_typed_rows_of_its_split_and_is_tried_again(data, tmp_path):
    views, method = views_of(data), Failing()
    scores, cost, _ = run(data, method, Store(tmp_path), views)
    by_donor = scores.groupby("donor")[["status", "reason"]].agg(set)
    assert by_donor.loc["d1", "status"] == {"failed"}
    assert by_donor.loc["d1", "reason"] == {"RuntimeError: no luck"}
    assert by_donor.loc["d2", "status"] == {"not_applicable"}
    assert by_donor.loc["d2", "reason"] == {"nothing to do"}
    assert "ok" in by_donor.loc["d0", "status"] & by_donor.loc["d3", "status"]
    assert (cost["status"], cost["splits"]) == ("failed", 2)
    mended, _, _ = run(data, Counting(), Store(tmp_path), views)
    assert (mended["status"] != "failed").all()


class Diverging(Counting):
    """On one donor its training coordinates, or its scores, are not numbers."""

    def __init__(self, scored):
        super().__init__()
        self.scored = scored

    def run(self, task, variant):
        output = super().run(task, variant)
        sides = [np.asarray(cells.log1p @ output.projection) for cells in (task.train, task.test)]
        scores = {"stage": np.zeros((len(task.test.ids), LABELS))} if self.scored else {}
        if "d1" in task.test.donor:
            (scores["stage"] if self.scored else sides[0])[0, 0] = np.nan
        return Output(representation=tuple(sides), scores=scores)


@pytest.mark.parametrize("scored", [True, False])
def test_what_is_no_number_fails_its_split_and_no_other(data, tmp_path, scored):
    scores, _, _ = run(data, Diverging(scored), Store(tmp_path), views_of(data))
    failed = scores["status"] == "failed"
    assert set(scores.loc[failed, "donor"]) == {"d1"}
    assert scores.loc[scores["donor"] == "d1", "status"].eq("failed").all()


def test_a_probe_that_breaks_takes_no_other_split_with_it(data, tmp_path, monkeypatch):
    views, made = views_of(data), runner(data, Counting(), Store(tmp_path))
    probe = made.scorer.probe

    def breaks(outputs, splits):
        if any("d1" in split.donors for split in splits):
            raise FloatingPointError("planted")
        return probe(outputs, splits)

    monkeypatch.setattr(made.scorer, "probe", breaks)
    made.run(FIRST, views, None)
    scores = made.score_table(ABOUT, splits_of(views))
    assert set(scores.loc[scores["status"] == "failed", "donor"]) == {"d1"}


def test_a_probe_that_has_not_converged_is_no_ok(data, tmp_path, monkeypatch):
    monkeypatch.setattr("opbench.readouts.logistic.MAX_ITERATIONS", 2)
    scores, cost, _ = run(data, Counting(), Store(tmp_path), views_of(data))
    probed = scores[scores["endpoint"].str.contains("accuracy|macro|auroc") & scores["value"].notna()]
    assert probed["status"].eq("cap").all()
    assert probed["reason"].str.startswith("probe not converged").all()
    assert cost["status"] == "cap"


class Tuned(Counting):
    """Reads one section of the configuration."""

    settings = ("baselines.dpt",)

    def run(self, task, variant):
        assert task.plan.baselines.dpt.components
        return super().run(task, variant)


def test_a_method_s_results_hang_on_the_settings_it_declares_and_no_others(data, tmp_path):
    views, method = views_of(data), Tuned()

    def go(**sections):
        made = runner(data, method, Store(tmp_path))
        made.plan = replace(PLAN, baselines=Baselines(**sections)).shown_to(method)
        made.run(FIRST, views, None)
        return method.runs

    assert go() == 4
    assert go(scvi=ScVI(max_epochs=7)) == 4
    assert go(dpt=DPT(components=9)) == 8


def test_more_draws_seeds_and_controls_compute_no_variant_again(data, tmp_path):
    views, method = views_of(data), Counting()
    for changes in ({}, {"seeds": 4}, {"controls": {"shuffle": 9}}, {"gaussian_draws": 7, "budgets": ("plateau",)}):
        made = runner(data, method, Store(tmp_path))
        made.plan = replace(PLAN, **changes)
        made.run(FIRST, views, None)
        assert method.runs == 4


class Narrow(Counting):
    """A representation that the latent view draws."""

    def run(self, task, variant):
        rng = np.random.default_rng(variant.seed)
        return Output(representation=tuple(rng.normal(size=(len(c.ids), 3)) for c in (task.train, task.test)))


def test_of_several_seeds_the_first_is_drawn(data):
    views, method = views_of(data), Narrow()
    alone = runner(data, method, Store())
    alone.run(Variant(arm="real"), views[:1], None)
    both = runner(data, method, Store())
    for seed in (0, 1):
        both.run(Variant(arm="real", seed=seed), views[:1], None)
    assert len(alone.latent_table(ABOUT))
    pd.testing.assert_frame_equal(alone.latent_table(ABOUT), both.latent_table(ABOUT))
    assert set(both.score_table(ABOUT, splits_of(views))["seed"]) == {0, 1}


def test_reading_what_is_not_declared_says_what_to_write():
    plan = PLAN.shown_to(Counting())
    with pytest.raises(AttributeError, match=r"write 'baselines\.scvi' into the method's 'settings'"):
        getattr(plan.baselines.scvi, "width")  # noqa: B009
    with pytest.raises(AttributeError, match="write 'adaptor'"):
        getattr(plan.adaptor, "width")  # noqa: B009

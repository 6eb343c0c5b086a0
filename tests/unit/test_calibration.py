"""The calibration's own judge: closed-form heads, exchangeable cases, planted leads, and rates."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from opbench.calibration import closed_form, end_to_end, heads, plant
from opbench.calibration.campaigns import FOLDS, GROUP, Campaign, Scored, View
from opbench.calibration.cases import FIXED, NULLS, RANDOM, Case, blind, planted, real_operator
from opbench.calibration.collect import rates
from opbench.calibration.referees import TESTS, ahead, judge
from opbench.calibration.world import CLASSES, GENES, NEGATIVE, POSITIVE, draw_world
from opbench.config.benchmark import Statistics
from opbench.config.evidence import Calibration, Evidence
from opbench.io.errors import InputError
from opbench.io.tables import CALIBRATION, SCORES, STRENGTHS, TRIALS, to_table
from opbench.panels.ontology import Ontology
from opbench.statistics.arms import Arm, compare_arms, operator_spread
from opbench.statistics.rule import VERDICT, judge_claim, outcome
from opbench.statistics.tests import bh, signed_rank_exact

STATISTICS, RULE = Statistics(bootstraps=200), Evidence()
SMALL = Calibration(campaigns=3, donors=[8], effects=[0.03], chunks=2, bootstraps=100)
STRENGTHS_OF_SMALL = pd.DataFrame({"world": range(plant.WORLDS), "n_donors": 8, "effect": 0.03, "strength": 1.0})
WORLD = draw_world("test", 0)


def campaign(donors=14, seed=0) -> Campaign:
    return Campaign(WORLD, donors, seed)


# Heads.


def test_the_closed_form_head_is_the_ridge_regression_of_its_docstring(monkeypatch):
    monkeypatch.setattr(heads, "JITTER", 0.0)
    monkeypatch.setattr(heads, "SLACK", 0.0)
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(3, CLASSES, 40, 6)).astype(np.float32)
    operator = rng.normal(size=(1, 6, 5)).astype(np.float32)
    trained = np.array([[True, True, False]])
    found = heads.fit(operator, heads.moments(cells, trained), rng)[0, 0]
    x = cells[:2].reshape(-1, 6).astype(float)
    y = np.zeros((2, CLASSES, 40))
    y[:, POSITIVE], y[:, NEGATIVE] = 1, -1
    features = (x - x.mean(0)) @ operator[0]
    gram = features.T @ features
    weight = np.linalg.solve(gram + heads.PENALTY * np.diag(np.diag(gram)), features.T @ y.ravel())
    np.testing.assert_allclose(found, operator[0] @ weight, rtol=1e-3, atol=1e-5)


def test_aurocs_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    cells, weights = rng.normal(size=(2, CLASSES, 7, 3)), rng.normal(size=(2, 4, 3))
    found = heads.aurocs(cells, weights)
    for donor, operator in np.ndindex(2, 4):
        scores = cells[donor] @ weights[donor, operator]
        both = np.concatenate([scores[POSITIVE], scores[NEGATIVE]])
        assert found[donor, operator] == pytest.approx(roc_auc_score([1] * 7 + [0] * 7, both))


def test_no_head_sees_the_donors_that_it_is_tested_on():
    made = campaign()
    view, changed = made.view, made.view.cells.copy()
    tested = np.unique(view.groups[3])
    changed[tested] += np.random.default_rng(1).normal(size=changed[tested].shape).astype(np.float32)
    other = View(changed, view.fold, view.groups)
    untouched = [i for i, group in enumerate(view.groups) if set(group) == set(tested)]
    for before, after in zip(
        (view.by_split.root, view.by_split.contrast), (other.by_split.root, other.by_split.contrast), strict=True
    ):
        same = np.isclose(before, after, rtol=1e-5).reshape(len(before), -1).all(axis=1)
        assert same[untouched].all()
        assert same.sum() == len(untouched)
    assert len(tested) == GROUP
    changed = view.cells.copy()
    changed[view.fold == 2] *= 2
    same = np.isclose(view.by_fold.contrast, View(changed, view.fold, None).by_fold.contrast).all(axis=1)
    assert same.tolist() == [number == 2 for number in range(FOLDS)]


# Cases.


def test_the_real_operator_of_a_null_case_is_one_more_of_its_control():
    made = campaign()
    support = made.corpus.support
    real = {case: real_operator(case, made.base, support, 1) for case in NULLS}
    for case in NULLS[:3]:
        control = made.arm(case.control, real[case], 2)
        assert not np.array_equal(control[0], real[case])
        assert not np.array_equal(control[0], control[1])
    shuffled = made.arm("shuffle", real[Case("null", "shuffle")], 1)[0]
    np.testing.assert_array_equal(np.sort(shuffled[support]), np.sort(real[Case("null", "shuffle")][support]))
    rows = real[Case("null", "row_permuted")]
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(made.base["coexpression"].astype(np.float32), axis=0))
    gaussian = real[Case("null", "gaussian")]
    assert (gaussian[~support] == 0).all()
    assert abs(gaussian[support].mean()) < 0.05 * gaussian[support].std()
    # The others have a corpus of their own: alike, not the same.
    for name, own in (("uniform", made.corpus.uniform), ("coexpression", made.corpus.coexpression)):
        r = np.corrcoef(own.ravel(), real[Case("null", name)].ravel())[0, 1]
        assert 0.8 < r < 0.999


def test_a_null_operator_scores_like_its_control_and_a_planted_one_better():
    leads: dict[tuple[str, str], list[float]] = {}
    for seed in range(6):
        made = campaign(seed=seed)
        for case in (*NULLS, planted(0.1, 1.5)):
            scored = made.run(case)
            lead = scored.real.values.mean() - scored.controls[case.control].values.mean()
            leads.setdefault((case.name, case.control), []).append(lead)
    means = {key: float(np.mean(values)) for key, values in leads.items()}
    assert all(abs(value) < 0.02 for key, value in means.items() if key[0] != "planted"), means
    assert means["planted", "gaussian"] > 0.04


def test_what_controls_cannot_see_does_not_change_them():
    made = campaign(8)
    operators = blind(made.gaussians[:3])
    before = made.view.scores(operators, np.random.default_rng(0))
    after = made.view.shown(3.0).scores(operators, np.random.default_rng(0))
    np.testing.assert_allclose(before, after, atol=0.02)  # the noise of seeds is drawn with the hidden variable
    assert made.view.shown(0.0).cells.shape == (8, CLASSES, 30, GENES + 1)


# Referees.


def scored(lead: float, seed=0, donors=14, control="gaussian") -> Scored:
    rng = np.random.default_rng(seed)
    donor = rng.normal(0.8, 0.05, (donors, 1))
    arms = {name: Arm(donor + rng.normal(0, 0.02, (donors, 10)), random=True) for name in RANDOM}
    arms |= {name: Arm(donor + rng.normal(0, 0.005, (donors, 4))) for name in FIXED}
    return Scored(Case("null", control), Arm(donor + lead + rng.normal(0, 0.005, (donors, 4))), arms, None)


def test_referees_agree_on_what_is_plain():
    assert judge(scored(0.1), STATISTICS, RULE, 0) | {"donor_swapped": None} == dict.fromkeys(
        ["rule", "rule_family", "rule_control", "donor_draws", "donor_draw"], True
    ) | {"donor_swapped": None, "equivalent": False}
    behind = judge(scored(-0.1), STATISTICS, RULE, 0)
    assert not any(found for test, found in behind.items() if test != "donor_swapped")  # signs are drawn


def test_the_referee_s_verdict_is_that_of_the_rule_on_evidence_rows():
    verdicts, alone = set(), RULE.model_copy(update={"trivial": []})
    for seed in range(12):
        case = scored(0.01 * (seed % 4), seed)
        spread = operator_spread(case.real, case.controls, alone)
        rows = pd.DataFrame(
            [compare_arms(case.real, arm, STATISTICS, alone, spread)._asdict() for arm in case.controls.values()]
        )
        rows = rows.assign(control=list(case.controls), q=bh(rows["p"].to_numpy()), family=VERDICT, subset="all")
        rows = rows.assign(endpoint="e", run="r", panel="p", campaign="c")
        judged = [outcome(row, RULE.alpha, 8) for row in rows.to_dict("records")]
        rows = rows.assign(outcome=[j.outcome for j in judged], reason=[j.reason for j in judged])
        verdict = judge_claim(rows, ["e"], alone).verdict
        assert judge(case, STATISTICS, RULE, 0)["rule"] == (verdict == "model_specific")
        verdicts.add(verdict)
    assert len(verdicts) > 1


def test_only_verdicts_for_the_real_operator_count():
    differences = np.linspace(0.01, 0.1, 9)
    assert ahead(differences, signed_rank_exact, 0.05)
    assert not ahead(-differences, signed_rank_exact, 0.05)


# Chunks and tables.


def test_chunks_share_the_campaigns_and_repeat_to_the_bit():
    parts = [closed_form.run_chunk(SMALL, RULE, STRENGTHS_OF_SMALL, chunk) for chunk in range(2)]
    whole = closed_form.run_chunk(SMALL.model_copy(update={"chunks": 1}), RULE, STRENGTHS_OF_SMALL, 0)
    to_table(whole, TRIALS, "trials")
    together = pd.concat(parts).sort_values("campaign", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(together, whole)
    tests = set(whole["test"]) - {test for test in whole["test"] if test.startswith("lead over ")}
    assert tests == set(TESTS) - {"split_draw", "split_draws", "split_swapped"}  # 8 donors form 56 groups of 3
    assert set(whole["case"]) == {"null", "null with noise", "planted"}


def test_fourteen_donors_have_the_paper_s_splits():
    made = campaign(14)
    found = judge(made.run(NULLS[0]), STATISTICS, RULE, 0)
    assert set(found) == set(TESTS)
    assert "split_draws" not in judge(made.run(NULLS[3]), STATISTICS, RULE, 0)  # one operator has no draws


def test_strength_grows_with_the_lead_and_what_cannot_be_planted_is_refused(monkeypatch):
    monkeypatch.setattr(plant, "WORLDS", 1)
    found = plant.strengths(SMALL.model_copy(update={"effects": [0.03, 0.06]}), pilots=6)
    to_table(found, STRENGTHS, "strengths")
    assert 0 < found["strength"][0] < found["strength"][1] < plant.GRID[-1]
    with pytest.raises(InputError, match=r"calibration\.effects: a lead of 0\.7 cannot be planted among 8 donors"):
        plant.strengths(SMALL.model_copy(update={"effects": [0.7]}), pilots=2)


def test_rates_and_leads_by_hand():
    key = {"head": "h", "case": "null", "control": "gaussian", "n_donors": 8, "effect": 0.0}
    rows = [key | {"world": c % 2, "campaign": c, "test": "rule", "value": float(c < 3)} for c in range(10)]
    for control, values in {"gaussian": (0.2, 0.1), "shuffle": (0.1, 0.3)}.items():
        rows += [
            key | {"world": c % 2, "campaign": c, "test": f"lead over {control}", "value": values[c % 2]}
            for c in range(10)
        ]
    found = rates(pd.DataFrame(rows), "r")
    to_table(found, CALIBRATION, "calibration")
    row = found.iloc[0]
    interval = binomtest(3, 10).proportion_ci(method="exact")
    assert (len(found), row["campaigns"], row["positives"], row["rate"]) == (1, 10, 3, 0.3)
    assert (row["ci_low"], row["ci_high"]) == (interval.low, interval.high)
    assert row["lead"] == pytest.approx(0.1)  # the strongest leaves 0.1 in both populations


def test_end_to_end_scores_are_a_table_that_the_whole_inference_takes(monkeypatch):
    monkeypatch.setattr(
        end_to_end, "ADAPTOR", end_to_end.ADAPTOR.model_copy(update={"epochs": 2, "cells_per_stage": 8})
    )
    for name, value in {"DRAWS": 5, "SEEDS": 2, "CELLS": 120, "GENES": 60}.items():
        monkeypatch.setattr(end_to_end, name, value)
    scores = end_to_end.score_table(10, 1, Ontology.read("resources/ontology"))
    to_table(scores, SCORES, "scores")
    assert scores.groupby(["arm", "draw", "seed"])["donor"].nunique().eq(10).all()
    assert set(scores["split"]) == set(range(FOLDS))
    assert end_to_end.verdicts(scores, RULE, STATISTICS)["rule"] in (0.0, 1.0)
    ahead_of_all = scores.assign(value=scores["value"] + 0.4 * (scores["arm"] == "real"))
    found = end_to_end.verdicts(ahead_of_all, RULE, STATISTICS)
    assert {found[test] for test in ("rule", "donor_draws", "donor_draw")} == {1.0}
    assert found["lead over gaussian"] > 0.3


def test_pilot_and_reported_campaigns_have_streams_of_their_own(monkeypatch):
    keys: dict[str, list[tuple]] = {"plant": [], "closed_form": []}
    for name, module in (("plant", plant), ("closed_form", closed_form)):
        real = module.derive_seed
        monkeypatch.setattr(module, "derive_seed", lambda *key, n=name, r=real: keys[n].append(key) or r(*key))
    plant.leads(WORLD, 8, SMALL.seed, 0, pilots=3)
    closed_form.run_chunk(SMALL, RULE, STRENGTHS_OF_SMALL, 0)
    assert len(set(keys["plant"])) == 3
    campaigns = {key for key in keys["closed_form"] if key[0] == "calibration"}
    assert len(campaigns) == 2  # 0 and 2
    assert not set(keys["plant"]) & set(keys["closed_form"])

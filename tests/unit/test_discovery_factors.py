"""Factors: the algebra of leaving out, shares and their order, and a planted factor that carries one task."""

import numpy as np
import pandas as pd
import pytest
from compaction_cohort import GENES, MARKERS, config, job, write_cohort

from opbench.discovery import factors
from opbench.discovery.ablation import Ablation
from opbench.discovery.bench import Bench
from opbench.discovery.reduce import Reduced, low_rank
from opbench.io.tables import FACTORS, PROGRAMS, to_table

R, PLANTED, SIZES = 6, 3, [8, 7, 6, 5, 4, 3]
ABOUT = {"run": "r", "panel": "p", "campaign": "c", "arm": "real", "operator": "x", "draw": 0, "seed": 0}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    inputs = job(write_cohort(tmp_path_factory.mktemp("factors")))
    return Bench(config(), "p", inputs.panel, inputs.parts, inputs.ontology)


@pytest.fixture(scope="module")
def planted() -> Reduced:
    """Six factors by size; factor 3 alone reads the genes that tell Mono from cDC."""
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.normal(size=(GENES, R)))[0], np.linalg.qr(rng.normal(size=(GENES, R)))[0]
    left[list(MARKERS)] = 0
    left[:, PLANTED] = 0
    left[list(MARKERS), PLANTED] = 0.5
    left = left / np.linalg.norm(left, axis=0) * np.sqrt([8, 7, 6, 5, 4, 3])
    return Reduced(
        left=left.astype(np.float32), right=(right.T * np.sqrt([8, 7, 6, 5, 4, 3])[:, None]).astype(np.float32)
    )


@pytest.fixture(scope="module")
def rows(bench, planted) -> pd.DataFrame:
    fitted = [bench.fit(planted, fold, 1) for fold in bench.folds]
    made = factors.factor_rows(bench.config, bench, "rank6", planted, fitted)
    return to_table(pd.DataFrame([ABOUT | row for row in made]), FACTORS, "x").to_pandas()


def test_leaving_out_is_the_naive_computation(bench, planted):
    fold, kept = bench.folds[0], [0, 2, 4, 5]
    one = bench.fit(planted, fold, 1)
    ablation = Ablation.of(bench, fold, planted, one)
    less = Reduced(left=planted.left[:, kept], right=planted.right[kept])
    z = bench.data.log1p @ (less.matrix.astype(np.float64) @ one.encoder)
    mask = factors.masks([kept], R)
    again = bench.probe(z[fold.truth.train], z[fold.truth.test], fold)
    np.testing.assert_allclose(ablation.retrained(mask)[0], bench.score(again.probed, fold), atol=0.02)
    intact = bench.data.log1p @ (planted.matrix.astype(np.float64) @ one.encoder)
    naive = bench.score(bench.probe(intact[fold.truth.train], z[fold.truth.test], fold).probed, fold)
    np.testing.assert_allclose(ablation.fixed(mask)[0], naive, atol=0.02)
    whole = ablation.fixed(factors.masks([range(R)], R))[0]
    np.testing.assert_allclose(whole, bench.score(one.probe.probed, fold), atol=0.02)
    assert np.nanmean(np.abs(whole - naive)) > 0.02  # the two are not the same by leaving out nothing


def test_a_factor_that_carries_a_task_has_its_drop(rows):
    drops = rows.query("quantity == 'drop' and endpoint == 'mono_auroc'")
    for probes, part in drops.groupby("probes"):
        drop = part.set_index("factor")["value"]
        assert drop.idxmax() == PLANTED, probes
        assert drop[PLANTED] > 0.2
        assert drop.drop(PLANTED).abs().max() < 0.15
    intact = rows.query("quantity == 'intact' and endpoint == 'mono_auroc'")["value"]
    assert (intact > 0.85).all()


def test_core_subsets_and_pairs_are_all_there_once(rows):
    counts = rows.groupby(["quantity", "probes"]).size()
    assert counts["subset", "fixed"] == 3 * 6
    assert counts["subset_share", "fixed"] == 3 * 6
    assert counts["pair_share", "fixed"] == 6 * 6  # pairs of factors 2 to 5
    assert counts["best_pair_share", "fixed"] == counts["best_other_pair_share", "fixed"] == 6
    assert counts["best_pair_kept", "fixed"] == counts["best_other_pair_kept", "fixed"] == 2  # AUROC, balanced accuracy
    assert counts["core", "fixed"] == counts["core", "retrained"] == 6
    assert counts["random_core", "retrained"] == 2 * 6
    key = ["probes", "quantity", "endpoint", "factor", "subset"]
    assert not rows.duplicated(key).any()
    core = rows.query("quantity == 'core' and endpoint == 'mono_auroc' and probes == 'retrained'")["value"].item()
    assert core < 0.75  # the planted factor is not in the core
    pair = rows.query("quantity == 'pair_share' and endpoint == 'mono_auroc'").set_index("subset")["value"]
    assert pair.idxmax() in {"2+3", "3+4", "3+5"}


def test_shares_are_in_the_order_of_singular_values(rows):
    impact = rows.query("quantity == 'impact' and probes == 'fixed'").set_index("factor")["value"]
    share = rows.query("quantity == 'share' and probes == 'fixed'").set_index("factor")["value"]
    np.testing.assert_allclose(share, impact.cumsum() / impact.sum())
    by_impact = rows.query("quantity == 'share_by_impact' and probes == 'fixed'").set_index("factor")["value"]
    assert (by_impact >= share - 1e-12).all()
    assert by_impact[5] == pytest.approx(1)
    top = rows.query("quantity == 'top4_share' and probes == 'fixed'").iloc[0]
    assert top["value"] == pytest.approx(share[3])
    assert top["low"] <= top["value"] + 0.2
    assert top["n"] == 8
    drops = rows.query("quantity == 'drop' and probes == 'fixed'")
    again = drops.assign(value=drops["value"].clip(lower=0)).groupby("factor")["value"].sum()
    np.testing.assert_allclose(impact, again, atol=1e-9)


def test_impacts_and_shares_by_hand():
    intact = np.array([0.9, 0.8])
    ablated = np.array([[0.8, 0.85], [0.6, 0.7], [0.9, np.nan]])
    np.testing.assert_allclose(factors.impacts(intact, ablated), [0.1, 0.4, 0.0])
    np.testing.assert_allclose(factors.shares(np.array([0.1, 0.4, 0.0])), [0.2, 1.0, 1.0])
    assert np.isnan(factors.shares(np.zeros(3))).all()
    values = np.array([0.1, 0.5, 0.9, 0.7])
    pairs = [max(a, b) for i, a in enumerate(values) for b in values[i + 1 :]]
    assert factors.expected_best(values, 2) == pytest.approx(np.mean(pairs))
    assert np.isnan(factors.expected_best(values[:1], 2))


def test_what_the_best_pair_keeps_is_over_chance(rows):
    best = rows[rows["quantity"].str.startswith("best_pair")].set_index(["quantity", "endpoint"])
    assert (best["reason"] == "the pair is chosen on the donors that it is scored on: selected and tested").all()
    mine = rows.query("probes == 'fixed' and endpoint == 'mono_auroc'")
    values = {name: part.set_index("subset")["value"] for name, part in mine.groupby("quantity")}
    intact, pair = values["intact"].item(), values["subset"]["0+1"]
    assert best.loc[("best_pair_kept", "mono_auroc"), "value"] == pytest.approx((pair - 0.5) / (intact - 0.5))
    # The core has one pair, so that the best of as many others is their mean.
    kept = np.mean((values["pair_share"] * intact - 0.5) / (intact - 0.5))
    assert values["best_other_pair_kept"].item() == pytest.approx(kept)
    assert kept < values["best_other_pair_share"].item()


def test_no_gain_over_chance_is_a_reason(bench):
    pair = [(0, 1)], np.full((1, 8, 6), 0.5)
    found = factors._share_rows(bench, "rank6", np.full((8, 6), 0.5), pair, pair)
    kept = [row for row in found if row["quantity"].endswith("_kept")]
    assert len(kept) == 4
    assert {row["status"] for row in kept} == {"not_applicable"}
    assert {row["reason"] for row in kept} == {"the intact operator is not above chance"}


def test_random_cores_have_no_factor_of_the_core():
    found = factors.random_cores(20, 4, 64, 1)
    assert len(set(found)) == 20
    assert min(map(min, found)) >= 4
    assert found == factors.random_cores(20, 4, 64, 1)
    assert sorted(factors.random_cores(20, 2, 5, 1)) == [(2, 3), (2, 4), (3, 4)]
    assert factors.random_cores(20, 4, 7, 1) == []


def test_too_few_other_factors_are_a_row(bench):
    reduced = low_rank(np.diag(np.arange(GENES, 0, -1)).astype(np.float32), 3)
    fitted = [bench.fit(reduced, fold, 1) for fold in bench.folds]
    found = factors.factor_rows(bench.config, bench, "rank3", reduced, fitted)
    drawn = [row for row in found if row["quantity"] == "random_core"]
    assert [row["probes"] for row in drawn] == ["fixed", "retrained"]
    assert {row["status"] for row in drawn} == {"not_applicable"}
    assert {row["reason"] for row in drawn} == {"0 of 2 random cores: 1 factors lie outside the core"}


def test_no_more_factors_than_the_core_is_a_reason(bench):
    rows = factors.factor_rows(bench.config, bench, "rank6", low_rank(np.eye(GENES, dtype=np.float32), 2), [])
    assert [row["status"] for row in rows] == ["not_testable"]


def test_programs_list_the_planted_genes(planted):
    names = [f"g{i}" for i in range(GENES)]
    table = pd.DataFrame([ABOUT | row for row in factors.program_rows(planted, names, 16, 10)]).drop(columns="campaign")
    table = to_table(table, PROGRAMS, "x").to_pandas()
    read = table.query(f"factor == {PLANTED} and side == 'read'")
    assert set(read["gene"]) == {f"g{i}" for i in MARKERS}  # the others weigh nothing
    assert read["rank"].tolist() == [1, 2, 3, 4]
    sizes = table.drop_duplicates("factor")["singular_value"]
    np.testing.assert_allclose(sizes, SIZES, rtol=1e-5)
    assert len(table.query("factor == 0 and side == 'write'")) == 10

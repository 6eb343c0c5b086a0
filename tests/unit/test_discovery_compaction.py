"""Compaction on a toy panel: an exact rank keeps all, a low rank loses, and no tested donor is fitted on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compaction_cohort import GENES, config, job, write_cohort
from safetensors.numpy import save_file

from opbench.discovery.bench import Bench, even_sample, features_of
from opbench.discovery.compaction import Chain, ChainOutputs, compact_operators, reduce_single, stored_bytes
from opbench.discovery.compaction_table import Scored, reference_floors, variant_rows
from opbench.discovery.random_heads import random_matrix
from opbench.discovery.reduce import Reduced, low_rank
from opbench.discovery.single import SCANNED, NoSingleError, chosen_head, head_of, single_matrix
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed
from opbench.io.store import Store
from opbench.io.tables import COMPACTION, FACTORS, HEADS, PROGRAMS, read_table, write_table
from opbench.methods.heads import HeadFitter
from opbench.methods.interface import Variant
from opbench.models.attention_file import load_attention
from opbench.operators.operator import Operator, read_operator


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return write_cohort(tmp_path_factory.mktemp("compaction"))


@pytest.fixture(scope="module")
def tables(files, tmp_path_factory) -> dict[str, tuple[pd.DataFrame, ...]]:
    folder, out = tmp_path_factory.mktemp("out"), {}
    jobs = {"drift": ["drift"], "gaussian": ["gaussian-1"], "identity": ["identity"]}
    for arm, operators in jobs.items():
        paths = [folder / f"{arm}-{name}.parquet" for name in ("compaction", "factors", "programs")]
        compact_operators(config(seeds=1 + (arm == "drift")), "p", arm, job(files, *operators), ChainOutputs(*paths))
        out[arm] = tuple(map(read_table, paths, (COMPACTION, FACTORS, PROGRAMS)))
    return out


def bench_of(files: dict[str, str], **settings: object) -> Bench:
    inputs = job(files)
    return Bench(config(**settings), "p", inputs.panel, inputs.parts, inputs.ontology)


def test_every_variant_has_every_endpoint_once_per_draw(tables):
    for arm, (found, _, _) in tables.items():
        assert set(found["variant"]) == {"full", "top1", "rank6", "rank4", "rank2", "sparse"}
        assert not found.duplicated(["arm", "draw", "variant", "endpoint"]).any()
        assert sorted(found["draw"].unique()) == {"drift": [0, 1], "gaussian": [1], "identity": [0]}[arm]
        assert (found["status"] == "ok").all()
        assert found["endpoint"].nunique() == 6
    assert set(tables["drift"][0]["arm"]) == {"real"}
    assert set(tables["gaussian"][0]["arm"]) == {"gaussian_halves"}
    seeds = tables["drift"][0].groupby("draw")["seed"].unique().tolist()
    assert np.concatenate(seeds).tolist() == [15052, 15053]
    assert tables["gaussian"][0]["seed"].unique().tolist() == [15052]


def test_rank_two_loses_and_a_drift_that_reads_nothing_gains_by_a_head_that_does(tables):
    real, gaussian = (tables[arm][0].set_index(["variant", "endpoint"]).sort_index() for arm in ("drift", "gaussian"))
    stage = "stage_balanced_accuracy"
    assert (real.loc[("rank2", stage), "effect"] < -0.1).all()
    assert (real.loc[("rank2", stage), "outcome"] == "loss").all()
    assert (real.loc[("rank2", stage), "losses"] >= 1).all()
    assert (gaussian.loc[("top1", stage), "effect"] > 0.05).all()
    assert (gaussian.loc[("top1", stage), "losses"] == 0).all()


def test_one_matrix_loses_nothing_by_construction_and_says_so(tables):
    top1 = tables["identity"][0].query("variant == 'top1'")
    assert top1["effect"].isna().all()
    assert (top1["losses"] == 0).all()
    assert (top1["endpoints"] == 6).all()
    assert top1["reason"].str.contains("one matrix").all()
    assert tables["identity"][0].query("variant == 'rank2'")["losses"].notna().all()


def test_an_exact_rank_loses_nothing_at_that_rank(files):
    bench, rng = bench_of(files), np.random.default_rng(1)
    matrix = (rng.normal(size=(GENES, 4)) @ rng.normal(size=(4, GENES))).astype(np.float32)
    fold = bench.folds[0]
    whole = bench.fit(Reduced(dense=matrix), fold, 1)
    same = bench.fit(low_rank(matrix, 4), fold, 1)
    less = bench.fit(low_rank(matrix, 1), fold, 1)
    values = [bench.score(one.probe.probed, fold) for one in (whole, same, less)]
    np.testing.assert_allclose(values[0], values[1], atol=0.03)
    assert np.nanmean(values[2]) < np.nanmean(values[0]) - 0.1


def test_the_head_is_the_benchmarks_own(files):
    bench = bench_of(files)
    fold, matrix = bench.folds[0], np.eye(GENES, dtype=np.float32)
    data = bench.data
    views = data.cells(fold.truth.train, True)
    cells = replace(views, features=lambda name: views.log1p.toarray())
    variant = Variant("identity", "identity", -1, 4, "fixed", 3)
    head = HeadFitter().fit(cells, data.classes.ruler, variant, bench.config.adaptor, fold.seed, Store())
    np.testing.assert_allclose(bench.encoder(Reduced(dense=matrix), fold, 3), (head.weight / head.scale).T, rtol=1e-4)


def test_no_tested_donor_trains_and_every_donor_is_tested_once(files):
    bench = bench_of(files)
    donor = bench.data.obs["donor"].to_numpy()
    for fold in bench.folds:
        assert not set(donor[fold.cells]) & set(fold.truth.donors)
        assert not set(bench.anchor_donor[fold.anchors]) & set(fold.truth.donors)
    assert len(bench.donors) == len(set(bench.donors)) == 8
    internal = set(bench.parts.obs.query("part == 'internal'")["donor"])
    assert f"{len(internal)} of 8 tested donors" in bench.selection


def test_the_anchor_head_is_another_way(files):
    bench = bench_of(files, head="let")
    fold = bench.folds[0]
    found = bench.fit(Reduced(dense=np.eye(GENES, dtype=np.float32)), fold, 1)
    assert found.encoder.shape == (GENES, 4)
    assert np.nanmean(bench.score(found.probe.probed, fold)) > 0.5


def test_weights_of_the_probe_give_its_scores(files):
    bench = bench_of(files)
    fold = bench.folds[0]
    one = bench.fit(Reduced(dense=np.eye(GENES, dtype=np.float32)), fold, 1)
    z = bench.data.log1p[fold.truth.test] @ one.encoder
    for task, scores in one.probe.probed.scores.items():
        again = (z - one.probe.mean) / one.probe.scale @ one.probe.weights[task] + one.probe.bias[task]
        np.testing.assert_allclose(again, scores.reshape(again.shape), atol=1e-3)


def several(arm: str, draw: int = -1) -> Operator:
    """An operator of two blocks of an arm."""
    meta, support = {"arm": arm, "draw": draw}, np.ones((GENES, GENES), bool)
    return Operator(np.zeros((GENES, 2 * GENES), np.float32), support, tuple(f"g{i}" for i in range(GENES)), meta)


def test_a_random_arm_has_the_best_head_of_its_own_draw(files):
    attention, scan = load_attention(files["attention"], stored=True), config().discovery.scan
    assert head_of(several("real"), files["heads"], scan) == "L1H0"
    for arm, name in SCANNED.items():
        for draw, head in ((0, "L0H0"), (1, "L2H0")):
            operator = several(arm, draw)
            assert head_of(operator, files["heads"], scan) == head
            sums = attention.sums[int(head[1]), 0]
            own = random_matrix(name, sums, attention, derive_seed(7, "scan", int(head[1]), 0), draw)
            np.testing.assert_array_equal(single_matrix(operator, head, attention, 7), own.astype(np.float32))
    with pytest.raises(NoSingleError, match=r"no draw 2 of shuffle heads; raise discovery\.scan\.draws"):
        head_of(several("shuffle", 2), files["heads"], scan)
    external = scan.model_copy(update={"select_on": "external"})
    assert head_of(several("shuffle", 0), files["heads"], external) == "L1H0"
    empty = Path(files["heads"]).with_name("nan.parquet")
    write_table(pd.read_parquet(files["heads"]).assign(residualised=np.nan), empty, HEADS)
    with pytest.raises(NoSingleError, match="no shuffle head of draw 0 has a residualised on the internal part"):
        head_of(several("shuffle", 0), str(empty), scan)


def test_other_forms_are_those_of_the_chosen_head(files):
    attention, scan = load_attention(files["attention"], stored=True), config().discovery.scan
    np.testing.assert_array_equal(single_matrix(several("real"), "L1H0", attention, 7), attention.sums[1, 0])
    np.testing.assert_allclose(single_matrix(several("row_stochastic"), "L1H0", attention, 7).sum(1), 1)
    with pytest.raises(NoSingleError, match="random_model"):
        head_of(several("random_model", 0), files["heads"], scan)
    identity = read_operator(files["identity"])
    assert single_matrix(identity, head_of(identity, files["heads"], scan), attention, 7) is identity.matrix


def test_the_head_of_each_operator_is_told(tables):
    for arm, head in (("drift", "L1H0 selected on internal"), ("gaussian", "L2H0 selected on internal")):
        found = tables[arm][0].query("variant != 'full'")["selection"]
        assert found.str.startswith(head).all()
    assert (tables["identity"][0]["selection"] == "").all()


def test_probes_of_a_fold_see_an_even_sample_of_cells(files):
    label = np.repeat([0, 1, 2], [50, 20, 3])
    found = even_sample(label, 33, 1)
    assert np.bincount(label[found]).tolist() == [15, 15, 3]
    np.testing.assert_array_equal(found, even_sample(label, 33, 1))
    assert not np.array_equal(found, even_sample(label, 33, 2))
    np.testing.assert_array_equal(even_sample(label, 73, 1), np.arange(73))
    whole, capped = bench_of(files).folds, bench_of(files, probe_cells=100).folds
    for fold, less in zip(whole, capped, strict=True):
        assert set(less.truth.train) < set(fold.truth.train)
        assert 90 < len(less.truth.train) <= 100
        np.testing.assert_array_equal(less.cells, fold.cells)


def test_without_a_chosen_head_the_full_form_is_scored_and_the_rest_says_why(files, tmp_path):
    paths = [tmp_path / f"{name}.parquet" for name in ("compaction", "factors", "programs")]
    inputs = job(files, "drift", heads="no_heads")
    compact_operators(config(seeds=1), "p", "drift", inputs, ChainOutputs(*paths), ["branch_balanced_accuracy"])
    found = read_table(paths[0], COMPACTION).set_index("variant")
    assert found.loc["full", "status"] == "ok"
    assert set(found.drop("full")["status"]) == {"not_testable"}
    assert "chose no head" in found.loc["top1", "reason"]
    assert set(read_table(paths[1], FACTORS)["status"]) == {"not_testable"}
    with pytest.raises(NoSingleError):
        chosen_head(files["no_heads"])


def test_a_draw_that_the_scan_lacks_says_so_and_the_others_stay(files, tmp_path):
    paths = [tmp_path / f"{name}.parquet" for name in ("compaction", "factors", "programs")]
    rows = pd.read_parquet(files["heads"])
    write_table(rows[(rows["arm"] == "real") | (rows["draw"] == 1)], tmp_path / "heads.parquet", HEADS)
    inputs = replace(job(files, "gaussian-0", "gaussian-1"), heads=str(tmp_path / "heads.parquet"))
    compact_operators(config(ranks=[6, 2]), "p", "gaussian", inputs, ChainOutputs(*paths), ["branch_balanced_accuracy"])
    found = read_table(paths[0], COMPACTION).set_index(["draw", "variant"]).sort_index()
    assert "no draw 0 of gaussian heads" in found.loc[(0, "top1"), "reason"]
    assert found.loc[(1, "rank2"), "losses"] >= 0


def test_bytes_are_those_of_a_file(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32)
    forms = reduce_single(matrix, [8, 2], 6, 5)
    for reduced in forms.values():
        save_file({k: np.ascontiguousarray(v) for k, v in reduced.arrays().items()}, tmp_path / "x.safetensors")
        assert stored_bytes(reduced) == (tmp_path / "x.safetensors").stat().st_size
    np.testing.assert_array_equal(forms["rank2"].matrix, low_rank(matrix, 2).matrix)
    x = np.random.default_rng(1).normal(size=(3, 50)).astype(np.float32)
    np.testing.assert_allclose(features_of(forms["rank8"], x), x @ forms["rank8"].matrix, rtol=1e-3, atol=1e-3)


def test_a_planted_loss_is_counted_and_few_donors_are_none_of_the_family():
    rng = np.random.default_rng(0)
    reference = rng.normal(0.8, 0.05, (14, 3))
    values = reference.copy()
    values[:, 0] -= 0.05 + rng.normal(0, 0.01, 14)  # a loss
    values[:, 1] += rng.normal(0, 0.001, 14)  # the same
    values[4:, 2] = np.nan  # four donors alone
    floors = reference_floors([reference, reference + np.array([0.0, 0.0, 0.1])], 0.95)
    rows = variant_rows(
        config(), ["a", "b", "c"], Scored("rank8", "top1", 1, values), Scored("top1", "", 1, reference), floors
    )  # fmt: skip
    assert [row["outcome"] for row in rows] == ["loss", "non_inferior", "non_inferior"]
    assert {row["losses"] for row in rows} == {1.0}
    assert {row["endpoints"] for row in rows} == {2}
    assert np.isnan(rows[2]["q"])
    assert rows[2]["margin"] == pytest.approx(0.1)
    assert rows[0]["margin"] == 0.01
    assert rows[0]["effect"] == pytest.approx(-0.05, abs=0.01)


def test_inputs_that_do_not_fit_are_refused(files):
    inputs = job(files, "drift")
    with pytest.raises(InputError, match="are no endpoints"):
        Chain(config(), "p", "drift", inputs, ["nothing"])

"""What each analysis counts, on worlds small enough to count by hand or by another library."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact
from sklearn.metrics import roc_auc_score

from opbench.geometry.attention_geometry import attention_rows, mean_attention
from opbench.geometry.compartments import compartment_rows, odds_ratio, order_rows
from opbench.geometry.convergence import (
    convergence_rows,
    matched_genes,
    matched_set_means,
    nearness_ranks,
    scaled_distances,
)
from opbench.geometry.edges import edge_grid, edge_rows, matched_negatives
from opbench.geometry.markers import arrangements, every_arrangement, label_draws, marker_rows
from opbench.geometry.planted import GENES, detection_of, draw_tensor, regulation
from opbench.geometry.scopes import Spectral, cosines, poles, spectral_coordinates
from opbench.geometry.signs import sign_rows, sign_strata
from opbench.geometry.tensor import GeneTensor
from opbench.geometry.tf_target import gene_classes, random_bases, symbol_family, tf_target_rows
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng

FLAT = np.zeros(GENES, dtype=int)


@pytest.fixture(scope="module")
def tensor():
    return draw_tensor(keyed_rng("analyses"))


@pytest.fixture(scope="module")
def spectral(tensor):
    return spectral_coordinates(tensor, "nonzero", axes=16)


def test_odds_ratios_are_fisher_s_and_finite():
    assert odds_ratio(21, 52, 26, 104) == pytest.approx(fisher_exact([[21, 5], [31, 47]]).statistic)
    assert odds_ratio(21, 52, 26, 104) == pytest.approx(6.37, abs=0.005)  # GO:0005615 as published
    assert np.isfinite(odds_ratio(9, 52, 9, 104))


def test_a_compartment_at_either_pole_is_found_and_the_order_of_peaks_is_tested(tensor, spectral):
    codes = poles(spectral.coordinates[:, :, :1])
    low = codes[0, :, 0] == -1
    member = pd.DataFrame({"low": low, "any": np.arange(GENES) % 4 == 0}, index=tensor.genes).T
    kwargs = {"axes": (1, 2), "permutations": 199, "bootstraps": 50}
    rows = compartment_rows(spectral, member, FLAT, **kwargs)
    turned = Spectral("nonzero", spectral.genes, spectral.rows, spectral.layers, -spectral.u, spectral.s)
    again = compartment_rows(turned, member, FLAT, **kwargs)
    found = rows[(rows["null"] == "strata") & (rows["term"] == "low") & (rows["axis"] == "SV1") & (rows["layer"] == 0)]
    assert found["p_family"].item() == 1 / 200
    same = again.loc[found.index]
    assert same["value"].item() == pytest.approx(found["value"].item())
    assert len(rows) == 2 * 3 * 2 * 2
    order = order_rows(spectral, member, ["low", "any"], FLAT, permutations=99)
    tested = order[order["quantity"] == "peaks_in_order"]
    assert tested["p"].item() + tested["p_opposite"].item() >= 1
    assert order[order["term"] == "low"]["value"].item() == 0  # where it was made
    missing = order_rows(spectral, member, ["low", "none"], FLAT)
    assert "'none'" in missing["reason"].item()


def test_edge_auroc_is_that_of_the_grid_and_its_null_keeps_the_grid(tensor, spectral):
    table = regulation(keyed_rng("edges"), tensor, True)
    grid = edge_grid(table, spectral.genes)
    assert len(grid.edges) == len(table)
    assert (grid.source != grid.target).all()
    rows = edge_rows(spectral, table, np.eye(GENES), tensor.mean, FLAT, {"SV1-4": (1, 4)}, 99, 100)
    row = rows[(rows["quantity"] == "edge_auroc") & (rows["null"] == "targets") & (rows["layer"] == 0)].iloc[0]
    near = cosines(spectral.axes(1, 4))[0][grid.source, grid.target]
    assert row["value"] == pytest.approx(roc_auc_score(grid.edge, near), abs=1e-6)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["p"] == 0.01
    assert set(rows["quantity"]) == {
        "edge_auroc", "residual_r_rb", "edge_auroc_published", "edge_auroc_matched", "layer_trend",
    }  # fmt: skip
    few = edge_rows(spectral, table.head(5), np.eye(GENES), tensor.mean, FLAT)
    assert few["status"].tolist() == ["not_testable"]


def test_classes_in_two_places_are_no_edges(tensor):
    """Factors and targets each in one place: position shuffles see an edge signal, exchanged targets do not (F5)."""
    rng = keyed_rng("classes")
    x = tensor.tensor.copy()
    x[:, :60] += 3 * np.eye(16)[0]  # twenty factors and forty favourite targets
    shifted = spectral_coordinates(replace(tensor, tensor=x), "nonzero", axes=4)
    pairs = {(int(rng.integers(20)), int(rng.integers(20, 60) if rng.random() < 0.7 else rng.integers(60, 160)))
             for _ in range(400)}  # fmt: skip
    names = np.array(tensor.genes)
    table = pd.DataFrame(sorted(pairs), columns=["source", "target"]).map(lambda g: names[g]).assign(sign="unknown")
    rows = edge_rows(shifted, table, np.eye(GENES), tensor.mean, FLAT, {"SV1-3": (1, 3)}, 99, 0)
    smallest = rows[rows["quantity"].str.startswith("edge_auroc")].groupby("null")["p_family"].min()
    assert smallest["paper"] == 0.01
    assert smallest["targets"] > 0.05


def test_matched_negatives_share_the_source_and_the_coexpression(tensor):
    table = regulation(keyed_rng("matched"), tensor, False)
    grid = edge_grid(table, tensor.genes)
    r = np.corrcoef(keyed_rng("r").normal(size=(GENES, 30)))
    matched = matched_negatives(grid, r)
    positive = np.flatnonzero(grid.edge)
    assert (grid.source[matched] == grid.source[positive]).all()
    assert not grid.edge[matched].any()
    assert len(np.unique(matched)) == len(matched)
    gap = np.abs(r[grid.source, grid.target][matched] - r[grid.source, grid.target][positive])
    assert gap.mean() < 0.03


def test_signs_are_permuted_within_a_source_and_groups_do_not_look_at_signs(tensor, spectral):
    pairs = np.array([[0, 5], [0, 6], [1, 5], [2, 5], [3, 7]])
    groups = sign_strata(pairs)
    assert groups[0] == groups[1] != groups[2]
    assert groups[2] == groups[3] != groups[4]
    table = regulation(keyed_rng("signs"), tensor, True)
    table["sign"] = np.where(np.arange(len(table)) % 3 == 0, "repression", "activation")
    rows = sign_rows(spectral, table, {"SV1-4": (1, 4)}, ("cosine",), 99, 50)
    wide = rows[(rows["layer"] == 0) & (rows["null"] != "paper")].set_index("quantity")["value"]
    assert wide["difference"] == pytest.approx(wide["auroc_repression"] - wide["auroc_activation"])
    assert rows[rows["null"] == "tf_signs"]["p_floor"].max() == 0.02
    table.loc[table["sign"] == "repression", "sign"] = "ambiguous"
    assert "0 repressions" in sign_rows(spectral, table)["reason"].item()


def test_contraction_is_no_convergence(tensor):
    """Every raw distance shrinks to a tenth and nothing comes nearer."""
    x = np.stack([tensor.tensor[0] * scale for scale in (1, 0.5, 0.1)])
    shrinking = replace(tensor, tensor=x.astype(np.float32))
    rows = np.arange(GENES)
    distance = scaled_distances(shrinking, rows, np.array([0]))
    assert np.allclose(distance[0], distance[2], rtol=1e-4)
    out = convergence_rows(shrinking, rows, ["G005", "NOPE", "G000"], ("G000",), permutations=99)
    change = out[(out["term"] == "G005") & (out["quantity"] == "log_distance_change")]
    assert np.allclose(change["value"], 0, atol=1e-4)
    assert out[out["term"] == "NOPE"]["reason"].item() == "NOPE is not in this scope."
    assert out[out["term"] == "G000"]["reason"].item() == "G000 is one of the anchors."


def test_genes_that_were_never_tokens_are_neither_anchors_nor_tested_nor_matched(tensor, caplog):
    x, count = tensor.tensor.copy(), tensor.count.copy()
    x[:, [1, 5, 7]], count[[1, 5, 7]] = 0, 0
    zeros = replace(tensor, tensor=x, count=count, detection=np.full(GENES, 0.5, np.float32))
    given = {"scope": "all_rows", "permutations": 99}
    out = convergence_rows(zeros, np.arange(GENES), ["G050", "G005"], ["G002", "NOPE", "G001", "G000"], **given)
    same = convergence_rows(zeros, np.arange(GENES), ["G050", "G005"], ["G002", "G000"], **given)
    pd.testing.assert_frame_equal(out, same)
    assert set(out.loc[out["status"] == "ok", "axis"]) == {"G002+G000"}  # as named, and those alone that are there
    assert "NOPE, G001" in caplog.text
    assert "never a token" in out.loc[out["term"] == "G005", "reason"].item()
    none = convergence_rows(zeros, np.arange(GENES), ["G050"], ["G001", "NOPE"], **given)
    assert none["reason"].item() == "None of the anchors G001+NOPE was a token in this scope."
    start = nearness_ranks(scaled_distances(zeros, np.arange(GENES), np.array([0, 2])))[0]
    pool = out[(out["quantity"] == "rank_change") & (out["null"] == "matched")]["n"].item()
    barred = np.isin(np.arange(GENES), [0, 1, 2, 5, 7, 50])
    assert pool == len(matched_genes(start, zeros.detection, 50, barred))


def test_tested_genes_are_of_their_own_pools_and_few_sets_are_listed():
    """Two genes of 23 and 65 that start as near, themselves included, end nearer than all others."""
    start = np.concatenate([[0.0], np.linspace(10, 11, 21), np.linspace(100, 110, 200)])
    end = np.concatenate([[0.0], keyed_rng("moved").uniform(10, 20, len(start) - 1)])
    end[[50, 160]] = 1
    x = np.stack([start, end])[:, :, None] * np.ones(2)
    facts = (np.full(len(start), 0.5, np.float32),) * 3
    names = [f"G{index}" for index in range(len(start))]
    moved = GeneTensor(x.astype(np.float32), np.full(len(start), 9), *facts, names, [0, 1])
    out = convergence_rows(moved, np.arange(len(start)), ["G50", "G160"], ["G0"], permutations=5000)
    got = out[out["quantity"] == "mean_log_distance_change"].iloc[0]
    assert got["permutations"] == 23 * 65 - 1
    assert got["p"] == got["p_floor"] == 1 / (23 * 65)


def test_the_level_of_sets_of_matched_genes():
    """Pools without the tested gene gave p <= 0.01 in 1.9 % and p <= 0.001 in 0.9 % of empty worlds like these."""
    rng = keyed_rng("sets")
    p = {count: [] for count in (5000, 199)}
    for _ in range(3000):
        pools = rng.normal(size=(2, 20))
        for count, found in p.items():
            draws, floor = matched_set_means(pools, count, rng)
            found.append((1 + (draws <= pools[:, 0].mean() + 1e-9).sum()) / (1 + len(draws)))
            assert found[-1] >= floor - 1e-12 or count == 199
    assert floor == 1 / 200
    exact, drawn = (np.array(p[count]) for count in (5000, 199))
    assert exact.min() >= 1 / 400
    assert (exact <= 0.01).sum() <= 48  # 30 are expected; P(more) is 0.001
    assert (drawn <= 0.01).sum() <= 48
    assert np.abs(exact - drawn).mean() < 0.04


def test_matched_genes_start_as_near_and_are_neither_tested_nor_anchors():
    start, detection = np.arange(100), np.arange(100) % 10 / 10
    barred = np.zeros(100, dtype=bool)
    barred[53] = True
    got = matched_genes(start, detection, 50, barred, bins=1)
    assert got.min() == 40
    assert got.max() == 60
    assert not {50, 53} & set(got)
    assert set(detection[matched_genes(start, detection, 50, barred, bins=10)]) == {0.0}


def test_marker_p_is_exact_where_arrangements_are_few(tensor):
    assert arrangements(np.array([0, 0, 1, 1, 2])) == 30 == len(set(every_arrangement(np.array([0, 0, 1, 1, 2]))))
    x = tensor.tensor.copy()
    x[:, :3] += 20 * np.eye(16)[0]
    x[:, 3:6] += 20 * np.eye(16)[1]
    panel = {tensor.genes[i]: "T" if i < 3 else "B" for i in range(6)} | {"G100": "alone", "NOPE": "B"}
    rows = marker_rows(replace(tensor, tensor=x), np.arange(GENES), panel, np.eye(6), FLAT, "nonzero", 99, 50)
    mean = rows[(rows["quantity"] == "mean_auroc") & (rows["null"] == "labels")].iloc[0]
    assert mean["value"] == 1
    assert mean["n"] == 6
    assert mean["permutations"] == 19  # all other arrangements
    assert mean["p"] == mean["p_floor"] == pytest.approx(2 / 20)  # the observed arrangement and its mirror image
    assert rows[rows["quantity"] == "layer_trend"]["p_floor"].item() == pytest.approx(4 / 20)
    assert set(rows["null"]) == {"labels", "paper", "pseudo_panel", ""}
    assert label_draws(np.arange(20) // 5, 99, keyed_rng("many"))[1] == 0.01
    assert rows[(rows["axis"] == "coexpression") & (rows["quantity"] == "auroc")]["value"].item() == 0.5
    pseudo = rows[(rows["null"] == "pseudo_panel") & (rows["quantity"] == "mean_auroc")]
    assert pseudo["p"].item() <= 0.05
    assert "1 cell types" in marker_rows(tensor, np.arange(GENES), {"G000": "T", "G001": "T"})["reason"].item()


def test_classes_families_and_random_subspaces():
    edges = pd.DataFrame({"source": ["A1", "A1", "B", "C"], "target": ["B", "D", "D", "X"]})
    assert gene_classes(edges, ["A1", "B", "C", "D", "E"]).tolist() == [1, 1, -1, 0, -1]
    assert gene_classes(edges, ["A1", "B", "D"], factors=["B"]).tolist() == [-1, 1, 0]
    assert [symbol_family(s) for s in ("STAT3", "HLA-A", "IRF4")] == ["STAT", "HLA", "IRF"]
    s = np.exp(-np.arange(40) / 8)
    bases = random_bases(s, (2, 7), 300, keyed_rng("bases"))
    assert np.allclose(np.swapaxes(bases, 1, 2) @ bases, np.eye(6), atol=1e-8)
    share = (bases**2 * (s**2)[:, None]).sum(axis=(1, 2))
    assert share.mean() == pytest.approx((s[1:7] ** 2).sum(), rel=0.05)
    assert share.std() > 0.02  # they differ


def test_classes_that_follow_expression_alone_add_nothing_to_the_covariates(tensor, spectral):
    classes = (detection_of(tensor) + 0.3 * keyed_rng("cls").normal(size=GENES) < -0.5).astype(int)
    rows = tf_target_rows(spectral, classes, tensor.covariates(spectral.rows), FLAT, permutations=59,
                          random_subspaces=40, bootstraps=50, full=tensor.tensor)  # fmt: skip
    by = rows.set_index(["quantity", "axis", "null"])
    assert by.loc[("auroc", "covariates", "")]["value"].item() > 0.9
    assert by.loc[("delta_auroc", "covariates+joint", "strata")]["p_family"].min() > 0.05
    assert by.loc[("auroc", "all", "")]["value"].min() > 0.7
    assert len(by.loc[("auroc", "SV2-7", "random_subspaces")]) == 3
    few = tf_target_rows(spectral, np.where(np.arange(GENES) < 5, 1, 0), tensor.covariates(spectral.rows), FLAT)
    assert "5 factors" in few["reason"].item()


def test_attention_is_per_cotokenised_cell_and_pairs_never_together_are_left_out(tensor):
    rng = keyed_rng("attention")
    sums = rng.random((3, GENES, GENES)).astype(np.float32)
    together = rng.integers(0, 3, (GENES, GENES))
    together = np.triu(together) + np.triu(together, 1).T
    seen = replace(tensor, attention=sums, cotokenised=together, attention_genes=tensor.genes[::-1])
    a, b = GENES - 1 - 3, GENES - 1 - 1
    together[a, b] = together[b, a] = 2
    mean, held = mean_attention(replace(seen, cotokenised=together), ["G003", "G001"])
    assert held[0, 1]
    assert mean[1, 0, 1] == pytest.approx((sums[1, a, b] + sums[1, b, a]) / 2 / 2, rel=1e-5)
    seen = replace(seen, attention_genes=tensor.genes)
    spectral = spectral_coordinates(seen, "nonzero", axes=8)
    i, j = np.triu_indices(GENES, 1)
    edges = np.column_stack([i, j])[rng.choice(len(i), 300, replace=False)]
    rows = attention_rows(seen, spectral, edges, FLAT, permutations=39, bootstraps=20)
    expected = (together[edges[:, 0], edges[:, 1]] > 0).sum()
    assert rows["n"].unique().tolist() == [expected]
    assert rows["p_floor"].unique().tolist() == [1 / 40]
    with pytest.raises(InputError, match="no attention"):
        attention_rows(tensor, spectral, edges, FLAT)
    with pytest.raises(InputError, match="'NOPE'"):
        mean_attention(seen, ["NOPE"])

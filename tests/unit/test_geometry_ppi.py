"""Co-pole: the published fixture, the gradient over scores, matched pairs, the pair-level model."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opbench.geometry.knowledge import read_string
from opbench.geometry.pair_model import pair_model_rows
from opbench.geometry.planted import GENES, draw_graph, draw_tensor
from opbench.geometry.ppi import copole_rates, copole_rows, gradient_rows, matched_rows, scored_pairs, spearman_exact
from opbench.geometry.scopes import Spectral, cosines, poles, spectral_coordinates
from opbench.io.seeds import keyed_rng

FOLDERS = [Path(os.environ.get(name, "absent")) for name in ("OPBENCH_KNOWLEDGE", "OPBENCH_FIXTURES")]


@pytest.mark.skipif(
    not all(f.is_dir() for f in FOLDERS), reason="OPBENCH_KNOWLEDGE or OPBENCH_FIXTURES names no folder"
)
@pytest.mark.parametrize(("scope", "n", "k", "z"), [("all_rows", 209, 52, 4.5), ("named_nonzero", 187, 47, 4.4)])
def test_the_published_loadings_give_the_z_of_decision_29(scope, n, k, z):
    pairs = read_string(FOLDERS[0] / "string_v12_209genes.json.gz")
    loadings = pd.read_csv(FOLDERS[1] / "svd_gene_projections_L11_209genes.csv")
    if scope != "all_rows":
        loadings = loadings[loadings["sv1_loading"] < 0]  # the 22 zero rows lie on the other side of 0
    u = loadings[["sv1_loading", "sv2_loading", "sv3_loading"]].to_numpy()[None]
    spectral = Spectral(scope, loadings["gene"].tolist(), np.arange(len(loadings)), [11], u, np.ones((1, 3)))
    assert len(spectral.genes) == n
    assert (poles(spectral.coordinates) == 1).sum(axis=1).tolist() == [[k] * 3]
    edges, _ = scored_pairs(pairs, spectral.genes, "score", 0.7)
    rows = copole_rows(spectral, edges, np.zeros(n, int), (2,), permutations=4000, bootstraps=0)
    paper = rows[rows["null"] == "paper"].iloc[0]
    assert (paper["value"] - paper["null_mean"]) / paper["null_sd"] == pytest.approx(z, abs=0.3)
    assert paper["p"] <= 0.001
    assert paper["p_floor"] == 1 / 4001


def test_rates_count_pairs_in_the_same_pole():
    codes = np.array([[1, -1], [1, 1], [-1, -1], [0, -1]], dtype=np.int8)
    edges = np.array([[0, 1], [0, 2], [2, 3], [1, 3]])
    assert copole_rates(codes, edges).tolist() == [0.25, 0.5]
    by_bin = copole_rates(codes, edges, np.array([0, 0, 1, 1]))
    assert by_bin.tolist() == [[0.5, 0.5], [0.0, 0.5]]


def test_the_sign_of_an_axis_says_nothing():
    rng = keyed_rng("ppi-sign")
    tensor = draw_tensor(rng)
    edges = draw_graph(rng, tensor, 0.3)
    spectral = spectral_coordinates(tensor, "nonzero", axes=4)
    turned = Spectral(spectral.scope, spectral.genes, spectral.rows, spectral.layers, -spectral.u, spectral.s)
    a, b = (
        copole_rows(s, edges, np.zeros(GENES, int), (1, 2), permutations=99, bootstraps=0) for s in (spectral, turned)
    )
    assert np.allclose(a["value"], b["value"])
    assert np.allclose(a["p"], b["p"], atol=0.02)


def test_five_quintiles_cannot_give_a_small_p():
    rho, p, floor = spearman_exact(np.arange(5), np.array([1.0, 2, 3, 4, 9]))
    assert rho == pytest.approx(1)
    assert p == pytest.approx(2 / 120)
    assert floor == pytest.approx(2 / 120)
    assert spearman_exact(np.arange(5), np.array([1.0, 2, 3, 5, 4]))[1] == pytest.approx(10 / 120)


def test_a_gradient_is_found_with_its_exact_p_beside_it():
    rng = keyed_rng("gradient")
    latent = rng.normal(size=GENES)
    tensor = draw_tensor(rng, 0.0)
    tensor.tensor[:, :, 0] += 3 * latent
    edges = draw_graph(rng, tensor, 0.0, edges=1500)
    scores = 1 - 0.2 * np.abs(latent[edges[:, 0]] - latent[edges[:, 1]]) + 0.05 * rng.normal(size=1500)
    spectral = spectral_coordinates(tensor, "nonzero", axes=3)
    rows = gradient_rows(spectral, edges, scores, np.zeros(GENES, int), (1,), permutations=199)
    mean_z = rows[rows["quantity"] == "bin_mean_z"]["value"].to_numpy()
    assert (np.diff(mean_z) > 0).all()
    published = rows[rows["quantity"] == "gradient_spearman_published"].iloc[0]
    assert published["p"] == pytest.approx(2 / 120)
    assert rows[rows["quantity"] == "gradient_slope"].iloc[0]["p"] == 1 / 200


def test_pairs_matched_on_coexpression_and_degree_leave_nothing_where_coexpression_is_all():
    rng = keyed_rng("matched")
    programme = rng.normal(size=(GENES, 1))
    tensor = draw_tensor(rng, 0.0)
    tensor.tensor[:, :, 0] += 3 * programme[:, 0]
    r = cosines(np.hstack([programme, rng.normal(size=(GENES, 1))]))
    i, j = np.triu_indices(GENES, 1)
    chosen = np.argsort(-(3 * r[i, j] + rng.gumbel(size=len(i))))[:600]  # by co-expression, not programme
    edges = np.column_stack([i, j])[chosen]
    spectral = spectral_coordinates(tensor, "nonzero", axes=2)
    row = matched_rows(spectral, edges, r, (1,), bootstraps=200).iloc[0]
    raw = copole_rows(spectral, edges, np.zeros(GENES, int), (1,), permutations=99, bootstraps=100).query(
        "null == 'paper'"
    )
    assert raw.iloc[0]["p"] == 0.01
    assert raw.iloc[0]["ci_low"] < raw.iloc[0]["value"] < raw.iloc[0]["ci_high"]
    assert abs(row["value"]) < 0.5 * (raw.iloc[0]["value"] - raw.iloc[0]["null_mean"])
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert np.isnan(row["p"])


def test_the_pair_model_s_correlation_is_the_partial_one():
    rng = keyed_rng("pair-model")
    tensor = draw_tensor(rng)
    spectral = spectral_coordinates(tensor, "nonzero", axes=6)
    edges = np.array(list(combinations(range(GENES), 2)))
    r = np.corrcoef(rng.normal(size=(GENES, 8)))
    cosine = cosines(spectral.axes(1, 6))[0][edges[:, 0], edges[:, 1]]
    scores = 0.5 + 0.1 * cosine + 0.1 * r[edges[:, 0], edges[:, 1]] + 0.05 * rng.normal(size=len(edges))
    flat = np.zeros(GENES, int)
    rows = pair_model_rows(spectral, edges, scores, r, tensor.mean, flat, {"SV1-6": (1, 6)}, 99, 100)
    row = rows[(rows["quantity"] == "partial_r") & (rows["layer"] == 0)].iloc[0]
    i, j = edges.T
    x = np.column_stack([np.ones(len(i)), r[i, j], (tensor.mean[i] + tensor.mean[j]) / 2])
    rest = [v - x @ np.linalg.lstsq(x, v, rcond=None)[0] for v in (scores, cosine)]
    assert row["value"] == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-6)
    assert row["p"] == 0.02  # two-sided, smallest of 99
    assert row["ci_low"] < row["value"] < row["ci_high"]
    beta = rows[(rows["layer"] == 0) & rows["quantity"].str.startswith("beta")].set_index("quantity")["value"]
    assert beta["beta_score"] > 0.1


def test_too_few_pairs_are_not_testable():
    spectral = spectral_coordinates(draw_tensor(keyed_rng("few")), "nonzero", axes=2)
    none = np.empty((0, 2), dtype=int)
    for rows in (
        copole_rows(spectral, none, np.zeros(GENES, int), term="experiments"),
        gradient_rows(spectral, none, np.empty(0), np.zeros(GENES, int)),
        matched_rows(spectral, none, np.eye(GENES)),
    ):
        assert rows["status"].tolist() == ["not_testable"]
        assert "0 STRING pairs" in rows["reason"].iloc[0]

"""Scopes, coordinates, poles and the spectrum."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opbench.geometry.pairs import positions
from opbench.geometry.planted import draw_tensor
from opbench.geometry.scopes import (
    aligned_signs,
    cosines,
    distances,
    leading_vectors,
    poles,
    scope_rows,
    spectral_coordinates,
)
from opbench.geometry.spectrum import axes_for, effective_rank, participation_ratio, spectrum_rows, two_nn
from opbench.geometry.tensor import GeneTensor
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng

FIXTURES = Path(os.environ.get("OPBENCH_FIXTURES", "absent"))


def with_zero_rows(n=300, zero=180):
    """Genes around a centre far from 0, as layer-normalised states are, and genes that were never seen."""
    rng = keyed_rng("zero-rows")
    base = rng.normal(size=(n, 20)) + 4
    tensor = np.stack([base, base + 0.3 * rng.normal(size=base.shape)]).astype(np.float32)
    tensor[:, :zero] = 0
    count = np.where(np.arange(n) < zero, 0, 5)
    ones = np.full(n, 0.1, dtype=np.float32)
    return GeneTensor(tensor, count, ones, ones, ones, [f"G{i}" for i in range(n)], [0, 1])


def test_scopes_leave_out_zero_rows_and_unnamed_genes():
    tensor = with_zero_rows()
    named = [f"G{i}" for i in range(170, 200)]
    assert len(scope_rows(tensor, "all_rows")) == 300
    assert scope_rows(tensor, "nonzero").tolist() == list(range(180, 300))
    assert scope_rows(tensor, "named_nonzero", named).tolist() == list(range(180, 200))
    with pytest.raises(InputError, match="named_nonzero: 0 of 300"):
        scope_rows(tensor, "named_nonzero", ["G0"])


def test_zero_rows_make_the_first_axis_their_own():
    """The collapse of the spectrum with all rows is the direction from absent to present (F2)."""
    tensor = with_zero_rows()
    shares = {}
    for scope in ("all_rows", "nonzero"):
        rows = spectrum_rows(tensor, spectral_coordinates(tensor, scope, axes=3))
        shares[scope] = rows.set_index(["layer", "quantity"])["value"]
    assert shares["all_rows"][0, "sv1_share"] > 0.9
    assert shares["nonzero"][0, "sv1_share"] < 0.1
    assert shares["nonzero"][0, "effective_rank"] > 15 > 2 > shares["all_rows"][0, "effective_rank"]
    first = spectral_coordinates(tensor, "all_rows", axes=1).u[0, :, 0]
    assert abs(np.corrcoef(first, tensor.count > 0)[0, 1]) > 0.99


def test_spectral_quantities_have_their_known_values():
    assert effective_rank(np.ones(7)) == pytest.approx(7)
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert axes_for(np.ones(10)) == 9
    assert axes_for(np.array([3.0, 1.0])) == 1
    assert np.isnan(effective_rank(np.zeros(3)))


@pytest.mark.parametrize("dimension", [2, 5])
def test_two_nn_finds_the_dimension_of_a_manifold(dimension):
    rng = keyed_rng("two-nn", dimension)
    flat = rng.random((1500, dimension)) @ rng.normal(size=(dimension, 30))
    assert two_nn(flat) == pytest.approx(dimension, rel=0.12)
    assert two_nn(np.vstack([flat, np.zeros((500, 30))])) == pytest.approx(dimension, rel=0.12)


def test_coordinates_are_centred_and_signs_follow_the_layer_before():
    tensor = draw_tensor(keyed_rng("signs"))
    spectral = spectral_coordinates(tensor, "nonzero", axes=4)
    assert np.allclose(spectral.coordinates.sum(axis=1), 0, atol=1e-6)
    x = tensor.tensor[1].astype(float)
    gram = spectral_coordinates(tensor, "nonzero", axes=16).coordinates[1]
    assert np.allclose(gram @ gram.T, (x - x.mean(0)) @ (x - x.mean(0)).T, atol=1e-6)
    flipped = spectral.u * np.array([1, -1, 1])[:, None, None]
    again = aligned_signs(flipped)
    assert np.allclose(again, spectral.u)
    assert ((again[:-1] * again[1:]).sum(axis=1) >= 0).all()


def test_poles_hold_a_quarter_each():
    codes = poles(keyed_rng("poles").normal(size=(2, 209, 3)))
    assert ((codes == 1).sum(axis=1) == 52).all()
    assert ((codes == -1).sum(axis=1) == 52).all()
    assert (poles(np.zeros((1, 187, 1))) == 1).sum() == 47


def test_pairwise_measures():
    x = keyed_rng("pairs").normal(size=(1, 6, 3))
    assert distances(x)[0, 1, 4] == pytest.approx(np.linalg.norm(x[0, 1] - x[0, 4]))
    assert np.allclose(np.diagonal(cosines(x)[0]), 1)


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="OPBENCH_FIXTURES names no folder")
def test_genes_are_found_by_symbol_not_by_place_in_a_list_without_blanks():
    """Rows of the published tensor: dropping blank lines gave gene k row k (F4)."""
    true = pd.read_csv(FIXTURES / "gene_rows_and_drift_209genes.csv")
    lines = [""] * (true["emb_idx"].max() + 1)
    for gene, row in true[["gene", "emb_idx"]].itertuples(index=False):
        lines[row] = gene
    assert positions(true["gene"].to_numpy(), lines).tolist() == true["emb_idx"].tolist()
    dropped = [line for line in lines if line]
    assert (positions(true["gene"].to_numpy(), dropped) != true["emb_idx"]).all()


def test_leading_vectors_of_a_tall_matrix_are_those_of_its_decomposition():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 40)) * np.geomspace(1, 1e-3, 40)
    u, s = np.linalg.svd(x, full_matrices=False)[:2]
    got, values = leading_vectors(x, 7)
    assert got.shape == (300, 7)
    np.testing.assert_allclose(np.abs((got * u[:, :7]).sum(axis=0)), 1, atol=1e-12)
    np.testing.assert_allclose(values, s, rtol=1e-9)
    # A seventh axis that is all but absent: its vector must not come from the square.
    x[:, 6:] *= 1e-9
    u = np.linalg.svd(x, full_matrices=False)[0]
    np.testing.assert_allclose(np.abs((leading_vectors(x, 7)[0] * u[:, :7]).sum(axis=0)), 1, atol=1e-9)

"""The operator's algebra: rows, halves, support, controls."""

import numpy as np
import pytest

from opbench.io.errors import InputError
from opbench.operators.controls import gaussian_blocks, gaussian_halves
from opbench.operators.drift import block_means, drift_halves, layer_blocks, parse_head
from opbench.operators.operator import from_blocks, read_operator, write_operator

L, H, G = 6, 2, 30


@pytest.fixture(scope="module")
def sums():
    """Attention sums over cells that tokenise random gene subsets: every row adds 1 per cell."""
    rng = np.random.default_rng(0)
    sums, together = np.zeros((L, H, G, G), dtype=np.float32), np.zeros((G, G), dtype=int)
    for _ in range(40):
        genes = rng.choice(G - 3, size=8, replace=False)  # the last three genes are never tokenised
        attention = rng.dirichlet(np.ones(8), size=(L, H, 8))
        sums[:, :, genes[:, None], genes] += attention
        together[genes[:, None], genes] += 1
    return sums, together


def test_rows_of_a_block_mean_sum_to_the_tokenised_count(sums):
    blocks = block_means(sums[0])
    np.testing.assert_allclose(blocks.sum(2), np.tile(np.diag(sums[1]), (3, 1)), rtol=1e-4)


def test_drift_halves_sum_to_zero_on_every_cell(sums):
    x = np.random.default_rng(1).random((5, G))
    for half in drift_halves(block_means(sums[0])):
        features = x @ half
        assert np.abs(features.sum(1)).max() / np.abs(features).sum() < 1e-5


def test_layers_must_divide_into_three_blocks():
    assert [b.stop - b.start for b in layer_blocks(12)] == [4, 4, 4]
    with pytest.raises(InputError, match="three equal drift blocks"):
        layer_blocks(8)
    with pytest.raises(InputError, match="L2H5"):
        parse_head("2-5")


@pytest.mark.parametrize("arm", ["halves", "blocks"])
def test_gaussian_keeps_support_and_sd_and_differs_by_draw(sums, arm):
    blocks, support = block_means(sums[0]), sums[1] > 0
    halves = drift_halves(blocks)
    make = {
        "halves": lambda draw: gaussian_halves(halves, support, 0, draw),
        "blocks": lambda draw: gaussian_blocks(blocks, support, 0, draw),
    }[arm]
    first, again, other = make(0), make(0), make(1)
    for k in range(2):
        assert not first[k][~support].any()
        np.testing.assert_array_equal(first[k], again[k])
        assert np.abs(first[k] - other[k]).max() > 0
        expected = halves[k] if arm == "halves" else None
        if expected is not None:
            assert first[k][support].std() == pytest.approx(expected[support].std(), rel=0.1)
            assert abs(first[k][support].mean()) < 0.2 * expected[support].std()


def test_operator_file_keeps_matrix_genes_and_provenance(tmp_path, sums):
    halves = drift_halves(block_means(sums[0]))
    genes = tuple(f"g{i}" for i in range(G))
    operator = from_blocks(halves, sums[1] > 0, genes, arm="real", seed=3)
    write_operator(operator, tmp_path / "op.safetensors")
    back = read_operator(tmp_path / "op.safetensors")
    np.testing.assert_array_equal(back.matrix, operator.matrix)
    np.testing.assert_allclose(back.blocks[1], halves[1], rtol=1e-6, atol=1e-6)
    assert (back.genes, back.meta) == (genes, {"arm": "real", "seed": 3})
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not an operator file"):
        read_operator(tmp_path / "bad.safetensors")

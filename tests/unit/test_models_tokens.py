"""Token conventions and value bins, against the bin ranges of the public code."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from opbench.io.seeds import keyed_rng
from opbench.models.tokens import bin_values, in_gene_order, packed, pad_batch, tokenise, tokenise_cells

FIXTURE = Path(__file__).parents[1] / "fixtures" / "scgpt_reference" / "binning.npz"


@pytest.mark.parametrize(("kind", "prefix"), [("counts", "counts"), ("log1p_cp10k", "log")])
def test_bins_stay_in_and_reach_the_released_ranges(kind, prefix):
    with np.load(FIXTURE) as arrays:
        cells, low, high = (arrays[name] for name in (kind, f"{prefix}_bin_low", f"{prefix}_bin_high"))
    for row, cell in enumerate(cells):
        nonzero = cell > 0
        assert not low[row, ~nonzero].any()
        drawn = np.stack([bin_values(cell[nonzero], 51, keyed_rng(row, draw)) for draw in range(20)])
        assert (drawn >= low[row, nonzero]).all()
        assert (drawn <= high[row, nonzero]).all()
        # Twenty draws of hundreds of ones reach both ends of their range.
        ones = cell[nonzero] == cell[nonzero].min()
        if ones.sum() > 100:
            assert drawn[:, ones].min() == low[row, nonzero][ones].min()
            assert drawn[:, ones].max() == high[row, nonzero][ones].max()


def test_conventions_order_values_and_caps():
    columns, values = np.array([5, 2, 9, 7]), np.array([1.0, 2.0, 2.0, 3.0], dtype=np.float32)
    ordered, kept = tokenise(columns, values, "c", "operator", 3, seed=0)
    assert ordered.tolist() == [7, 2, 9]
    assert kept.tolist() == [3.0, 2.0, 2.0]
    ordered, bins = tokenise(columns, values, "c", "operator_binned", 3, seed=0)
    assert ordered.tolist() == [7, 2, 9]
    assert bins[0] == 50
    assert np.array_equal(bins, bins.astype(int))
    whole, bins = tokenise(columns, values, "c", "embedding", 5, seed=0)
    assert whole.tolist() == [-1, 2, 5, 7, 9]
    assert bins[0] == -2.0
    sampled, _ = tokenise(columns, values, "c", "embedding", 3, seed=0)
    assert len(sampled) == 3
    assert sampled[0] == -1
    draws = {tuple(tokenise(columns, values, f"c{i}", "embedding", 3, seed=0)[0]) for i in range(40)}
    assert len(draws) == 6  # all pairs of four genes


@pytest.fixture
def expression():
    rng = keyed_rng("tokens-test")
    counts = rng.poisson(0.6, (30, 40)) * (rng.random((30, 1)) < 0.97)
    return csr_matrix(np.log1p(counts).astype(np.float32))


@pytest.mark.parametrize("convention", ["operator", "operator_binned", "embedding"])
def test_a_cell_gives_the_same_tokens_in_any_order_and_batch(expression, convention):
    cells = [f"cell{i}" for i in range(30)]
    table = tokenise_cells(expression, cells, convention, 12, seed=3)
    order = keyed_rng("order").permutation(30)
    moved = tokenise_cells(expression[order], [cells[i] for i in order], convention, 12, seed=3)
    for new, old in enumerate(order):
        ours, theirs = (slice(t.indptr[r], t.indptr[r + 1]) for t, r in ((moved, new), (table, old)))
        assert np.array_equal(moved.columns[ours], table.columns[theirs])
        assert np.array_equal(moved.values[ours], table.values[theirs])


def test_packed_batches_hold_every_cell_once_within_the_budget(expression):
    table = in_gene_order(tokenise_cells(expression, [str(i) for i in range(30)], "embedding", 50, seed=0))
    ids = np.arange(100, 140)
    seen = []
    for batch in packed(table, ids, cls_id=7, batch_tokens=60):
        assert len(batch.gene_ids) <= 60 or len(batch.rows) == 1
        seen += batch.rows.tolist()
        for span, cell in zip(batch.spans, batch.rows, strict=True):
            held = slice(table.indptr[cell], table.indptr[cell + 1])
            assert batch.gene_ids[span][0] == 7
            assert np.array_equal(batch.gene_ids[span][1:], ids[table.columns[held][1:]])
            assert np.array_equal(batch.values[span], table.values[held])
    assert seen == list(range(30))


def test_gene_order_moves_values_with_their_genes_and_skips_empty_cells(expression):
    cells = [str(i) for i in range(30)]
    expression = csr_matrix(expression.toarray() * ~np.isin(np.arange(30), [0, 7, 29])[:, None])
    by_value = tokenise_cells(expression, cells, "operator", 12, seed=0)
    table = in_gene_order(by_value)
    for row in range(30):
        span = slice(table.indptr[row], table.indptr[row + 1])
        assert (np.diff(table.columns[span]) > 0).all()
        assert np.array_equal(table.values[span], expression[row].toarray()[0, table.columns[span]])
        assert set(table.columns[span]) == set(by_value.columns[span])
    rows = np.concatenate([batch.rows for batch in packed(table, np.arange(40), 0, 25)])
    assert rows.tolist() == [row for row in range(30) if row not in (0, 7, 29)]


def test_padding_does_not_leak_from_the_next_cell(expression):
    table = tokenise_cells(expression, [str(i) for i in range(30)], "operator", 50, seed=0)
    batch = pad_batch(table, np.array([0, 1]), np.arange(40), cls_id=98, pad_id=99)
    assert (batch.columns[batch.padding] == -1).all()

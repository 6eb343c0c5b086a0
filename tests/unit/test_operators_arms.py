"""Control operators: what each keeps, what each is by hand, and that draws are keyed."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS
from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.models.attention import AttentionSums, accumulate_attention, load_attention, save_attention
from opbench.models.checkpoint import read_checkpoint
from opbench.models.random_attention import accumulate_random_attention
from opbench.models.transformer import load_model
from opbench.operators.arms import Sources
from opbench.operators.coexpression import ppmi, uniform
from opbench.operators.controls import shuffle
from opbench.operators.drift import block_means, drift_halves
from opbench.operators.export import build_operator
from opbench.operators.names import NEEDS, needs, parse_name
from opbench.operators.weights import GeneCircuits

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "scgpt_reference"
# The last name is unknown to the model.
GENE_NAMES = [*(f"GENE{i:04d}" for i in range(30, 59)), "UNKNOWN"]
G, CELLS = len(GENE_NAMES), 20


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(FIXTURE)


@pytest.fixture(scope="module")
def attention(checkpoint):
    """Three layers of four heads over 20 cells of at most 12 tokens; two known genes are never expressed."""
    rng = keyed_rng("arms-test")
    rate = np.where(np.isin(np.arange(G), [3, 17]), 0, rng.gamma(0.5, 1.0, G))
    log1p = csr_matrix(np.log1p(rng.poisson(rate, (CELLS, G))).astype(np.float32))
    cells = [f"cell{i}" for i in range(CELLS)]
    return accumulate_attention(load_model(checkpoint), checkpoint.vocab, log1p, GENE_NAMES, cells, "operator", 12)


@pytest.fixture(scope="module")
def sources(attention, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arms")
    save_attention(attention, folder / "a.safetensors")
    files = (folder / "a.safetensors", FIXTURE / "args.json", FIXTURE / "vocab.json")
    for draw in (0, 1):
        accumulate_random_attention(*files, draw, folder / f"{draw}.safetensors")
    accumulate_random_attention(*files, 0, folder / "again.safetensors")
    return folder


def build(attention, sources, name, seed=0) -> np.ndarray:
    """The operator's blocks, (K, G, G)."""
    draw = parse_name(name)[1] if name != "drift" else 0
    files = Sources(FIXTURE, sources / f"{draw}.safetensors", None)
    return build_operator(attention, name, Operators(seed=seed), files).blocks


RANDOM = [f"{arm}-0" for arm in RANDOM_ARMS if arm != "label_lookup"]


@pytest.mark.parametrize("name", [*RANDOM, *FIXED_ARMS])
def test_every_arm_is_built_and_says_what_it_is(attention, sources, name):
    arm, draw = parse_name(name)
    files = Sources(FIXTURE, sources / "0.safetensors", None)
    operator = build_operator(attention, name, Operators(seed=5), files)
    assert np.isfinite(operator.matrix).all()
    assert operator.matrix.any()
    about = {"arm": arm, "draw": draw, "seed": 5, "encoding": "rank" if arm == "token_bag" else "log1p"}
    assert {key: operator.meta[key] for key in about} == about
    assert operator.meta["construction"]
    assert not (operator.blocks != 0)[:, ~operator.support].any()
    unread = attention.tokenised == 0
    assert unread[[3, 17, G - 1]].all()
    if arm not in ("identity", "dense", "token_bag"):
        assert not operator.blocks[:, unread].any()
        assert not operator.blocks[:, :, unread].any()


@pytest.mark.parametrize("arm", [arm for arm in RANDOM_ARMS if arm != "label_lookup"])
def test_draws_differ_and_repeat_bit_for_bit(attention, sources, arm):
    first, other = (build(attention, sources, f"{arm}-{draw}") for draw in (0, 1))
    assert np.abs(first - other).max() > 0
    np.testing.assert_array_equal(first, build(attention, sources, f"{arm}-0"))
    if arm != "random_model":  # its seed is the attention file's
        assert not np.array_equal(first, build(attention, sources, f"{arm}-0", seed=1))


def test_shuffle_keeps_each_half_s_values_and_support(attention, sources):
    real, shuffled = build(attention, sources, "drift"), build(attention, sources, "shuffle-0")
    support = attention.cotokenised > 0
    for half, own in zip(real, shuffled, strict=True):
        np.testing.assert_array_equal(np.sort(half[support]), np.sort(own[support]))
        assert not own[~support].any()
        assert not np.array_equal(half, own)
    single = attention.sums[0, 0]
    (own,) = shuffle([single], support, 0, 0)
    np.testing.assert_array_equal(np.sort(single[support]), np.sort(own[support]).astype(np.float32))


@pytest.mark.parametrize("arm", ["spectrum", "row_permuted"])
def test_permuted_genes_keep_singular_values_of_halves_and_whole(attention, sources, arm):
    real, own = build(attention, sources, "drift"), build(attention, sources, f"{arm}-0")
    for a, b in [*zip(real, own, strict=True), (np.hstack(real), np.hstack(own))]:
        np.testing.assert_allclose(np.linalg.svd(a)[1], np.linalg.svd(b)[1], atol=1e-5)
        assert not np.allclose(a, b)
    if arm == "spectrum":
        np.testing.assert_allclose(np.sort(np.diagonal(own[0])), np.sort(np.diagonal(real[0])))
    else:
        np.testing.assert_allclose(own[0].sum(0), real[0].sum(0), atol=1e-5)  # columns keep their genes


def test_uniform_is_the_attention_of_a_model_that_looks_everywhere_alike(attention, sources):
    (own,) = build(attention, sources, "uniform")
    np.testing.assert_allclose(own.sum(1), attention.tokenised, rtol=1e-6)
    assert np.array_equal(own > 0, attention.cotokenised > 0)
    values = attention.log1p.toarray()
    expected = np.zeros((G, G))
    for cell in values:
        tokens = np.argsort(-cell, kind="stable")[: min(12, (cell > 0).sum())]
        expected[tokens[:, None], tokens] += 1 / len(tokens)
    np.testing.assert_allclose(own, expected, rtol=1e-6)


def test_uniform_leaves_cls_its_share(checkpoint, attention):
    made = accumulate_attention(
        load_model(checkpoint), checkpoint.vocab, attention.log1p, GENE_NAMES, attention.cells, "embedding", 12
    )
    rows = uniform(made).sum(1)
    seen = made.tokenised > 0
    assert (rows[seen] < made.tokenised[seen]).all()
    assert rows.sum() == pytest.approx(sum(n**2 / (n + 1) for n in np.minimum(11, np.diff(made.log1p.indptr))))


def test_coexpression_is_numpy_s_correlation_of_the_tokenised_genes(attention, sources):
    (own,) = build(attention, sources, "coexpression")
    seen = attention.tokenised > 0
    expected = np.corrcoef(attention.log1p.toarray()[:, seen].T)
    np.testing.assert_allclose(own[np.ix_(seen, seen)], expected, atol=1e-6)


def test_ppmi_by_hand():
    # Eight cells: genes 0 and 1 in four each, two of them shared; gene 2 in two, both with gene 0.
    together = np.array([[4, 2, 2], [2, 4, 0], [2, 0, 2]])
    expected = np.log([[2, 1, 2], [1, 2, 1], [2, 1, 4]])
    np.testing.assert_allclose(ppmi(together, 8), expected, atol=1e-12)


def three_genes() -> AttentionSums:
    """Three layers of one head over two cells: the first has genes 0 and 1, the second all three."""
    own = [np.array([[0.5, 0.5, 0], [0.25, 0.75, 0], [0, 0, 0]]), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])]
    own.append(np.array([[0.2, 0.8, 0], [0.6, 0.4, 0], [0, 0, 0]]))
    second = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])
    sums = np.stack([(first + second)[None] for first in own]).astype(np.float32)
    together = np.array([[2, 2, 1], [2, 2, 1], [1, 1, 1]], np.int32)
    log1p = csr_matrix(np.array([[1, 1, 0], [1, 1, 1]], np.float32))
    about = {"convention": "operator", "max_length": 12, "seed": 0, "n_bins": 51}
    return AttentionSums(sums, together, np.array([2, 2, 1]), log1p, ["a", "b"], list("ABC"), about)


def test_counts_row_stochastic_and_pooled_by_hand():
    made = three_genes()
    early, mid, late = made.sums[:, 0]
    divisor = np.array([[2, 2, 1], [2, 2, 1], [1, 1, 1]])
    counts = build_operator(made, "counts", Operators()).blocks
    np.testing.assert_allclose(counts, [(early - mid) / divisor, (mid - late) / divisor], atol=1e-6)
    assert counts[0, 0, 0] == pytest.approx((0.5 - 1) / 2)
    rows = np.array([2, 2, 1])[:, None]
    own = build_operator(made, "row_stochastic", Operators()).blocks
    np.testing.assert_allclose(own, [(early - mid) / rows, (mid - late) / rows], atol=1e-6)
    assert own[0, 0, 1] == pytest.approx((0.5 - 0) / 2)
    (pooled,) = build_operator(made, "pooled", Operators()).blocks
    np.testing.assert_allclose(pooled, (early + mid + late) / 3, atol=1e-6)
    np.testing.assert_allclose(pooled.sum(1), made.tokenised, atol=1e-6)


def test_row_stochastic_divides_each_head_by_its_own_rows(checkpoint, attention):
    """With <cls> the rows of heads have different sums, so that their mean cannot be divided afterwards."""
    made = accumulate_attention(
        load_model(checkpoint), checkpoint.vocab, attention.log1p, GENE_NAMES, attention.cells, "embedding", 12
    )
    rows = made.sums.sum(-1, keepdims=True, dtype=np.float64)
    own = (made.sums / np.where(rows > 0, rows, 1)).mean(1)
    expected = [own[0] - own[1], own[1] - own[2]]
    np.testing.assert_allclose(build_operator(made, "row_stochastic", Operators()).blocks, expected, atol=1e-6)


@pytest.mark.parametrize("permuted", [False, True], ids=["as learnt", "permuted"])
def test_circuits_are_the_explicit_sums_over_layers_and_heads(checkpoint, attention, sources, permuted):
    state, seen = checkpoint.state, np.flatnonzero(attention.tokenised)
    raw = state["encoder.embedding.weight"].numpy()[[checkpoint.vocab[GENE_NAMES[i]] for i in seen]].astype(float)
    raw = (raw - raw.mean(1, keepdims=True)) / np.sqrt(raw.var(1, keepdims=True) + 1e-5)
    embedding = np.zeros((G, raw.shape[1]))
    norm = (state[f"encoder.enc_norm.{part}"].numpy() for part in ("weight", "bias"))
    embedding[seen] = raw * next(norm) + next(norm)
    layers, heads, width = 3, 4, embedding.shape[1]
    size = width // heads
    for kind in ("gram", "qk", "ov"):
        name, e = kind, embedding
        if permuted:
            name = f"{kind}_permuted-1"
            order = np.arange(G)
            order[seen] = keyed_rng(0, f"{kind}_permuted", 1).permutation(seen)
            e = embedding[order]
        expected = e @ e.T if kind == "gram" else np.zeros((G, G))
        for layer in range(layers if kind != "gram" else 0):
            prefix = f"transformer_encoder.layers.{layer}.self_attn"
            q, k, v = state[f"{prefix}.in_proj_weight"].numpy().reshape(3, heads, size, width).astype(float)
            out = state[f"{prefix}.out_proj.weight"].numpy().reshape(width, heads, size).astype(float)
            if kind == "qk":
                queries, keys = np.einsum("gd,hsd->hgs", e, q), np.einsum("gd,hsd->hgs", e, k)
                expected += np.einsum("his,hjs->ij", queries, keys) / np.sqrt(size)
            else:
                expected += np.einsum("id,hsd,whs,jw->ij", e, v, out, e, optimize=True)
        if kind != "gram":
            expected /= layers * heads
        (own,) = build(attention, sources, name)
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)


def test_embedding_is_what_the_model_adds_values_to(checkpoint, attention):
    made = GeneCircuits.read(FIXTURE, attention)
    assert not made.embedding[attention.tokenised == 0].any()
    assert np.linalg.matrix_rank(made.operator("gram")) <= made.embedding.shape[1]


def test_random_model_has_the_real_one_s_rows_and_another_s_attention(attention, sources):
    real, own = build(attention, sources, "drift"), build(attention, sources, "random_model-0")
    assert np.abs(real - own).max() > 0.01
    random, again = (load_attention(sources / f"{name}.safetensors") for name in ("0", "again"))
    np.testing.assert_array_equal(random.sums, again.sums)
    np.testing.assert_array_equal(random.cotokenised, attention.cotokenised)
    np.testing.assert_allclose(random.sums.sum(-1)[0, 0], attention.tokenised, rtol=1e-4)
    np.testing.assert_allclose(own, drift_halves(block_means(random.sums)), atol=1e-6)
    other = AttentionSums(**{**vars(attention), "cells": attention.cells[::-1]})
    with pytest.raises(InputError, match="over other cells or genes"):
        build(other, sources, "random_model-0")


def test_names_say_what_an_arm_needs_and_wrong_ones_are_refused(attention):
    assert set(NEEDS) <= {*RANDOM_ARMS, *FIXED_ARMS}
    assert (needs("qk_permuted-3"), needs("qk"), needs("drift"), needs("shuffle-0")) == ("checkpoint",) * 2 + ("",) * 2
    for wrong in ("shuffle", "uniform-0", "shuffel-1", "drfit"):
        with pytest.raises(InputError, match=f"operator '{wrong}' is unknown"):
            build_operator(attention, wrong, Operators())
    for name, need in (("qk", "checkpoint"), ("random_model-0", "random_attention"), ("label_lookup-0", "panel")):
        with pytest.raises(InputError, match=f"'{name}'.*give its {need}"):
            build_operator(attention, name, Operators())


def test_the_documentation_has_a_row_for_every_arm():
    rows = (ROOT / "docs/evidence.md").read_text().splitlines()
    named = {row.split("|")[1].strip(" `") for row in rows if row.startswith("| `")}
    assert {*RANDOM_ARMS, *FIXED_ARMS} <= named

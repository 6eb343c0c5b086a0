"""What claims on operators and embeddings are read from: measured on small matrices where the answer is known."""

import numpy as np
import pandas as pd
import pytest

from opbench.models.attention import AttentionSums
from opbench.models.repeat import compare, cosines
from opbench.operators.facts import attention_facts, operator_facts, rank_of
from opbench.operators.operator import from_blocks

L, H, G = 3, 2, 12


def attention(scale: float = 1.0) -> AttentionSums:
    """Attention over 30 cells of 5 tokens each among the first 10 of 12 genes."""
    rng = np.random.default_rng(0)
    sums, together = np.zeros((L, H, G, G), dtype=np.float32), np.zeros((G, G), dtype=np.int32)
    for _ in range(30):
        genes = rng.choice(G - 2, size=5, replace=False)
        sums[:, :, genes[:, None], genes] += rng.dirichlet(np.ones(5), size=(L, H, 5)).astype(np.float32)
        together[genes[:, None], genes] += 1
    sums[1, 1] *= scale
    more = {"log1p": None, "indptr": None}
    fields = {name: more.get(name) for name in AttentionSums.__dataclass_fields__}
    fields |= {"sums": sums, "cotokenised": together, "tokenised": np.diagonal(together).astype(np.int64), "cells": [],
               "genes": [f"g{i}" for i in range(G)], "metadata": {"convention": "operator"}}  # fmt: skip
    return AttentionSums(**fields)


def test_rows_of_summed_attention_add_up_to_tokens():
    facts = attention_facts(attention())
    assert facts["row_sum_error"] < 1e-5
    assert facts["row_sum_correlation"] == pytest.approx(1)
    assert (facts["zero_rows"], facts["untokenised"], facts["convention"]) == (2, 2, "operator")
    assert facts["support_share"] == pytest.approx(facts["nonzero_share"])
    assert facts["rank"] == G - 2


def test_one_wrong_head_shows():
    assert attention_facts(attention(scale=1.1))["row_sum_error"] == pytest.approx(0.1, rel=1e-3)


def test_a_drift_sums_to_zero_and_a_gaussian_does_not():
    data = attention()
    genes, support = tuple(data.genes), data.cotokenised > 0
    early, mid, late = (np.asarray(data.sums[layer]).mean(0) for layer in range(3))
    drift = operator_facts(from_blocks([early - mid, mid - late], support, genes, arm="real"))
    assert drift["half_sum"] < 1e-5
    assert (drift["arm"], drift["zero_rows"], drift["untokenised"]) == ("real", 2, 2)
    values = np.where(support, np.random.default_rng(1).normal(size=(G, G)), 0)
    assert operator_facts(from_blocks([values, -values], support, genes))["half_sum"] > 0.1


def test_rank_is_that_of_single_precision():
    rng = np.random.default_rng(2)
    matrix = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 80))).astype(np.float32)
    assert rank_of(matrix) == np.linalg.matrix_rank(matrix) == 3
    assert rank_of(np.zeros((4, 8))) == 0


def test_cosines_of_embeddings():
    a = np.array([[1.0, 0], [1, 1], [0, 0]])
    b = np.array([[2.0, 0], [1, 0], [1, 0]])
    np.testing.assert_allclose(cosines(a, b), [1, np.sqrt(0.5), np.nan])
    same, other = compare("cls", a, {"same": a, "other": b})
    assert (same["moved"], same["mean"], same["cells"]) == (0.0, pytest.approx(1.0), 2)
    assert (other["moved"], other["lowest"]) == (1.0, pytest.approx(np.sqrt(0.5)))
    assert pd.DataFrame([same, other])["pool"].eq("cls").all()

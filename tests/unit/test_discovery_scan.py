"""The scan finds the head that knows the ruler, ranks controls in its place, and never scores a donor it trained on."""

import numpy as np
import pandas as pd
import pytest
from chain_parts import GENES, KNOWING, make_parts
from scipy.sparse import csr_matrix

from opbench.config import load_config, parse_config
from opbench.discovery.random_heads import RANDOM, random_matrix
from opbench.discovery.scan import SINGLE, Scan, ScanFiles, donor_folds, scan_heads, single_matrix
from opbench.discovery.scan_table import complete
from opbench.discovery.single import NoSingleError, chosen_head
from opbench.io.errors import InputError
from opbench.io.tables import HEADS, read_table, write_table
from opbench.models.attention_file import AttentionSums, save_attention

ABOUT = {"convention": "operator", "max_length": 60, "seed": 0, "n_bins": 51}
BINARY = {"low_high": {"positive": {"a": ["0", "1"]}, "negative": {"a": ["4", "5"]}}}


def make_attention() -> AttentionSums:
    """Two layers of two heads; L1H0 alone reads the genes that know the ruler, the others those that do not."""
    rng = np.random.default_rng(1)
    sums = rng.normal(size=(2, 2, GENES, GENES)).astype(np.float32)
    sums[:, :, :KNOWING] = 0
    sums[1, 0] = 0
    sums[1, 0, :KNOWING] = rng.normal(size=(KNOWING, GENES))
    sums += 1e-3 * rng.normal(size=sums.shape).astype(np.float32)
    log1p = csr_matrix(rng.random((30, GENES)).astype(np.float32) * (rng.random((30, GENES)) < 0.6))
    together = ((log1p > 0).T.astype(int) @ (log1p > 0).astype(int)).toarray().astype(np.int32)
    together[0, 1:3] = together[1:3, 0] = 0
    genes = [f"g{i}" for i in range(GENES)]
    return AttentionSums(
        sums, together, np.diagonal(together).astype(np.int64), log1p, list(map(str, range(30))), genes, ABOUT
    )


@pytest.fixture(scope="module")
def config():
    raw = load_config("config/config.yaml").model_dump()
    chain = {"seeds": 2, "scan": {"draws": 2, "epochs": 60}}
    raw |= {"discovery": chain, "endpoints": {"binary": BINARY, "verdict": []}}
    raw["adaptor"]["width"] = 3
    raw["datasets"]["a"] = next(iter(raw["datasets"].values()))
    return parse_config(raw)


@pytest.fixture(scope="module")
def table(config):
    rows = pd.DataFrame(Scan(config, make_parts(), make_attention()).records())
    return complete(rows, config.discovery).assign(run="r", panel="p", width=3)


def test_the_planted_head_is_chosen_and_leads_on_every_part(table):
    real = table[(table["arm"] == "real") & (table["head"] != "best") & (table["part"] != "zero_shot")]
    assert set(real.loc[real["chosen"], "head"]) == {"L1H0"}
    assert set(real.loc[real["head"] == "L1H0", "rank"]) == {1}
    means = real[real["part"] == "external"].groupby("head")["residualised"].mean()
    assert means["L1H0"] > means.drop("L1H0").max() + 0.3
    assert real.loc[real["head"] == "L1H0", "auroc3"].min() > 0.95
    assert not table.loc[table["arm"] != "real", "chosen"].any()


def test_every_arm_has_its_rows_with_ranks_among_the_real_heads(table):
    for part, n in (("internal", 36), ("external", 36), ("zero_shot", 12)):
        rows = table[table["part"] == part]
        assert set(rows["arm"]) == {"real", *RANDOM, *SINGLE}
        assert rows.groupby(["arm", "draw"]).size().eq(5).all()
        assert set(rows["n"]) == {n}
    few = table[table["part"] == "zero_shot"]
    assert set(few["status"]) == {"not_testable"}
    assert few["reason"].str.contains("12 anchors, fewer than 20").all()
    real = table[(table["arm"] == "real") & (table["part"] == "external") & (table["draw"] == 0)].set_index("head")
    for row in table[table["arm"].isin(RANDOM) & (table["part"] == "external")].itertuples():
        others = real.drop([row.head, "best"] if row.head != "best" else ["best"])
        assert row.rank == 1 + (others["residualised"] > row.residualised).sum()
    single = table[(table["arm"] == "uniform") & (table["part"] == "external") & (table["draw"] == 1)]
    assert single["residualised"].nunique() == 1


def test_best_is_the_largest_of_as_many_matrices_as_there_are_heads(table):
    rows = table[(table["arm"] == "gaussian") & (table["part"] == "external") & (table["draw"] == 1)]
    own, best = rows[rows["head"] != "best"], rows[rows["head"] == "best"].iloc[0]
    assert len(own) == 4
    assert best["residualised"] == own["residualised"].max()
    winner = own.loc[own["residualised"].idxmax()]
    assert best["operator"] == winner["operator"] == f"head-{winner['head']}:gaussian-1"


def test_what_a_best_head_is_worth_is_said(table):
    best = table[(table["head"] == "best") & (table["status"] == "ok")]
    reasons = {arm: set(rows["reason"]) for arm, rows in best.groupby("arm")}
    alone = "one matrix: nothing to choose from, while the real heads are the best of 4"
    assert SINGLE == ("uniform", "coexpression", "identity")
    assert all(reasons[arm] == {alone} for arm in SINGLE)
    assert reasons["real"] == {"the best head is selected and tested on this part"}
    assert reasons["gaussian"] == {""}
    assert set(table.loc[table["arm"] == "identity", "operator"]) == {"identity"}
    assert not table.loc[table["head"] != "best", "reason"].str.contains("best").any()


def test_identity_scores_the_genes_themselves(config):
    np.testing.assert_array_equal(single_matrix("identity", make_attention()), np.eye(GENES))


def test_internal_heads_never_train_on_the_donors_that_they_are_scored_on(config):
    parts = make_parts()
    scan, donor = Scan(config, parts, make_attention()), parts.parts["internal"].donor
    inside = [trial for trial in scan.trials if trial.part == "internal"]
    assert len(inside) == 3
    assert all(not set(donor[trial.fit]) & set(donor[trial.scored]) for trial in inside)
    assert sorted(np.concatenate([trial.scored for trial in inside])) == list(range(len(donor)))
    assert sorted(np.concatenate(donor_folds(donor, 1))) == sorted(set(donor))


def test_random_matrices_keep_what_they_should():
    attention = make_attention()
    matrix, support = attention.sums[0, 0] + 2, attention.cotokenised > 0
    made = {arm: random_matrix(arm, matrix, attention, 4, 0) for arm in RANDOM}
    assert all(not made[arm][~support].any() for arm in ("gaussian", "shuffle"))
    values = made["gaussian"][support]
    assert values.mean() == pytest.approx(matrix[support].mean(), abs=0.1)
    assert values.std() == pytest.approx(matrix[support].std(), abs=0.1)
    np.testing.assert_allclose(np.sort(made["shuffle"][support]), np.sort(matrix[support]), rtol=1e-6)
    np.testing.assert_array_equal(np.sort(made["row_permuted"], axis=0), np.sort(matrix, axis=0))
    assert all(np.abs(fake - matrix).max() > 0.1 for fake in made.values())
    other = random_matrix("gaussian", matrix, attention, 5, 0)
    assert np.abs(other - made["gaussian"]).max() > 0.1


def test_controls_of_the_planted_head_lose_what_it_knows(table):
    rows = table[(table["head"] == "L1H0") & (table["part"] == "external")].groupby("arm")["residualised"]
    assert rows.min()["real"] > rows.max()[["shuffle", "row_permuted"]].max() + 0.1


def test_a_chosen_head_is_read_back_and_its_absence_is_told(table, config, tmp_path, monkeypatch):
    file, attention = tmp_path / "heads.parquet", tmp_path / "attention.safetensors"
    write_table(table[HEADS.names], file, HEADS)
    assert chosen_head(file) == "L1H0"
    monkeypatch.setattr("opbench.discovery.scan.open_parts", lambda *_: make_parts(internal=3))
    save_attention(make_attention(), attention)
    files = ScanFiles("parts.h5ad", "", attention)
    scan_heads(config, "p", files, file)
    found = read_table(file, HEADS)
    assert set(found.loc[found["part"] == "internal", "status"]) == {"not_testable"}
    assert set(found.loc[found["part"] == "external", "status"]) == {"ok"}
    with pytest.raises(NoSingleError, match=r"the scan chose no head: \d+ anchors, fewer than"):
        chosen_head(file)
    other = AttentionSums(**{**vars(make_attention()), "genes": [f"h{i}" for i in range(GENES)]})
    save_attention(other, attention)
    with pytest.raises(InputError, match=r"genes are not those of parts\.h5ad"):
        scan_heads(config, "p", files, file)

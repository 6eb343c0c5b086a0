import numpy as np
import pandas as pd
import pytest

from opbench.io.errors import InputError
from opbench.io.tables import LEAKAGE, SCORES, SPLITS, read_table, to_table, write_table
from opbench.splits.leakage import (
    DISJOINT,
    DONORS_IN_CORPUS,
    LEAKING,
    SHARED_DONORS,
    TESTED_CORPUS,
    Corpus,
    audit_leakage,
    corpus_of,
    write_leakage,
)

DONORS = ["d0", "d1", "d2"]


def panel() -> pd.DataFrame:
    """Three donors with 2, 3 and 4 cells."""
    donor = np.repeat(DONORS, [2, 3, 4])
    return pd.DataFrame({"dataset": "a", "donor": donor, "condition": "x"}, index=[f"a:{i}" for i in range(len(donor))])


def splits() -> pd.DataFrame:
    """Leave one donor out."""
    lines = [
        {"split": i, "role": "test" if d == t else "train", "donor": d} for i, t in enumerate(DONORS) for d in DONORS
    ]
    shared = {"run": "r", "panel": "p", "campaign": "c", "design": "leave_one_donor_out", "seed": 0, "dataset": "a"}
    return pd.DataFrame(lines).assign(condition="x", n_cells=1, pretraining_overlap=False, **shared)[SPLITS.names]


def audit(table: pd.DataFrame, split: int = 0, leaking: bool = False, corpus: Corpus | None = None) -> pd.Series:
    corpus = corpus or Corpus()
    methods = [("p", "c", split, "m", "leaking" if leaking else "inductive", leaking)]
    found = audit_leakage("r", [table], {"p": panel()}, methods, {"p": corpus}, corpus)
    to_table(found, LEAKAGE, "leakage")
    return found.iloc[0]


def test_honest_split_shares_nothing():
    line = audit(splits(), split=1)
    assert line["verdict"] == DISJOINT
    counts = ["train_donors", "test_donors", "train_cells", "test_cells", "shared_donors", "shared_cells"]
    assert line[counts].tolist() == [2, 1, 6, 3, 0, 0]


def test_leaking_method_counts_the_tested_donors_as_trained():
    line = audit(splits(), split=1, leaking=True)
    assert line["verdict"] == LEAKING
    assert line[["train_donors", "train_cells", "shared_donors", "shared_cells"]].tolist() == [3, 9, 1, 3]


def test_donor_in_the_corpus_is_named_and_a_tested_corpus_cell_is_an_overlap():
    donors_only = Corpus(frozenset({"d1"}), frozenset({"a:999"}))
    line = audit(splits(), split=1, corpus=donors_only)
    assert (line["verdict"], line["gene_selection_overlap"], line["operator_corpus_overlap"]) == (
        DONORS_IN_CORPUS, 1, 1,
    )  # fmt: skip
    assert audit(splits(), split=0, corpus=donors_only)["verdict"] == DISJOINT
    # The corpus may have come through another entry that is a slice of the same atlas.
    slice_of_it = panel().iloc[[2]].set_axis(["other:2"], axis=0)
    with_cell = corpus_of(slice_of_it)
    assert audit(splits(), split=1, corpus=with_cell)["verdict"] == TESTED_CORPUS
    assert audit(splits(), split=1, leaking=True, corpus=with_cell)["verdict"] == TESTED_CORPUS


def test_undeclared_overlap_is_found():
    table = splits()
    extra = table[(table["split"] == 0) & (table["role"] == "test")].assign(role="train")
    line = audit(pd.concat([table, extra]))
    assert (line["verdict"], line["shared_donors"], line["shared_cells"]) == (SHARED_DONORS, 1, 2)


def test_scores_of_an_unknown_split_are_refused():
    with pytest.raises(InputError, match="split 7"):
        audit(splits(), split=7)


def test_wrapper_writes_one_line_per_split_and_method(tmp_path):
    import anndata

    for name, obs in (("panel", panel()), ("corpus", panel().loc[["a:8"]].rename({"a:8": "a:x"}))):
        matrix = np.zeros((len(obs), 1), np.float32)
        anndata.AnnData(matrix, obs=obs).write_h5ad(tmp_path / f"{name}.h5ad")
    write_table(splits(), tmp_path / "splits.parquet", SPLITS)
    text = dict.fromkeys(("model", "operator", "arm", "budget", "reason"), "")
    number = {"draw": -1, "width": 0, "seed": 0, "n": 5, "value": 0.5}
    flags = {"condition": "x", "pretraining_overlap": False, "protocol": "inductive", "leaking": False}
    scores = pd.DataFrame(
        [
            {"split": i, "donor": d, "method": m, "endpoint": e}
            for i, d in enumerate(DONORS)
            for m in ("m1", "m2")
            for e in ("e1", "e2")
        ]
    ).assign(run="r", panel="p", campaign="c", status="ok", **text, **number, **flags)
    write_table(scores[SCORES.names], tmp_path / "scores.parquet", SCORES)
    files = ([tmp_path / "splits.parquet"], tmp_path / "scores.parquet", {"p": tmp_path / "panel.h5ad"})
    write_leakage("r", *files, tmp_path / "corpus.h5ad", tmp_path / "leakage.parquet", ranked_panels=[])
    table = read_table(tmp_path / "leakage.parquet", LEAKAGE)
    assert len(table) == 6
    assert (tmp_path / "leakage.tsv").exists()
    assert table["operator_corpus_overlap"].tolist() == [0, 0, 0, 0, 1, 1]
    assert not table["gene_selection_overlap"].any()

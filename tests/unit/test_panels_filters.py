"""Filters compare columns and can do nothing else."""

import pandas as pd
import pytest

from opbench.io.errors import InputError
from opbench.panels.filters import filter_cells

OBS = pd.DataFrame(
    {"donor": ["D1", "D2", "D3"], "cell type": ["T", "B", "T"], "use": [True, False, True], "age": [1, 20, 30]}
)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("use", [1, 0, 1]),
        ("not use", [0, 1, 0]),
        ("donor in ['D1', 'D3'] and age > 1", [0, 0, 1]),
        ("not donor in ['D1']", [0, 1, 1]),
        ("`cell type` == 'T'", [1, 0, 1]),
        ("donor.isin(['D2']) | (age < 2)", [1, 1, 0]),
        ("donor.str.startswith('D') & age.between(2, 25)", [0, 1, 0]),
        ("-5 < age <= 20", [1, 1, 0]),
        ("donor != '`' and `cell type`.str.contains('T', regex=False)", [1, 0, 1]),
    ],
)
def test_comparisons_work(query, kept):
    assert filter_cells(OBS, query, "f.h5ad", "corpus", False).tolist() == [bool(k) for k in kept]


@pytest.mark.parametrize(
    "query",
    [
        "donor.to_csv('stolen')", "@__import__('os').mkdir('made')", "__import__('os').mkdir('made')", "donor = 'D1'",
        "donor.str.__class__", "age.values", "[d for d in donor]", "(lambda: use)()", "use if use else use",
        "(donor == '`') | (@pd.io.common.os.mkdir('made') == 0) | (donor == '`')",
        "donor == '`' or donor.to_csv('made') or donor == '`'",
        "donor.isin(open('x'))", "f'{donor}' == 'D1'", "",
    ],
)  # fmt: skip
def test_nothing_else_is_evaluated(query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="compare columns with values"):
        filter_cells(OBS, query, "f.h5ad", "corpus", False)
    assert list(tmp_path.iterdir()) == []


def test_no_filter_keeps_all_or_none():
    assert filter_cells(OBS, None, "f.h5ad", "evaluation", True).all()
    assert not filter_cells(OBS, None, "f.h5ad", "corpus", False).any()

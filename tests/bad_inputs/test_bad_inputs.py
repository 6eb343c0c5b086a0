"""Every bad input stops with one sentence that names file, field and remedy."""

from pathlib import Path

import pytest
from bad_checkpoints import CHECKPOINTS
from bad_configs import CONFIGS
from bad_data import DATA
from case import Case

from opbench.io.errors import InputError

CASES = [*CONFIGS, *DATA, *CHECKPOINTS]


def sentence_of(case: Case, folder: Path) -> str:
    """What the user reads."""
    with pytest.raises(InputError) as caught:
        case.meet(folder)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input_is_one_sentence_that_names_what_is_wrong(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = sentence_of(case, tmp_path)
    assert [word for word in case.says if word not in sentence] == [], sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    assert "Traceback" not in sentence
    assert not (tmp_path / "executed").exists()
    assert not list(tmp_path.rglob(".partial-*"))


def test_the_table_is_long_enough():
    assert len(CASES) == len({case.what for case in CASES}) >= 50


def test_the_printed_table_lists_every_case():
    printed = (Path(__file__).parents[2] / "docs" / "bad_inputs.md").read_text()
    assert [case.what for case in CASES if f"| {case.what} |" not in printed] == []

"""`opbench methods`: what is broken makes it fail, and is said last."""

from pathlib import Path

import pytest
import yaml

from opbench.cli import main

ROOT = Path(__file__).resolve().parents[2]
METHOD = '''"""A method of the user's."""

{first}
from opbench.methods.interface import Method


class Mine(Method):
    """It does nothing."""

    label = "my own"
    protocol = "inductive"

    def run(self, task, variant):
        """Never called."""
'''


@pytest.fixture
def listed(tmp_path, capsys):
    """Exit status, lines and complaints of a configuration with one method of the user's."""

    def listed(first: str, **sections: object) -> tuple[int, list[str], list[str]]:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "mine.py").write_text(METHOD.format(first=first))
        raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(raw | {"method_folders": [str(tmp_path / "mine")]} | sections))
        status = main(["methods", str(path)])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()

    return listed


def test_a_method_that_is_whole_is_listed(listed):
    status, lines, complaints = listed("", methods=["mine", "pca10"])
    assert (status, complaints) == (0, [])
    assert [line.split()[:5] for line in lines if line.startswith("mine ")] == [
        ["mine", "inductive", "no", "core", "1"]
    ]
    (other,) = [line for line in lines if line.startswith("svd10 ")]
    assert other.split()[4:6] == ["0", "-"], "A method that no campaign runs has no arms."


@pytest.mark.parametrize("methods", [["mine", "pca10"], ["pca10"]])
def test_a_broken_method_makes_it_fail_and_is_repeated_last(listed, methods):
    status, lines, complaints = listed("import not_installed", methods=methods)
    assert status == 1
    assert any(line.startswith("pca10 ") for line in lines)
    assert [line.count("mine.py: the method cannot be set up") for line in complaints] == [1]
    assert "No module named 'not_installed'" in complaints[-1]

"""One real run of a tiny simulated configuration, in a copy of the workflow that tests may edit."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from checkout import Checkout

BROKEN = '''"""A method that fails, to see that the run goes on."""

from opbench.methods.interface import Method


class Broken(Method):
    """It raises."""

    label = "broken"
    protocol = "floor"
    core = True

    def run(self, task, variant):
        """Fail."""
        raise ValueError("planted failure")
'''


UNLOADABLE = BROKEN.replace("from opbench", "import not_installed\nfrom opbench", 1)


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    (checkout.folder / "workflow/opbench/methods/plugins/broken.py").write_text(BROKEN)
    (checkout.folder / "workflow/opbench/methods/plugins/unloadable.py").write_text(UNLOADABLE)
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Report: results/tiny/report.zip" in done.stdout + done.stderr
    return checkout

"""One real run of a tiny simulated configuration, in a copy of the workflow that tests may edit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROKEN = '''"""A method that fails, to see that the run goes on."""

from opbench.methods.interface import Method


class Broken(Method):
    """It raises."""

    label = "broken"

    def run(self, task, variant):
        """Fail."""
        raise ValueError("planted failure")
'''


UNLOADABLE = BROKEN.replace("from opbench", "import not_installed\nfrom opbench", 1)


class Checkout:
    """A copy of the workflow with a run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("workflow", "resources", "config", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "downloads"))
        shutil.copy(ROOT / "Snakefile", folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        self.config = str(Path(__file__).with_name("tiny.yaml"))
        self.results = folder / "results" / "tiny"

    def snakemake(self, *args: str, config: str | None = None) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPBENCH_DATA")}
        command = [sys.executable, "-m", "snakemake", *args, "--cores", "2", "--configfile", config or self.config]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    (checkout.folder / "workflow/opbench/methods/plugins/broken.py").write_text(BROKEN)
    (checkout.folder / "workflow/opbench/methods/plugins/unloadable.py").write_text(UNLOADABLE)
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Report: results/tiny/report.zip" in done.stdout + done.stderr
    return checkout

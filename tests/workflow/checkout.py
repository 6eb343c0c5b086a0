"""A copy of the workflow that a test may edit, run and interrupt."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"


class Checkout:
    """A copy of the workflow in `folder`, to run one configuration."""

    def __init__(self, folder: Path, config: Path = TINY) -> None:
        self.folder, self.config = folder, str(config)
        for name in ("workflow", "resources", "config", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "downloads"))
        shutil.copy(ROOT / "Snakefile", folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        self.results = folder / "results" / yaml.safe_load(Path(config).read_text())["run"]

    def command(self, *args: str, config: str | None = None) -> list[str]:
        """The command line of Snakemake in this copy."""
        return [sys.executable, "-m", "snakemake", *args, "--cores", "2", "--configfile", config or self.config]

    def environment(self) -> dict[str, str]:
        """The environment without what would point to another checkout or to data."""
        return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPBENCH_DATA")}

    def snakemake(self, *args: str, config: str | None = None, **environment: str) -> subprocess.CompletedProcess:
        """Run to the end; keywords are further environment variables."""
        env = self.environment() | environment
        command = self.command(*args, config=config)
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def opbench(self, *args: str) -> subprocess.CompletedProcess:
        """One command beside a run, of this copy's package."""
        command = [sys.executable, "-m", "opbench", *args]
        env = self.environment() | {"PYTHONPATH": str(self.folder / "workflow")}
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

"""Jobs per rule, as Snakemake itself plans them: its dry run is started beside the other checks and read at the end."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opbench.io.locate import HOME

#: Longest wait for a dry run, in seconds.
PATIENCE = 120
#: The default profile is not read when the working folder is another one; these are its triggers.
TRIGGERS = ("mtime", "params", "input", "software-env")


@dataclass(frozen=True)
class Jobs:
    """Jobs per rule: of a whole run, and of what is left to do; `error` is Snakemake's sentence when it refuses."""

    whole: dict[str, int]
    left: dict[str, int]
    error: str = ""


def start_dry_runs(configs: Sequence[str | Path], cores: int) -> list[subprocess.Popen[str]]:
    """Start the dry runs of everything and of what is left; neither writes results nor takes a lock."""
    command = [
        sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "host", "--rerun-incomplete",
        "--snakefile", str(HOME / "workflow" / "Snakefile"), "--workflow-profile", "none", "--cores", str(cores),
        "--rerun-triggers", *TRIGGERS, "--configfile", *map(str, configs),
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return [subprocess.Popen([*command, *more], **pipes) for more in (["--forceall"], [])]  # type: ignore[call-overload]


def read_dry_runs(started: list[subprocess.Popen[str]]) -> Jobs:
    """Wait for both and read their tables."""
    texts = []
    for process in started:
        try:
            texts.append(process.communicate(timeout=PATIENCE)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Jobs({}, {}, f"no answer within {PATIENCE} s")
    failed = [text for process, text in zip(started, texts, strict=True) if process.returncode]
    return Jobs({}, {}, _reason(failed[0])) if failed else Jobs(*map(job_table, texts))


def job_table(text: str) -> dict[str, int]:
    """Rule -> jobs from the last `Job stats` table of Snakemake's output; empty when nothing is to be done."""
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.strip().startswith("Job stats")]
    found: dict[str, int] = {}
    for line in lines[starts[-1] + 1 :] if starts else []:
        if row := re.fullmatch(r"\s*(\w+)\s+(\d+)\s*", line):
            found[row[1]] = int(row[2])
        elif found and not line.strip():
            break
    found.pop("total", None)
    return found


def _reason(text: str) -> str:
    """The last sentence of an error, without Snakemake's heading and places in files."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("File ", "Traceback", "in file"))]
    return telling[-1][:300] if telling else "no reason given"

"""Runs of Snakemake on the one-node cluster, and what its log and the accounting database say of their jobs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from one_node import LEASH, OneNode

#: The profile polls as suits a real cluster; the tests' jobs are short.
POLLING = (
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1"),
    *("--latency-wait", "5"),
)


@dataclass(frozen=True)
class Request:
    """What one job asks for: as its rule declares it, or as it arrived at the scheduler."""

    rule: str
    cpus: int
    mem_mb: int
    runtime: int
    gpus: int


class ClusterRun:
    """One call of Snakemake with the Slurm profile; its output goes to a file that grows."""

    def __init__(self, node: OneNode, folder: Path, profile: Path, log: Path, *args: str) -> None:
        self.node, self.log = node, log
        command = [*LEASH, sys.executable, "-m", "snakemake", "--profile", str(profile), *POLLING, *args]
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "OPBENCH_DATA")}
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                command, cwd=folder, env=kept | node.environment, stdout=stream, stderr=subprocess.STDOUT
            )

    def wait(self, patience_s: float = 1800) -> int:
        """The exit status."""
        return self.process.wait(patience_s)

    def stop(self) -> None:
        """End it, as Ctrl-C does: its jobs are cancelled."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text()

    def declared(self) -> dict[str, Request]:
        """Slurm's job number -> what Snakemake says that the rule declares."""
        requests, latest = {}, {}
        # Blocks are divided by the time in brackets; a submission names the job of a block before.
        for block in re.split(r"^(?=\[\w{3} \w{3} )", self.text(), flags=re.M):
            if found := re.match(r"\[.+\]\nrule (\w+):\n", block):
                number = re.search(r"^    jobid: (\d+)$", block, re.M)[1]
                threads = re.search(r"^    threads: (\d+)$", block, re.M)
                resources = dict(re.findall(r"(\w+)=([^,\n]+)", re.search(r"^    resources: (.+)$", block, re.M)[1]))
                latest[number] = Request(
                    found[1],
                    int(threads[1]) if threads else 1,
                    int(resources["mem_mb"]),
                    int(resources["runtime"]),
                    int(resources.get("gpu", 0)),
                )
            for number, slurm in re.findall(r"^Job (\d+) has been submitted with SLURM jobid (\d+) ", block, re.M):
                requests[slurm] = latest[number]
        return requests

    def until(self, what: Callable[[], str | None], patience_s: float = 900) -> str:
        """Wait for something that happens before the run ends, and return it."""
        end = time.monotonic() + patience_s
        while not (found := what()):
            assert self.process.poll() is None, f"the run ended first: {self.text()[-3000:]}"
            assert time.monotonic() < end
            time.sleep(0.2)
        return found


def arrived(node: OneNode) -> dict[str, Request]:
    """Job number -> what the accounting database says that it asked for."""
    requests = {}
    for job in node.accounts("JobID", "Comment", "ReqTRES", "TimelimitRaw"):
        asked = dict(item.split("=") for item in job["ReqTRES"].split(","))
        requests[job["JobID"]] = Request(
            re.match(r"rule_(\w+?)(_wildcards_.*)?$", job["Comment"])[1],
            int(asked["cpu"]),
            round(float(asked["mem"].removesuffix("M"))),
            int(job["TimelimitRaw"]),
            int(asked.get("gres/gpu", 0)),
        )
    return requests


def running(node: OneNode, rule: str) -> str | None:
    """The number of a running job of a rule whose work has begun, or None."""
    for line in node.check("squeue", "-h", "-t", "RUNNING", "-o", "%i %k").splitlines():
        job, comment = line.split(" ", 1)
        # The job's first step is Snakemake's own call; a signal before it would meet nothing.
        if comment.startswith(f"rule_{rule}") and f"{job}.0" in node.check("squeue", "-s", "-h", "-j", job, "-o", "%i"):
            return job
    return None

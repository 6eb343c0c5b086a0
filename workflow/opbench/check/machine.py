"""The machine: room on disk and memory, beside what the run takes."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from opbench.check.cost import AROUND, Cost
from opbench.check.findings import Findings

#: Limit of the control group that this process is in, if any.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Totals:
    """What the whole run takes, and what there is; megabytes and seconds."""

    seconds: float
    wall: float
    memory_mb: float
    memory_rule: str
    disk_mb: float
    free_mb: float
    machine_mb: float
    cores: int
    complete: bool


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def machine_memory_mb() -> float:
    """Physical memory, or the smaller limit of the control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, LIMITS):
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total / 1e6


def total_costs(costs: list[Cost], cores: int, folder: Path, complete: bool, findings: Findings) -> Totals:
    """Sum the estimates and compare them with the machine: too little disk is a problem, memory a warning.

    Wall time is the work over the cores, or the longest job of every rule in a row if that is more. Memory is that of
    as many of the largest jobs of one rule as run together. `complete` says whether all rules could be estimated.
    """
    seconds = sum(cost.seconds for cost in costs)
    wall = AROUND + max(seconds / cores, sum(cost.longest for cost in costs))
    together = {cost.rule: cost.memory_mb * min(cores, cost.jobs) for cost in costs}
    rule = max(together, key=lambda name: together[name], default="")
    disk, free = sum(cost.disk_mb for cost in costs), shutil.disk_usage(_existing(folder)).free / 1e6
    totals = Totals(seconds, wall, together.get(rule, 0.0), rule, disk, free, machine_memory_mb(), cores, complete)
    held = _size_mb(folder)
    if disk - held > free:
        findings.problem(
            f"{folder}: the run leaves about {disk / 1000:.1f} GB there but {free / 1000:.1f} GB are free; free some, "
            "or run in a folder on a larger disk."
        )
    if totals.memory_mb > totals.machine_mb:
        findings.warn(
            f"memory: {rule} takes about {totals.memory_mb / 1000:.1f} GB with {cores} jobs at once and the machine "
            f"has {totals.machine_mb / 1000:.1f} GB; use fewer --cores or a larger machine."
        )
    return totals


def _size_mb(folder: Path) -> float:
    """What an earlier run left in the folder, which is used again or replaced."""
    if not folder.is_dir():
        return 0.0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

"""Interrupt a run again and again, resume it, and compare what it leaves with an uninterrupted run.

    python tests/workflow/interrupt.py --configfile config/config.yaml --points 20

prints one line for every interruption and exits 1 when a finished job ran again or a table differs. Three kinds of
kill -9 take turns: of one job; of Snakemake alone, whose jobs live on as orphans; and of everything at the moment when
a file is half written. Needs Linux.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))
from checkout import Checkout

KINDS = ("job", "snakemake", "half-written")
#: Wall times and memory differ from run to run; everything else must not.
EXEMPT = {"costs.parquet", "ratio.parquet"}
#: Every rule has a message that names its wildcards, so a message names a job whatever its number in a run.
STARTED, FINISHED = re.compile(r"^Job (\d+): (.+)$", re.M), re.compile(r"^Finished jobid: (\d+) ", re.M)


@dataclass
class Interruption:
    """One kill: what was killed, after how long, what had finished and what of that ran again."""

    point: int
    kind: str
    after_s: float
    target: str
    finished: int
    ran_again: list[str]


@dataclass
class Session:
    """A run that is interrupted; `done` holds the messages of finished jobs."""

    checkout: Checkout
    rng: random.Random
    most_jobs: int
    done: set[str] = field(default_factory=set)

    def start(self) -> tuple[subprocess.Popen, Path]:
        """Start or resume the run in its own process group, its output in a file."""
        self.checkout.snakemake("--unlock")
        log = self.checkout.folder / "interrupt.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                self.checkout.command(), cwd=self.checkout.folder, env=self.checkout.environment(),
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return process, log

    def read(self, log: Path) -> list[str]:
        """Add the jobs that finished to `done`; return those that had finished before and ran again."""
        text = log.read_text()
        started = dict(STARTED.findall(text))
        again = sorted(self.done & set(started.values()))
        self.done |= {started[job] for job in FINISHED.findall(text) if job in started}
        return again

    def interrupt(self, point: int) -> Interruption | None:
        """Kill once at a random moment; None when the run ended before."""
        process, log = self.start()
        begin, kind = time.monotonic(), KINDS[point % len(KINDS)]
        wanted, delay = self.rng.randint(0, self.most_jobs), self.rng.uniform(0, 4)
        while process.poll() is None and len(STARTED.findall(log.read_text())) <= wanted:
            time.sleep(0.05)
        moment = time.monotonic() + delay
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(0.05)
        target = self._kill(process, kind) if process.poll() is None else None
        process.wait()
        again = self.read(log)
        if target is None:
            assert process.returncode == 0, log.read_text()[-3000:]
            return None
        return Interruption(point, kind, time.monotonic() - begin, target, len(self.done), again)

    def _kill(self, process: subprocess.Popen, kind: str) -> str:
        if kind == "snakemake":
            process.kill()
            return "snakemake, jobs left as orphans"
        if kind == "half-written":
            target = self._wait_for_half(process)
            os.killpg(process.pid, signal.SIGKILL)
            return target
        jobs = []
        while not jobs and process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            jobs = [child for child in children if _is_job(child)]
        target = "none was running"
        if jobs:
            chosen = self.rng.choice(jobs)
            target = _script_of(chosen)
            chosen.kill()
        time.sleep(1)
        # Snakemake goes on with what does not depend on the job: a second kill ends this point.
        os.killpg(process.pid, signal.SIGKILL)
        return target

    def _wait_for_half(self, process: subprocess.Popen, patience_s: float = 60) -> str:
        """Wait for a chunk that has its scores but not its latent table, or for any file that is being written."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end and process.poll() is None:
            for folder, _, names in os.walk(self.checkout.results):
                partial = next((name for name in names if name.startswith(".partial-")), None)
                if partial:
                    return f"{Path(folder).relative_to(self.checkout.results)}/{partial}"
                for name in names:
                    if name.endswith(".scores.parquet") and name.replace("scores", "latent") not in names:
                        return f"{Path(folder).relative_to(self.checkout.results)}/{name} without latent"
        return "everything; no file was being written"


def _is_job(process: psutil.Process) -> bool:
    try:
        return any(".snakemake/scripts" in word for word in process.cmdline()) and "python" in process.name()
    except psutil.Error:
        return False


def _script_of(process: psutil.Process) -> str:
    try:
        name = Path(next(word for word in process.cmdline() if ".snakemake/scripts" in word)).name
    except (psutil.Error, StopIteration):
        return "a job"
    return name.split(".", 1)[-1]


def differing_tables(left: Path, right: Path) -> list[str]:
    """Names of the tables that are not equal in two results folders, exempt ones apart."""
    names = {path.name for folder in (left, right) for path in (folder / "tables").glob("*.parquet")} - EXEMPT
    pairs = {name: (left / "tables" / name, right / "tables" / name) for name in sorted(names)}
    return [
        name
        for name, (a, b) in pairs.items()
        if not (a.exists() and b.exists() and pq.read_table(a).equals(pq.read_table(b)))
    ]


def interrupted_run(checkout: Checkout, points: int, seed: int, most_jobs: int) -> list[Interruption]:
    """Interrupt the run at `points` random moments, then let it end; it starts anew if it ends too early."""
    session, records = Session(checkout, random.Random(seed), most_jobs), []
    while len(records) < points:
        record = session.interrupt(len(records))
        if record is None:
            shutil.rmtree(checkout.results)
            session.done.clear()
            continue
        records.append(record)
        print(
            f"{record.point + 1:3d}  {record.kind:12s} after {record.after_s:5.1f} s, {record.finished:3d} finished, "
            f"ran again: {', '.join(record.ran_again) or 'none'}; killed {record.target}",
            flush=True,
        )
    process, log = session.start()
    process.wait()
    again = session.read(log)
    print(f"end  exit {process.returncode}, {len(session.done)} jobs finished, ran again: {', '.join(again) or 'none'}")
    assert process.returncode == 0, log.read_text()[-3000:]
    records.append(Interruption(points, "none", 0, "", len(session.done), again))
    return records


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, required=True)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-jobs", type=int, default=7, help="most jobs that start between a start and its kill")
    parser.add_argument("--reference", type=Path, help="results folder of an uninterrupted run; made when not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reference = options.reference
        if reference is None:
            whole = Checkout(Path(folder) / "reference", options.configfile.resolve())
            assert whole.snakemake().returncode == 0
            reference = whole.results
        checkout = Checkout(Path(folder) / "interrupted", options.configfile.resolve())
        records = interrupted_run(checkout, options.points, options.seed, options.most_jobs)
        differ = differing_tables(reference, checkout.results)
        left = [path.name for path in checkout.results.rglob(".partial-*")]
        print(f"tables that differ: {differ or 'none'}; partial files left: {left or 'none'}")
        return int(bool(differ or left or any(record.ran_again for record in records)))


if __name__ == "__main__":
    sys.exit(main())

"""A Slurm of one node in one folder: its own munge, database, controller and node, with two GPUs that are none.

    python tests/slurm/one_node.py

starts one, prints what to export to use it, and stops it on Ctrl-C. Nothing is written outside the folder: daemons run
in the foreground as children of this process, on free ports, with the folder's own configuration and key.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

NEEDED = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db", "mariadb-admin")
#: Ends a child when this process is killed and can no longer end it.
LEASH = ("setpriv", "--pdeathsig", "TERM")
#: Debian keeps daemons where only root looks for them.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
#: More than the machine may have, so that a doubled request fits anywhere; the node does not enforce it.
MEMORY_MB = 64_000

SLURM_CONF = """
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# No cgroups: processes are found by their parents, and the polling that accounts for memory also enforces it.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[2]}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=1
MinJobAge=300
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
PartitionName=gpu Nodes={host} State=UP
"""

SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={ports[2]}
SlurmUser={user}
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[3]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""


def missing() -> list[str]:
    """Programs that tests/slurm/install.sh has yet to install."""
    return [name for name in NEEDED if not shutil.which(name, path=SEARCH)]


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, so that a Slurm that is already here is left alone."""
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class OneNode:
    """The cluster; a context manager that leaves no process and no file behind."""

    def __init__(self, cpus: int) -> None:
        # Not pytest's folder: its name is too long for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="opbench-slurm-", dir="/tmp"))
        self.daemons: dict[str, subprocess.Popen] = {}
        for name in ("state", "spool", "database"):
            (self.folder / name).mkdir()
        facts = {
            "folder": self.folder,
            "host": socket.gethostname().split(".")[0],
            "ports": free_ports(4),
            "user": psutil.Process().username(),
            "cpus": cpus,
            "memory": MEMORY_MB,
        }
        self._write("slurm.conf", SLURM_CONF.format(**facts))
        self._write("slurmdbd.conf", SLURMDBD_CONF.format(**facts))
        # A GPU is counted by its device node; two that every machine has stand for it, and nothing opens them.
        self._write("gres.conf", "".join(f"Name=gpu File={node}\n" for node in ("/dev/null", "/dev/zero")))
        self._write("cgroup.conf", "CgroupPlugin=cgroup/v1\n")
        self._write("munge.key", secrets.token_hex(64))
        self.database_port = facts["ports"][3]
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{self.folder}/bin:{SEARCH}"}
        # Snakemake's plugin takes SLURM_CONF out of the environment of the srun that it starts in a job.
        (self.folder / "bin").mkdir()
        srun = shutil.which("srun", path=SEARCH)
        self._write("bin/srun", f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {srun} "$@"\n', 0o700)

    def _write(self, name: str, text: str, mode: int = 0o600) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def __enter__(self) -> "OneNode":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        here = self.folder
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        names["log-file"] = "munge.log"
        # --force: the folder is below /tmp, where munge expects no key.
        self._daemon("munged", "--foreground", "--force", *(f"--{key}={here / name}" for key, name in names.items()))
        self._wait("munge", lambda: self.run("munge", "-n", "-S", str(here / "munge.socket")).returncode == 0)
        self._start_database()
        self._daemon("slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "-n", "show", "cluster").returncode == 0)
        user = psutil.Process().username()
        for words in (["cluster", "onenode"], ["account", "lab", "cluster=onenode"], ["user", user, "account=lab"]):
            self.check("sacctmgr", "-i", "add", *words)
        self._daemon("slurmctld", "-D", "-f", str(here / "slurm.conf"))
        self._daemon("slurmd", "-D", "-f", str(here / "slurm.conf"))
        self._wait("the node", lambda: self.run("sinfo", "-h", "-o", "%T", "-p", "cpu").stdout.strip() == "idle")

    def _start_database(self) -> None:
        # The database's own user may not enter the folder; who runs this owns it.
        user, data = psutil.Process().username(), self.folder / "database"
        connection = f"--socket={self.folder}/mariadb.socket"
        options = ["--no-defaults", f"--user={user}", f"--datadir={data}"]
        self.check("mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db")
        place = [connection, f"--port={self.database_port}", "--bind-address=127.0.0.1"]
        self._daemon("mariadbd", *options, *place, "--innodb-buffer-pool-size=64M", f"--pid-file={self.folder}/db.pid")
        ask = ["--no-defaults", "-uroot", connection]
        self._wait("the database", lambda: self.run("mariadb-admin", *ask, "ping").returncode == 0)
        grant = "CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm'; GRANT ALL ON accounting.* TO slurm@'127.0.0.1';"
        grant += grant.replace("127.0.0.1", "localhost")
        self.check("mariadb", *ask, "-e", grant)

    def _daemon(self, *command: str) -> None:
        environment = os.environ | self.environment
        with (self.folder / f"{command[0]}.out").open("w") as out:
            # A session of its own, so that Ctrl-C in a terminal does not end the cluster before its jobs.
            daemon = subprocess.Popen(
                [*LEASH, *command], env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.daemons[command[0]] = daemon

    def _wait(self, what: str, ready: Callable[[], bool], patience_s: float = 60) -> None:
        end = time.monotonic() + patience_s
        while not ready():
            gone = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if gone or time.monotonic() > end:
                logs = {path.name: path.read_text()[-1500:] for path in self.folder.glob("*.out")}
                raise RuntimeError(f"{what} did not start; ended: {gone}; {logs}")
            time.sleep(0.2)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run one command as a user of this cluster."""
        environment = os.environ | self.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def check(self, *command: str) -> str:
        """What one command prints; it must end well."""
        done = self.run(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        return done.stdout

    def accounts(self, *fields: str) -> list[dict[str, str]]:
        """One record a job of the accounting database, oldest first."""
        out = self.check("sacct", "-X", "-n", "-P", "--units=M", "--allusers", "-o", ",".join(fields), "-S", "now-1day")
        return [dict(zip(fields, line.split("|"), strict=True)) for line in out.splitlines()]

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            self.run("scancel", "--signal=KILL", "--full", "-u", psutil.Process().username())
            self.run("scancel", "-u", psutil.Process().username())
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Processes that belong to this cluster: its daemons, what they left, and jobs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if missing():
        print(f"{', '.join(missing())}: not installed; run tests/slurm/install.sh", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with OneNode(options.cpus) as node, suppress(KeyboardInterrupt):
        print("\n".join(f"export {key}={value}" for key, value in node.environment.items()), flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())

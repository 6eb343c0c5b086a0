"""The workflow on a real scheduler: a Slurm of one node, see one_node.py.

Three runs go on at once: kills.smk, whose jobs outgrow their first requests; a small configuration of the workflow that
loses a job to `scancel`, ends, and is started again; and the same configuration without a scheduler.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cluster_run import ClusterRun, arrived, running
from one_node import LEASH, OneNode, missing

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "workflow"))
from checkout import TINY, Checkout  # noqa: E402
from interrupt import differing_tables  # noqa: E402

pytestmark = pytest.mark.skipif(
    os.environ.get("OPBENCH_SLURM") != "1",
    reason="starts a Slurm that must be installed: `make test-slurm`, or OPBENCH_SLURM=1 after tests/slurm/install.sh",
)
PROFILE = HERE.parents[1] / "workflow/profiles/slurm"
#: A configuration to run in place of the small one, such as config/config.yaml.
GIVEN = os.environ.get("OPBENCH_SLURM_CONFIG")
#: Every kind of rule, few jobs: each costs two starts of Snakemake more than in a local run.
METHODS = ["pca10", "extracted_head", "gaussian_head", "oracle", "chance"]
CANCELLED, KILLED = "pretrain_nano", "accumulate_attention"


@pytest.fixture(scope="module")
def node():
    assert not missing(), f"{missing()} are not installed; run tests/slurm/install.sh"
    # Two processors more than there are, for jobs that sleep.
    with OneNode(os.cpu_count() + 2) as started:
        yield started
    assert started.processes() == []
    assert not started.folder.exists()


@pytest.fixture(scope="module")
def kills(node, tmp_path_factory):
    """The run of kills.smk, in the background."""
    folder = tmp_path_factory.mktemp("kills")
    partitions = {"partitions": {"cpu": {"max_threads": 64}, "gpu": {"max_threads": 64, "max_gpu": 2}}}
    (folder / "partitions.yaml").write_text(yaml.safe_dump(partitions))
    args = ["--snakefile", str(HERE / "kills.smk"), "--slurm-partition-config", "partitions.yaml"]
    run = ClusterRun(node, folder, PROFILE, folder / "log", *args)
    yield folder, run
    run.stop()


@dataclass
class Campaign:
    """The same configuration run here, and on the cluster in two parts."""

    local: Checkout
    cluster: Checkout
    parts: list[ClusterRun]
    cancelled: str
    killed: str


@pytest.fixture(scope="module")
def campaign(node, kills, tmp_path_factory) -> Campaign:
    folder = tmp_path_factory.mktemp("campaign")
    raw = yaml.safe_load(Path(GIVEN or TINY).read_text())
    if not GIVEN:
        raw["methods"] = METHODS
        raw["campaigns"] = {"lodo": raw["campaigns"]["lodo"] | {"splits_per_job": 8}}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    for name in ("local", "cluster"):
        (folder / name).mkdir()
    cluster, local = Checkout(folder / "cluster", config), Checkout(folder / "local", config)
    # A rule with a message prints it in place of its resources, which are read from the log below.
    for rules in (cluster.folder / "workflow/rules").glob("*.smk"):
        rules.write_text(re.sub(r"^    message:\n(        .+\n)+", "", rules.read_text(), flags=re.M))
    args = ["--configfile", str(config), "--default-resources", "slurm_account=lab", "slurm_partition=cpu"]
    args += ["--set-resources", f"{CANCELLED}:gpu=1"]
    profile = cluster.folder / "profiles/slurm"
    parts = []
    with (folder / "local.log").open("w") as log:
        here = subprocess.Popen(
            [*LEASH, *local.command()], cwd=local.folder, env=local.environment(), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        # Without retries, because one would repair what is broken here on purpose.
        parts.append(ClusterRun(node, cluster.folder, profile, folder / "first.log", *args, "--retries", "0"))
        cancelled = parts[0].until(lambda: running(node, CANCELLED))
        node.check("scancel", cancelled)
        assert parts[0].wait() != 0
        parts.append(ClusterRun(node, cluster.folder, profile, folder / "second.log", *args))
        killed = parts[1].until(lambda: running(node, KILLED))
        # What the kernel does to a step that outgrows its memory.
        node.check("scancel", "--signal=KILL", f"{killed}.0")
        assert parts[1].wait() == 0, parts[1].text()[-5000:]
        assert here.wait(1800) == 0, (folder / "local.log").read_text()[-5000:]
    finally:
        for part in parts:
            part.stop()
        here.terminate()
        here.wait()
    return Campaign(local, cluster, parts, cancelled, killed)


def finished(node: OneNode) -> Counter:
    """How often each job, by rule and wildcards, ended well."""
    return Counter(job["Comment"] for job in node.accounts("Comment", "State") if job["State"] == "COMPLETED")


def test_tables_are_those_of_a_local_run(campaign):
    assert differing_tables(campaign.local.results, campaign.cluster.results) == []
    assert (campaign.cluster.results / "report.zip").stat().st_size > 0
    assert list(campaign.cluster.results.rglob(".partial-*")) == []


def test_what_had_finished_before_scancel_is_not_run_again(campaign, node):
    states = {job["JobID"]: job["State"] for job in node.accounts("JobID", "State")}
    assert states[campaign.cancelled].startswith("CANCELLED")
    first, second = (set(part.declared()) for part in campaign.parts)
    ended = [job for job in first if states[job] == "COMPLETED"]
    assert len(ended) >= 4
    assert len(second) > 20
    assert {comment: times for comment, times in finished(node).items() if times > 1} == {}


def test_requests_arrive_as_the_rules_declare_them(campaign, kills, node):
    declared = {}
    kills[1].wait()
    for run in (*campaign.parts, kills[1]):
        declared |= run.declared()
    assert arrived(node) == declared
    by_rule = {request.rule: request for request in declared.values()}
    assert by_rule["select_cells"].cpus == 2
    assert by_rule[CANCELLED].gpus == 1
    assert by_rule["gpu"].gpus == 1
    assert len({request.mem_mb for request in declared.values()}) > 5
    second = campaign.parts[1].declared()
    accounts = {job["Account"] for job in node.accounts("JobID", "Account") if job["JobID"] in second}
    assert accounts == {"lab"}


def test_a_killed_job_of_the_workflow_is_retried_with_twice_the_memory(campaign, node):
    attempts = [job for job in campaign.parts[1].declared().values() if job.rule == KILLED]
    assert [round(job.mem_mb / attempts[0].mem_mb, 2) for job in attempts] == [1, 2]
    states = {job["JobID"]: job["State"] for job in node.accounts("JobID", "State")}
    assert states[campaign.killed] != "COMPLETED"


def test_jobs_killed_for_memory_and_for_time_are_retried_with_more(kills, node):
    folder, run = kills
    assert run.wait() == 0, run.text()[-5000:]
    states = {job["JobID"]: job["State"] for job in node.accounts("JobID", "State")}
    requests = run.declared()

    def of(rule: str, resource: str) -> list[tuple[int, str]]:
        return [(getattr(asked, resource), states[job]) for job, asked in requests.items() if asked.rule == rule]

    assert of("memory", "mem_mb") == [(500, "FAILED"), (1000, "COMPLETED")]
    assert of("time", "runtime") == [(1, "TIMEOUT"), (2, "COMPLETED")]
    assert (folder / "memory.txt").read_text().strip() == "1000"
    # The scheduler's own words reach the user.
    assert "exceeded memory limit" in run.text()


def test_a_partition_configuration_sends_gpu_jobs_to_their_partition(kills, node):
    folder, run = kills
    run.wait()
    partitions = {job["JobID"]: job["Partition"] for job in node.accounts("JobID", "Partition")}
    where = {asked.rule: partitions[job] for job, asked in run.declared().items()}
    assert where == {"memory": "cpu", "time": "cpu", "gpu": "gpu"}
    assert re.fullmatch(r"gpus \d\n", (folder / "gpu.txt").read_text())

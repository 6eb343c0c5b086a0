"""The workflow as a part of another one, and what the workflow catalog asks of it."""

import subprocess
import sys

import pytest
import yaml
from checkout import ROOT, TINY, Checkout

OUTER = """
configfile: "outer.yaml"


module opbench:
    snakefile:
        "{snakefile}"
    config:
        config["opbench"]
    prefix:
        "sub"


use rule * from opbench as opbench_*


rule outer:
    default_target: True
    input:
        rules.opbench_all.input,


print("report text:", workflow.report_text)
"""


@pytest.fixture
def outer(tmp_path):
    """What Snakemake says of another workflow that imports this one."""

    def say(*args: str, **changes: str) -> str:
        settings = yaml.safe_load(TINY.read_text())
        settings["datasets"]["cohort"] |= changes
        (tmp_path / "outer.yaml").write_text(yaml.safe_dump({"opbench": settings, "other": {"of": "the outer one"}}))
        (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=ROOT / "workflow/Snakefile"))
        command = [sys.executable, "-m", "snakemake", *args]
        environment = Checkout.environment(None)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return say


def column(summary: str, name: str) -> set[str]:
    """Files in one column of `--detailed-summary`."""
    head, *rows = (line.split("\t") for line in summary.splitlines() if "\t" in line)
    return {file for row in rows for file in row[head.index(name)].split(",") if file not in ("", "-")}


def test_with_a_prefix_everything_is_made_below_it(outer):
    plan = outer("--detailed-summary")
    made = column(plan, "output_file") | column(plan, "log-file(s)")
    assert len(made) > 100
    assert {path for path in made if not path.startswith("sub/results/tiny/")} == set()
    assert {rule for rule in column(plan, "rule") if not rule.startswith("opbench_")} == set()


def test_with_a_prefix_the_users_own_files_stay_where_they_are(outer, tmp_path):
    (tmp_path / "mine.tsv").write_text((ROOT / "resources/labels/simulated.tsv").read_text())
    # Below the prefix there is no such file, so that a plan that looked for it there would end with an error.
    assert "opbench_select_cells" in outer("--detailed-summary", labels="mine.tsv")


def test_with_a_prefix_a_report_has_its_landing_page(outer, tmp_path):
    assert f"report text: {tmp_path}/sub/results/tiny/write_landing/landing.rst" in outer("--detailed-summary")


def test_the_catalog_finds_what_it_asks_for():
    """README of snakemake-workflow-catalog, standardized usage."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    # The generator reads the first, its documentation shows the second.
    assert usage["report"] is True
    assert deployment["report"] is True
    assert {"conda", "apptainer", "apptainer+conda"} <= set(deployment)
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme


def test_lint_and_format_are_silent_without_flags():
    """As the catalog calls them: in the root, with no flag and no data."""
    snakefiles = ["workflow/Snakefile", *map(str, sorted((ROOT / "workflow/rules").glob("*.smk")))]
    for command in (["snakemake", "--lint"], ["snakefmt", "--check", "Snakefile", *snakefiles]):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=Checkout.environment(None), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

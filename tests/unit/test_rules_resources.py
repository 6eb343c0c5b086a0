"""What rules ask of a machine: enough for a scheduler, nothing that only one scheduler knows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What a rule may ask for. A partition, an account or a queue belongs to a profile.
KNOWN = {"mem_mb", "runtime", "gpu"}
#: A download goes on where it was stopped: more time is no help against a slow server.
DOWNLOADS = {"fetch_dataset", "fetch_checkpoint"}
HELPERS = "\n\n".join((ROOT / "workflow/rules" / name).read_text() for name in ("common.smk", "methods.smk"))


def rules() -> dict[str, str]:
    texts = [path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk"))]
    blocks = [block for text in texts for block in re.split(r"^rule ", text, flags=re.M)[1:]]
    return {block.split(":")[0]: block for block in blocks if "    script:" in block}


def requests(block: str) -> dict[str, str]:
    """Resource -> its expression."""
    lines = re.search(r"^    resources:\n((?:        .+\n)+)", block, re.M)
    assert lines, "no resources"
    return dict(re.findall(r"^        (\w+)=((?:.|\n)+?),\n(?=        \w+=|\Z)", lines[1], re.M))


def grows(expression: str) -> bool:
    """Whether a later attempt gets more; a name is that of a helper function."""
    helper = re.search(rf"^def {expression}\(.*\battempt\b.*\)", HELPERS, re.M) if expression.isidentifier() else None
    return "attempt *" in expression or bool(helper)


@pytest.mark.parametrize(("name", "block"), rules().items(), ids=rules())
def test_a_rule_asks_for_what_schedulers_need_and_for_more_when_killed(name, block):
    asked = requests(block)
    assert re.search(r"^    threads: [1-9]$", block, re.M)
    assert {"mem_mb", "runtime"} <= set(asked) <= KNOWN
    assert grows(asked["mem_mb"]), "a job that was killed for memory would be killed again"
    assert grows(asked["runtime"]) or name in DOWNLOADS, "a job that was killed for time would be killed again"


def shown(name: str, block: str) -> str:
    """The row of a rule in docs/clusters.md."""
    asked = requests(block)
    memory, minutes = (
        re.sub(r"lambda [\w, ]+: attempt \* |[()]|\.size_mb", "", asked[key]).replace("*", "×")
        for key in ("mem_mb", "runtime")
    )
    memory = memory.replace("method_memory", "what the method declares + 6 × input")
    gpu = {None: "", "model_gpu": "1 with `cuda`", "method_gpu": "what the method declares"}[
        asked["gpu"].removesuffix("()") if "gpu" in asked else None
    ]
    threads = re.search(r"^    threads: (\d)$", block, re.M)[1]
    return f"| {name} | {threads} | {memory} | {minutes} | {gpu} |"


def test_the_documentation_shows_what_rules_ask_for():
    page = (ROOT / "docs/clusters.md").read_text().split("## Resources by rule")[1].split("\n## ")[0]
    listed = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| rule ")]
    rows = [shown(name, block) for name, block in rules().items()]
    assert sorted(listed) == sorted(rows), "copy the rows to docs/clusters.md:\n" + "\n".join(rows)


def test_profiles_agree_on_what_is_safe_everywhere():
    texts = {path.parent.name: path.read_text() for path in (ROOT / "workflow/profiles").glob("*/profile.yaml")}
    assert set(texts) == {"default", "local-gpu", "slurm"}
    entries = {name: set(re.findall(r"^[\w-]+: .+$", text, re.M)) for name, text in texts.items()}
    assert entries["default"] <= entries["local-gpu"]
    assert entries["default"] <= entries["slurm"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/profiles").glob("*/profile.yaml")), ids=lambda p: p.parent.name
)
def test_every_entry_of_a_profile_has_its_reason(path):
    lines = path.read_text().splitlines()
    entries = [i for i, line in enumerate(lines) if re.match(r"[\w-]+:", line)]
    assert [lines[i] for i in entries if not lines[i - 1].startswith("# ")] == []

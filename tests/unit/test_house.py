"""The house keeps its shape: arrows, sizes, generated files."""

import ast
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from opbench.config import document, load_config, merge, parse_config, read_yaml
from opbench.io.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workflow" / "opbench"
GROUND = {"io", "config"}
ORDER = ["panels", "models", "operators", "adaptors", "methods", "splits", "readouts"]
MAY_IMPORT = {room: GROUND | set(ORDER[: i + 1]) for i, room in enumerate(ORDER)} | {
    "io": {"io"},
    "config": GROUND,
    "statistics": GROUND | {"statistics"},
    "calibration": GROUND | set(ORDER) | {"statistics", "calibration"},
    "claims": GROUND | {"statistics", "claims"},
    "discovery": GROUND | set(ORDER) | {"statistics", "discovery"},
    "geometry": GROUND | set(ORDER) | {"statistics", "geometry"},
    "figures": GROUND | {"figures"},
    "standins": GROUND | {"panels", "models", "standins"},
    "check": GROUND | set(ORDER) | {"statistics", "claims", "discovery", "geometry", "check"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return names | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}


def test_arrows_point_one_way():
    wrong = []
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        for name in imported(path):
            room = name.split(".")[1] if name.startswith("opbench.") else None
            if len(parts) > 1 and room and room not in MAY_IMPORT[parts[0]]:
                wrong.append(f"{'/'.join(parts)} imports {name}")
    assert wrong == []


def test_every_room_is_known_and_none_imports_snakemake():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in modules() if path.parent != PACKAGE}
    assert rooms <= set(MAY_IMPORT)
    assert [p for p in modules() if any(n.split(".")[0] == "snakemake" for n in imported(p))] == []


def test_methods_know_no_split_files():
    assert [p for p in (PACKAGE / "methods").rglob("*.py") if any("opbench.splits" in n for n in imported(p))] == []


def test_files_and_scripts_stay_small():
    assert [p.name for p in modules() if len(p.read_text().splitlines()) > 400] == []
    assert [p.name for p in (ROOT / "workflow/scripts").glob("*.py") if len(p.read_text().splitlines()) > 30] == []
    digest = (PACKAGE / "io/source_digest.py").read_text()
    assert len([line for line in digest.splitlines() if line.strip()]) <= 60


def test_rule_script_and_results_folder_share_a_name():
    scripts = {p.stem for p in (ROOT / "workflow/scripts").glob("*.py")}
    rules = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for block in path.read_text().split("\nrule ")[1:]:
            rules[block.split(":")[0]] = block
    named = {name: block for name, block in rules.items() if "script:" in block}
    assert scripts == set(named)
    assert all(f'"../scripts/{name}.py"' in block for name, block in named.items())
    assert not any(line.strip() == "run:" for block in rules.values() for line in block.splitlines())


#: Files of config/ that are no whole configuration.
NOT_WHOLE = (
    "claims.yaml", "marrow_evidence.yaml", "marrow_discovery.yaml", "marrow_geometry.yaml", "paper_evidence.yaml",
    "paper_discovery.yaml",
    "evidence_full.yaml",
)  # fmt: skip


def test_generated_files_are_current():
    assert document.README.read_text() == document.readme(), "run `make docs`"
    assert document.SCHEMA.read_text() == document.schema(), "run `make docs`"


@pytest.mark.parametrize(
    "path", sorted(p for p in (ROOT / "config").glob("*.yaml") if p.name not in NOT_WHOLE), ids=lambda p: p.stem
)
def test_shipped_configurations_are_valid(path):
    assert load_config(path).run


@pytest.mark.parametrize("run", ["marrow", "paper"])
def test_the_chain_is_added_to_a_run_with_its_battery(run):
    files = [ROOT / "config" / f"{run}{part}.yaml" for part in ("", "_evidence", "_discovery")]
    files += [ROOT / "config" / "marrow_geometry.yaml"] * (run == "marrow")
    config = load_config(*files)
    assert config.discovery.chains(config.campaigns)
    assert "row_permuted" in config.discovery.arms_of(config.operators)
    assert bool(config.geometry.spaces) == (run == "marrow")


@pytest.mark.parametrize(("run", "panel"), [("marrow", "marrow"), ("paper", "immune")])
def test_batteries_add_campaigns_and_sweeps_to_a_run(run, panel):
    files = [ROOT / "config" / f"{name}.yaml" for name in (run, f"{run}_evidence")]
    raw, added = map(read_yaml, files)
    assert not set(raw["campaigns"]) & set(added["campaigns"])
    config = load_config(*files)
    assert set(config.campaigns) == set(raw["campaigns"]) | set(added["campaigns"])
    assert config.sweeps.campaign_of(panel, config.campaigns) == "evidence"
    # The battery's draws are not for campaigns that did not ask for them.
    own = {name: campaign.gaussian_draws for name, campaign in load_config(files[0]).campaigns.items()}
    assert max(n or 0 for n in own.values()) <= 5
    assert None not in own.values()
    expected = deepcopy(raw)
    update_config(expected, added)
    assert merge(raw, added) == expected, "not as Snakemake merges"


def test_the_long_battery_leaves_one_donor_out_with_more_draws():
    names = ("marrow", "marrow_evidence", "evidence_full")
    config = load_config(*(ROOT / "config" / f"{name}.yaml" for name in names))
    assert config.campaigns["evidence"].design == "leave_one_donor_out"
    assert config.operators.controls["shuffle"] == config.operators.gaussian_draws == 100


def test_a_misspelt_key_is_named():
    raw = {"run": "x", "datasets": {"a": {"simulate": {"donor": 3}}}}
    with pytest.raises(InputError, match=r"datasets\.a\.simulate\.donor is no known key; did you mean 'donors'\?"):
        parse_config(raw)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("endpoints", {"binary": {"b": {"positive": {"cohrt": ["T"]}, "negative": {"cohort": ["NK"]}}}}, "'cohrt'"),
        ("endpoints", {"verdict": ["brnch_macro_f1"]}, "brnch_macro_f1"),
        ("operators", {"gaussian_draws": 0}, "None"),
    ],
)
def test_a_wrong_name_is_refused_and_named(section, change, message):
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    raw["campaigns"]["lodo"]["gaussian_draws"] = 1
    expected = message if message != "None" else "more than operators.gaussian_draws"
    with pytest.raises(InputError, match=expected):
        parse_config(raw | {section: change})

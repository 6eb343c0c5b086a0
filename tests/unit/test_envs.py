"""envs/*.yaml: read, never built. They name the versions that the tests ran with, and all that the package imports."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from opbench.methods import registry

ROOT = Path(__file__).resolve().parents[2]
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
#: Names on conda-forge that differ from those on PyPI.
ON_PYPI = {"pytorch": "torch", "matplotlib-base": "matplotlib", "python-igraph": "igraph"}
#: Modules that are not named like the package that holds them.
PACKAGE_OF = {"sklearn": "scikit-learn", "skmisc": "scikit-misc", "yaml": "pyyaml", "scvi": "scvi-tools"}
#: Imported by the process that plans the run.
NOT_IN_JOBS = {"snakemake"}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {plain(name): version for name, version in (line.split("==") for line in lines if "==" in line)}


def packages(path: Path) -> dict[str, str]:
    """PyPI name -> version of one file, '' where it states none."""
    listed = yaml.safe_load(path.read_text())["dependencies"]
    pip = [spec for entry in listed if isinstance(entry, dict) for spec in entry["pip"]]
    parts = [re.fullmatch(r"([\w.-]+?)(?: ?=+([\w.]+))?", spec) for spec in listed + pip if isinstance(spec, str)]
    assert all(parts), listed
    return {plain(ON_PYPI.get(part[1], part[1])): part[2] or "" for part in parts}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"opbench"} - NOT_IN_JOBS


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_constraints_or_explained(path):
    known, text = constraints(), path.read_text()
    for name, version in packages(path).items():
        if name in known:
            assert version == known[name], f"{path.name}: {name} is {version}, constraints.txt says {known[name]}"
        else:
            assert re.search(rf"^ +#.*\n +- {name}\b", text, re.M), f"{path.name}: {name} has neither pin nor reason"
    assert f">={packages(path)['python']}," in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_channels_are_named_and_the_defaults_shut_out(path):
    channels = yaml.safe_load(path.read_text())["channels"]
    assert channels[0] == "conda-forge"
    assert channels[-1] == "nodefaults"
    assert set(channels) <= {"conda-forge", "bioconda", "nodefaults"}


def test_each_environment_holds_the_core():
    core = packages(ROOT / "envs/core.yaml").items()
    assert [path.name for path in ENVS if not core <= packages(path).items()] == []


def test_each_method_names_an_environment_that_is_there():
    named = {name: registry.declared(name).get("environment", "core") for name in registry.plugin_files()}
    assert {name: env for name, env in named.items() if not (ROOT / f"envs/{env}.yaml").is_file()} == {}
    assert {path.stem for path in ENVS} == {"core", *named.values()}


def test_all_that_the_package_imports_is_in_an_environment():
    core, everywhere = (set().union(*(packages(path) for path in paths)) for paths in ([ROOT / "envs/core.yaml"], ENVS))
    methods = ROOT / "workflow/opbench/methods"
    for path in (ROOT / "workflow").rglob("*.py"):
        allowed = everywhere if methods in path.parents else core
        needed = {plain(PACKAGE_OF.get(name, name)) for name in imported(path)}
        assert needed <= allowed, f"{path.relative_to(ROOT)} imports {needed - allowed}, which no environment holds"

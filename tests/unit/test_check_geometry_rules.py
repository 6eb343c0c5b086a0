"""What the jobs of the geometry depend on: the tables and settings that they read, and nothing else."""

import ast
import inspect
from types import SimpleNamespace

import pytest
import yaml
from check_cohort import ROOT

from opbench.config import Config, parse_config
from opbench.geometry import spaces, study

HELPERS = ROOT / "workflow" / "rules" / "geometry_helpers.smk"
TINY = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
KNOWLEDGE = {"edges": "regulation", "localisation": "sets", "interactions": "net", "markers": "cells"}
#: Read by all: the scopes, and the seed of those that draw.
SHARED = {"scopes", "seed"}


def helpers(**geometry: object) -> dict:
    """The names of the helpers for the tiny configuration with other settings of the geometry."""
    entry = {"source": "made up", "licence": "none"}
    raw = TINY | {"geometry": TINY["geometry"] | {"knowledge": KNOWLEDGE, "spaces": ["model"]} | geometry}
    raw["knowledge"] = TINY["knowledge"] | {
        "net": {"path": "net.json", "kind": "string"} | entry,
        "cells": {"path": "cells.tsv", "kind": "panglao"} | entry,
    }
    config: Config = parse_config(raw)

    def settings(*paths: str) -> dict:
        out = {}
        for path in paths:
            value = config.model_dump()
            for key in path.split("."):
                value = value[key]
            out[path] = value
        return out

    names = {
        "CONFIG": config, "RESULTS": "results/tiny", "settings": settings,
        "knowledge_file": lambda name: [config.knowledge[name].path] if name else [],
        "knowledge_settings": lambda names: settings(*(f"knowledge.{name}" for name in names if name)),
    }  # fmt: skip
    exec(compile(HELPERS.read_text(), str(HELPERS), "exec"), names)
    return names


def depends(analysis: str, **geometry: object) -> tuple:
    """Everything that tells whether a job of an analysis runs again, beside its tensor and its code."""
    names, wildcards = helpers(**geometry), SimpleNamespace(analysis=analysis, space="model")
    asked = ("geometry_settings", "analysis_knowledge", "analysis_files")
    return tuple(names[name](wildcards) for name in asked)


ANALYSES = helpers()["GEOMETRY"].model_fields["analyses"].default


def read_by(analysis: str) -> set[str]:
    """Settings of the geometry that the code of an analysis reads, itself or in the methods that it calls."""
    methods = {
        node.name: node
        for node in ast.walk(ast.parse(inspect.getsource(study.Study)))
        if isinstance(node, ast.FunctionDef)
    }
    seen, wanted, found = set(), [f"_{analysis}"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        for node in ast.walk(methods[name]):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                found |= {text.removeprefix("self.s.")} if text.startswith("self.s.") else set()
                called = text.removeprefix("self.")
                wanted += [called] if called in methods and called not in seen else []
    return found


@pytest.mark.parametrize("analysis", ANALYSES)
def test_an_analysis_depends_on_the_settings_that_its_code_reads(analysis):
    assert set(helpers()["ANALYSIS_KEYS"][analysis]) | SHARED == read_by(analysis) | SHARED


def test_an_analysis_depends_on_the_tables_that_it_reads():
    named = helpers()
    assert named["ANALYSIS_USES"] == study.USES
    assert depends("attention")[1] == {"interactions": "net.json", "edges": "resources/simulated/regulation.tsv"}
    assert set(depends("spectrum")[1]) == set(KNOWLEDGE)  # all: `named_nonzero` are the genes that any of them names
    assert depends("spectrum", scopes=["nonzero"])[1:] == ({}, [])
    assert depends("compartments")[2] == ["resources/simulated/sets.gmt"]
    assert repr(named["SPACE_USES"]).replace("'", '"') in inspect.getsource(spaces.extract_space)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"analyses": ["edges"]}, set()),
        ({"spaces": ["model", "random"]}, set()),
        ({"sequence": ["SIMULATED_01"]}, {"compartments"}),
        ({"slow_permutations": 200}, {"tf_target"}),
        ({"marker_types": []}, {"markers"}),
        ({"anchors": ["CD19"]}, {"convergence"}),
        ({"channels": {}}, {"ppi"}),
        ({"knowledge": KNOWLEDGE | {"markers": None}}, {"markers", "spectrum", "convergence"}),
        ({"bins": 7}, set(ANALYSES) - {"convergence"}),
    ],
)
def test_a_change_reruns_the_analyses_that_it_concerns(change, again):
    assert {name for name in ANALYSES if depends(name) != depends(name, **change)} == again


def test_a_table_of_compartments_leaves_the_spaces_as_they_are():
    other = {"knowledge": KNOWLEDGE | {"localisation": None}, "analyses": ["edges"], "permutations": 200}
    same = [helpers()["tensor_settings"](), helpers(**other)["tensor_settings"]()]
    assert same[0] == same[1]
    assert same[0] != helpers(knowledge=KNOWLEDGE | {"markers": None})["tensor_settings"]()
    assert "resources/simulated/sets.gmt" not in helpers()["geometry_files"](helpers()["SPACE_USES"])

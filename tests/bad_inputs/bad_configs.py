"""Configurations that must be refused before anything runs."""

import copy
from collections.abc import Callable
from pathlib import Path

import yaml
from case import Case

from opbench.config import load_config, parse_config
from opbench.methods import registry

GOOD = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "tiny.yaml").read_text())


def edited(edit: Callable[[dict], object]) -> Callable[[Path], object]:
    """Parse the tiny configuration after an edit."""

    def meet(_: Path) -> object:
        raw = copy.deepcopy(GOOD)
        edit(raw)
        return parse_config(raw)

    return meet


def put(path: str, value: object) -> Callable[[dict], object]:
    """An edit that sets the key at a dotted path."""

    def edit(raw: dict) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            raw = raw[parent]
        raw[key] = value

    return edit


def text(content: str) -> Callable[[Path], object]:
    """Load a file with this text."""

    def meet(folder: Path) -> object:
        (folder / "my run.yaml").write_text(content)
        return load_config(folder / "my run.yaml")

    return meet


def methods_in(source: str | None, names: object = "all") -> Callable[[Path], object]:
    """Ask for the methods of a folder with one file of this text, or of a folder that is not there."""

    def meet(folder: Path) -> object:
        if source is not None:
            (folder / "mine").mkdir()
            (folder / "mine" / "pca10.py" if source == "" else folder / "mine" / "own.py").write_text(source)
        chosen = registry.chosen(names, [str(folder / "mine")])
        return [registry.declared(name, [str(folder / "mine")]) for name in chosen]

    return meet


OWN = "class Own(Method):\n    label = 'own'\n    protocol = 'floor'\n"

CONFIGS = [
    Case("a folder of methods that is not there", methods_in(None), ("method_folders", "mine' is no folder", "make it")),
    Case("a method with a name that is taken", methods_in(""), ("pca10.py", "a method of this name", "rename")),
    Case("a method that is asked for and not there", methods_in("x = 1", ["ovn"]), ("'ovn'", "'own'", "method_folders")),
    Case("a method file with a syntax error", methods_in("class Own(:"), ("own.py", "invalid syntax", "correct")),
    Case("a class attribute that is computed", methods_in(OWN + "    gpu = one()"), ("own.py", "'gpu'", "computed")),
    Case("a misspelt class attribute", methods_in(OWN + "    protocl = 'floor'"), ("own.py", "'protocol'?")),
    Case("a class attribute of the wrong type", methods_in(OWN + "    memory_mb = 'big'"), ("memory_mb", "'big'", "int")),
    Case("a method without protocol", methods_in("class Own(Method):\n    label = 'own'"), ("'protocol'", "add it")),
    Case("an unknown protocol", methods_in(OWN.replace("floor", "magic")), ("own.py", "'magic'", "'inductive'")),
    Case("a misspelt key", edited(put("campaigns.lodo.test_donor", 2)), ("campaigns.lodo.test_donor", "'test_donors'")),
    Case("a misspelt section", edited(put("operator", {})), ("operator is no known key", "'operators'")),
    Case("an unknown key", edited(put("adaptor.zzz", 1)), ("adaptor.zzz is no known key", "config/README.md")),
    Case("a missing section", edited(lambda raw: raw.pop("panels")), ("panels", "required")),
    Case("text where a number belongs", edited(put("operators.cells", "many")), ("operators.cells", "integer")),
    Case("a number out of range", edited(put("panels.tiny.min_present", 1.5)), ("panels.tiny.min_present", "1")),
    Case("an unknown design", edited(put("campaigns.lodo.design", "random")), ("campaigns.lodo.design", "'grouped'")),
    Case("an unknown endpoint", edited(put("endpoints.verdict", ["auroc"])), ("endpoints.verdict", "'auroc'", "choose")),
    Case("a campaign on no panel", edited(put("campaigns.lodo.panel", "tinny")), ("campaigns.lodo.panel", "'tinny'")),
    Case("a panel of no dataset", edited(put("panels.tiny.datasets", ["cohorts"])), ("panels.tiny.datasets", "'cohorts'")),
    Case("a model without corpus", edited(put("datasets.cohort.corpus", None)), ("model.corpus", "'corpus'", "name")),
    Case("a frozen design on one dataset", edited(put("campaigns.lodo.design", "frozen")), ("campaigns.lodo", "frozen")),
    Case("layers that 3 does not divide", edited(put("model.pretrain.layers", 4)), ("model.pretrain.layers", "3")),
    Case("a url without sha256", edited(put("datasets.cohort", {"path": "x.h5ad", "url": "https://a/x.h5ad", "labels": "m"})),
         ("datasets.cohort", "'url' needs 'sha256'")),
    Case("a dataset without file", edited(put("datasets.cohort", {"labels": "m.tsv"})), ("datasets.cohort", "'path'")),
    Case("a name with spaces, quotes and ;", edited(put("run", "my run; rm -rf '$HOME'")), ("run", "my run; rm -rf")),
    Case("a name that leaves its folder", edited(put("run", "../elsewhere")), ("run", "../elsewhere")),
    Case("a dataset name with a wildcard", edited(lambda raw: raw["datasets"].update({"{x}": raw["datasets"]["cohort"]})),
         ("datasets", "{x}")),
    Case("a chain on no panel", edited(put("discovery.panels", {"tinny": {"internal": "cohort"}})), ("discovery.panels.tinny",)),
    Case("a chain's campaign that is not there", edited(put("discovery.panels.tiny.campaign", "evidences")),
         ("discovery.panels.tiny.campaign", "'evidences'")),
    Case("too few permutations for the gate's p", edited(put("discovery.gates", {"permutations": 99, "p": 0.001})),
         ("discovery.gates", "99", "give more")),
    Case("an artifact of no variant", edited(put("discovery.artifact.variant", "rank5")), ("'rank5'", "'rank16'")),
    Case("knowledge of the wrong kind", edited(put("geometry.knowledge.edges", "sets")),
         ("geometry.knowledge.edges", "'sets'", "trrust")),
    Case("co-expression without the model", edited(put("geometry.spaces", ["coexpression"])), ("geometry", "add model")),
    Case("pair scores the wrong way round", edited(put("geometry.low_score", 0.9)), ("geometry", "'low_score'", "0.9")),
    Case("a channel that STRING has not", edited(put("geometry.channels", {"mine": ["experiment"]})),
         ("geometry.channels", "'experiment'", "did you mean 'experiments'?")),
    Case("a score of no channel", edited(put("geometry.channels", {"mine": []})), ("geometry.channels", "'mine'", "once")),
    Case("a score with STRING's name", edited(put("geometry.channels", {"combined": ["fusion"]})),
         ("geometry.channels", "'combined'", "another name")),
    Case("a file that is no YAML", text("run: [tiny\n"), ("my run.yaml", "YAML")),
    Case("a YAML file that is a list", text("- run\n- tiny\n"), ("my run.yaml", "list")),
    Case("an empty configuration", text(""), ("datasets", "required")),
    Case("a key that occurs twice", text("run: a\nrun: b\n"), ("my run.yaml", "run", "twice")),
]  # fmt: skip

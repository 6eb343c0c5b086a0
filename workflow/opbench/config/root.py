"""The whole configuration, with the checks that cross sections."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from opbench.config.base import Name, Section
from opbench.config.baselines import Baselines
from opbench.config.benchmark import Campaign, Endpoints, Statistics
from opbench.config.claims import ClaimSettings
from opbench.config.data import Dataset, Panel
from opbench.config.discovery import Discovery, Knowledge
from opbench.config.evidence import Calibration, Evidence
from opbench.config.geometry import KINDS, Geometry
from opbench.config.model import Adaptor, Model, Operators
from opbench.config.sweeps import Sweeps
from opbench.io.errors import InputError


class Config(Section):
    """An opbench run."""

    run: Name = Field(description="Name of the run; results go to `results/<run>/`.")
    ontology: str = Field("resources/ontology", description="Folder with `stages.tsv` and `edges.tsv`.")
    datasets: dict[Name, Dataset] = Field(description="Datasets by name.", min_length=1)
    panels: dict[Name, Panel] = Field(description="Gene panels by name.", min_length=1)
    model: Model = Field(description="The foundation model.")
    operators: Operators = Field(Operators(), description="Operators and controls.")
    adaptor: Adaptor = Field(Adaptor(), description="The trained head.")
    campaigns: dict[Name, Campaign] = Field(description="Donor-holdout campaigns by name.", min_length=1)
    methods: Literal["all", "core"] | list[Name] = Field(
        "core",
        description="Methods to run: `all` that are found (batteries of controls must be named), those that call "
        "themselves `core`, or a list.",
    )
    method_folders: list[str] = Field(
        [], description="Folders with methods of your own, one file each; see docs/add-a-baseline.md."
    )
    baselines: Baselines = Field(Baselines(), description="Settings of the comparators.")
    endpoints: Endpoints = Field(Endpoints(), description="Endpoints.")
    statistics: Statistics = Field(Statistics(), description="Inference.")
    evidence: Evidence = Field(Evidence(), description="The rule that says what a claim is worth.")
    calibration: Calibration = Field(Calibration(), description="How often the rule is wrong, by simulation.")
    claims: ClaimSettings = Field(ClaimSettings(), description="Published claims beside this run.")
    sweeps: Sweeps = Field(Sweeps(), description="Sweeps of cheap heads.")
    knowledge: dict[Name, Knowledge] = Field({}, description="Tables of public knowledge by name.")
    discovery: Discovery = Field(Discovery(), description="The paper's whole chain.")
    geometry: Geometry = Field(Geometry(), description="Spectral geometry of gene representations.")

    @model_validator(mode="after")
    def _references(self) -> "Config":
        def known(name: str, names: object, where: str) -> None:
            if name not in names:  # type: ignore[operator]
                raise ValueError(f"{where} names '{name}', which is none of {sorted(names)}")  # type: ignore[call-overload]

        known(self.model.corpus, self.datasets, "model.corpus")
        for key, panel in self.panels.items():
            for name in panel.datasets:
                known(name, self.datasets, f"panels.{key}.datasets")
            if panel.genes.corpus not in (None, self.model.corpus):
                # One corpus for genes, operator and pre-training: it is what the leakage audit knows.
                raise ValueError(f"panels.{key}.genes.corpus must be model.corpus, '{self.model.corpus}'")
        for key, campaign in self.campaigns.items():
            known(campaign.panel, self.panels, f"campaigns.{key}.panel")
            if (campaign.gaussian_draws or 0) > self.operators.gaussian_draws:
                raise ValueError(f"campaigns.{key}.gaussian_draws is more than operators.gaussian_draws")
            for field in ("train", "test"):
                known(getattr(campaign, field), self.panels[campaign.panel].datasets, f"campaigns.{key}.{field}")
        for key, task in self.endpoints.binary.items():
            for side in ("positive", "negative"):
                for name in getattr(task, side):
                    known(name, self.datasets, f"endpoints.binary.{key}.{side}")
        for name in self.sweeps.panels:
            known(name, self.panels, "sweeps.panels")
            if not self.sweeps.campaign_of(name, self.campaigns):
                raise ValueError(
                    f"sweeps.panels: '{name}' has no campaign with design 'folds' or 'leave_one_donor_out'"
                )
        self._discovery()
        for role, names in self.claims.analogues.items():
            for name in names:
                known(name, self.endpoints.binary, f"claims.analogues.{role}")
        for name in self.claims.published.panels:
            known(name, self.panels, "claims.published.panels")
        source = self.datasets[self.model.corpus]
        if source.corpus is None:
            raise ValueError(
                f"model.corpus: dataset '{self.model.corpus}' has no 'corpus' filter; name its cells there"
            )
        if self.model.checkpoint is None:
            self._trained_heads()
        return self

    def _discovery(self) -> None:
        """What chain and geometry name must be there, and be of use to them."""
        d = self.discovery
        for key, part in d.panels.items():
            where = f"discovery.panels.{key}"
            if key not in self.panels:
                raise ValueError(f"{where} is none of the panels {sorted(self.panels)}")
            for field in ("internal", "external", "zero_shot"):
                name = getattr(part, field)
                if name is not None and name not in self.panels[key].datasets:
                    raise ValueError(f"{where}.{field} names '{name}', which is no dataset of panel '{key}'")
            if part.control is not None and part.control not in self.datasets:
                raise ValueError(f"{where}.control names '{part.control}', which is none of {sorted(self.datasets)}")
            if part.campaign is not None:
                chosen = self.campaigns.get(part.campaign)
                if chosen is None or chosen.panel != key or chosen.design not in ("folds", "leave_one_donor_out"):
                    raise ValueError(
                        f"{where}.campaign names '{part.campaign}', which is no campaign of panel '{key}' with design "
                        "'folds' or 'leave_one_donor_out'"
                    )
        wanted: list[tuple[str, list[str], tuple[str, ...]]] = [
            ("discovery.compaction.gene_sets", d.compaction.gene_sets, ("gmt",)),
            ("discovery.manifold.interactions", [d.manifold.interactions or ""], ("interactions",)),
        ]
        for use, kinds in KINDS.items():
            wanted.append((f"geometry.knowledge.{use}", [getattr(self.geometry.knowledge, use) or ""], kinds))
        for where, names, kinds in wanted:
            for name in filter(None, names):
                if name not in self.knowledge or self.knowledge[name].kind not in kinds:
                    named = " or ".join(kinds)
                    raise ValueError(f"{where} names '{name}', which is no entry of knowledge with kind {named}")

    def _trained_heads(self) -> None:
        """A model that the run trains has the heads of its recipe; those of a checkpoint are told by its files."""
        recipe = self.model.pretrain
        if recipe.layers % 3:
            raise ValueError("model.pretrain.layers must be a multiple of 3 (three equal drift blocks)")
        for section, names in (("operators", self.operators.single_heads), ("sweeps", self.sweeps.single_heads)):
            for name in names:
                head = re.fullmatch(r"L(\d+)H(\d+)", name)
                if head and (int(head[1]) >= recipe.layers or int(head[2]) >= recipe.heads):
                    raise ValueError(
                        f"{section}.single_heads: '{name}' is outside the model's {recipe.layers} layers x "
                        f"{recipe.heads} heads; both count from 0"
                    )


def parse_config(raw: object, files: Mapping[str, dict[str, Any]] | None = None) -> Config:
    """Validate a raw configuration; the error names every key that is wrong, in one sentence.

    `files` are the files that were merged into it, by path: the error then names those that give the keys.
    """
    if not isinstance(raw, dict):
        raise InputError(f"configuration: is a {type(raw).__name__}, not sections by name; see config/README.md.")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for where, text in problems_by_file(error, files or {}):
            found.setdefault(where, []).append(text)
        problems = "; ".join(f"{where}: {'; '.join(texts)}" for where, texts in found.items())
        end = "" if problems.endswith("?") else "."
        raise InputError(f"{problems}{end}") from None


def problems_by_file(error: ValidationError, files: Mapping[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Each problem in words, after the file that gives the wrong key (`configuration` without files)."""
    found = []
    for item in error.errors():
        text = describe_problem(item)
        # A check that crosses sections has no place of its own and begins with the one that it names.
        place = item["loc"] or tuple(re.split(r"[ :,]", text, maxsplit=1)[0].split("."))
        found.append((" and ".join(_givers(place, files)) or "configuration", text))
    return found


def _givers(place: tuple[int | str, ...], files: Mapping[str, dict[str, Any]]) -> list[str]:
    """Files whose keys make up the merged value at `place`, or at the nearest section above it that any gives."""
    held: dict[str, Any] = dict(files)
    for part in place:
        inside: dict[str, Any] = {}
        for path, value in held.items():
            if isinstance(value, list) and isinstance(part, int) and part < len(value):
                inside[path] = value[part]
            elif isinstance(value, dict) and part in value:
                # As in `merge`: sections come together, all else is taken from the last file.
                together = isinstance(value[part], dict) and all(isinstance(old, dict) for old in inside.values())
                inside = (inside if together else {}) | {path: value[part]}
        if not inside:
            break
        held = inside
    return list(held)


def describe_problem(item: Any) -> str:
    """One problem in words; an unknown key gets the nearest known one, a wrong value is shown."""
    place, text = item["loc"], item["msg"].removeprefix("Value error, ")
    where = ".".join(map(str, place))
    if item["type"] == "extra_forbidden":
        near = get_close_matches(str(place[-1]), _keys(place[:-1]), n=1)
        return f"{where} is no known key" + (f"; did you mean '{near[0]}'?" if near else "; see config/README.md")
    if item["type"] == "string_pattern_mismatch":
        text = "use letters, digits, - and _ alone, as names become folder names"
    if isinstance(item["input"], str | int | float) and item["type"] != "value_error":
        text = f"is {item['input']!r}, but: {text}"
    return f"{where}: {text}" if where else text


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """Names of the keys of the section at `place`; keys of mappings and list positions are passed over."""
    model: type[BaseModel] = Config
    for part in place:
        if part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            inner = [a for a in (annotation, *_inside(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
            model = inner[0] if inner else model
    return list(model.model_fields)


def _inside(annotation: object) -> list[object]:
    return [item for arg in get_args(annotation) for item in [arg, *_inside(arg)]]


class _Strict(yaml.SafeLoader):
    """A loader that refuses a key given twice, of which YAML would silently take the last."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    plain = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    keys = [loader.construct_object(key, deep=True) for key in plain]  # type: ignore[no-untyped-call]
    if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
        raise InputError(f"line {node.start_mark.line + 1}: key '{twice[0]}' is given twice; keep one.")
    loader.flatten_mapping(node)
    return yaml.constructor.BaseConstructor.construct_mapping(loader, node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML file of sections; what is no such file, or gives a key twice, is an InputError."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), _Strict)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); correct the path.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise InputError(f"{path}: is no readable YAML file ({reason}); correct it.") from None
    if not isinstance(content, dict | None):
        raise InputError(f"{path}: holds a {type(content).__name__}, not sections by name; see config/README.md.")
    return content or {}


def load_config(*paths: str | Path) -> Config:
    """Read one or more YAML files, later ones over earlier ones as `--configfile` does."""
    files = {str(path): read_yaml(path) for path in paths}
    return parse_config(merge_all(files), files)


def merge_all(files: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The settings of several files, each over those before it."""
    raw: dict[str, Any] = {}
    for content in files.values():
        raw = merge(raw, content)
    return raw


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Settings `over` others: sections key by key at every depth, as Snakemake merges files, and all else whole."""
    out = dict(under)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old if isinstance(old, dict) else {}, value) if isinstance(value, dict) else value
    return out

"""The whole configuration, with the checks that cross sections."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from opbench.config.base import Name, Section
from opbench.config.benchmark import Campaign, Endpoints, Statistics
from opbench.config.data import Dataset, Panel
from opbench.config.model import Adaptor, Model, Operators
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
    methods: list[Name] | None = Field(None, description="Methods to run; null runs every one that is found.")
    endpoints: Endpoints = Field(Endpoints(), description="Endpoints.")
    statistics: Statistics = Field(Statistics(), description="Inference.")

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
        if self.model.checkpoint is None and self.model.pretrain.layers % 3:
            raise ValueError("model.pretrain.layers must be a multiple of 3 (three equal drift blocks)")
        return self


def parse_config(raw: dict[str, Any]) -> Config:
    """Validate a raw configuration; the error names every key that is wrong, in one sentence."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}" for item in error.errors())
        raise InputError(f"configuration: {problems}.") from None


def load_config(*paths: str | Path) -> Config:
    """Read one or more YAML files, later ones over earlier ones by top-level key."""
    raw: dict[str, Any] = {}
    for path in paths:
        raw |= yaml.safe_load(Path(path).read_text()) or {}
    return parse_config(raw)

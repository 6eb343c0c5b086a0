"""The configuration and the methods that it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from opbench.check.findings import Findings
from opbench.config import Config, read_yaml
from opbench.config.root import merge_all, problems_by_file
from opbench.io.labels import method_labels
from opbench.methods import registry
from opbench.methods.interface import Variant
from opbench.readouts.run_chunk import make_plan, open_method
from opbench.statistics.family import WITHOUT_VERDICT


def read_settings(paths: Sequence[str | Path], findings: Findings) -> Config | None:
    """Read YAML files, later ones over earlier ones; every wrong key is a problem of its own, of the file with it."""
    files: dict[str, dict[str, Any]] = {}
    for path in paths:
        with findings.collect():
            files[str(path)] = read_yaml(path)
    if findings.problems:
        return None
    try:
        return Config.model_validate(merge_all(files))
    except ValidationError as error:
        for where, text in problems_by_file(error, files):
            findings.problem(f"{where}: {text}{'' if text.endswith('?') else '.'}")
    return None


@dataclass(frozen=True)
class Arms:
    """A method in a campaign: its variants, or the `reason` why it gives nothing."""

    method: str
    protocol: str
    operator_kinds: tuple[str, ...]
    variants: list[Variant]
    reason: str = ""
    needs_all_genes: bool = False
    needs_operators: bool = False

    @property
    def competes(self) -> bool:
        """Whether its comparisons may carry a verdict: by its protocol, no leak, no random arm (decision 18)."""
        drawn = any(variant.draw >= 0 for variant in self.variants)
        return not (self.reason or drawn or self.protocol in (*WITHOUT_VERDICT, "leaking"))


def campaign_arms(config: Config, findings: Findings) -> dict[str, list[Arms]]:
    """Campaign -> its methods with their variants; an unknown name is a problem, a method that breaks a warning."""
    out: dict[str, list[Arms]] = {}
    for name, campaign in config.campaigns.items():
        out[name] = []
        plan = make_plan(config, name)
        chosen = findings.attempt(registry.chosen, campaign.methods or config.methods, config.method_folders)
        for method in chosen or ():
            opened, variants, gap = open_method(method, plan, config.method_folders)
            if gap and gap.status != "not_applicable":
                findings.warn(f"methods.{method}: gives no scores in '{name}' ({gap.reason}); correct its file.")
            facts = (opened.protocol, opened.operator_kinds)
            reason = gap.reason if gap else ""
            asks = (opened.needs_all_genes, opened.needs_operators)
            out[name].append(Arms(method, *facts, [] if gap else variants, reason, *asks))
    return out


def competitors(arms: dict[str, list[Arms]]) -> dict[str, dict[str, str]]:
    """Campaign -> label -> budget of the methods whose pairs make the verdict family."""
    rows = [(c, a, v.arm, v.budget) for c, found in arms.items() for a in found for v in a.variants or [Variant()]]
    frame = pd.DataFrame(rows, columns=["campaign", "arms", "arm", "budget"])
    frame["method"] = [item.method for item in frame["arms"]]
    if frame.empty:
        return {campaign: {} for campaign in arms}
    frame["label"] = method_labels(frame)
    frame = frame[[item.competes for item in frame["arms"]]]
    named = {c: dict(zip(part["label"], part["budget"], strict=True)) for c, part in frame.groupby("campaign")}
    return {campaign: named.get(campaign, {}) for campaign in arms}

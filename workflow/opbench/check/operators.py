"""Operator files of a panel, as the rules ask for them: exported, projected ahead of methods, measured."""

import re
from dataclasses import dataclass, field

from opbench.check.settings import Arms
from opbench.config import Config
from opbench.operators.names import LABEL_ARMS

#: The method whose run makes the time of projecting the drift part of a table (`ratio`).
TIMED = "frozen_embedding_mlp"


@dataclass
class OperatorFiles:
    """Names of a panel's operators: `exported` to files, of these `projected` ahead, and `measured` for their facts."""

    exported: set[str] = field(default_factory=set)
    projected: set[str] = field(default_factory=set)
    measured: set[str] = field(default_factory=set)


def operator_files(config: Config, arms: dict[str, list[Arms]]) -> dict[str, OperatorFiles]:
    """Panel -> its operators; controls, and what a method applies itself (`needs_operators`), are not projected."""
    controls = config.operators.control_names()
    out = {}
    for panel in config.panels:
        always = _always(config, panel)
        files = OperatorFiles(exported=set(always))
        battery = False
        for name, campaign in config.campaigns.items():
            if campaign.panel != panel:
                continue
            draws = campaign.gaussian_draws
            draws = config.operators.gaussian_draws if draws is None else draws
            for item in arms[name]:
                read = [op for op in (*always, *controls) if _is_read(op, item.operator_kinds, draws)]
                files.exported.update(read)
                if not item.needs_operators:
                    files.projected.update(set(read) & set(always))
                if item.method == TIMED:
                    files.projected.add("drift")
                battery = battery or item.method == "control_head"
        made = [*always, *(controls if battery else [])]
        first = {op for op in made if not re.search(r"-[1-9]\d*$", op)}
        files.measured = {op for op in first if op.split("-")[0] not in LABEL_ARMS}
        files.exported |= files.measured | _swept(config, panel) | _chained(config, panel)
        out[panel] = files
    return out


def _always(config: Config, panel: str) -> list[str]:
    """Operators that every run exports: the drift, single heads, and as many Gaussian draws as a campaign uses."""
    settings = config.operators
    used = [c.gaussian_draws for c in config.campaigns.values() if c.panel == panel]
    draws = max((settings.gaussian_draws if n is None else n for n in used), default=settings.gaussian_draws)
    return ["drift", *(f"head-{head}" for head in settings.single_heads), *(f"gaussian-{n}" for n in range(draws))]


def _is_read(operator: str, kinds: tuple[str, ...], draws: int) -> bool:
    arm, _, draw = operator.partition("-")
    return arm in kinds and not (arm == "gaussian" and int(draw) >= draws)


def _swept(config: Config, panel: str) -> set[str]:
    """Operators that a panel's sweep reads; those of other conventions are files of their own."""
    if not config.sweeps.campaign_of(panel, config.campaigns):
        return set()
    arms = [arm for arm in config.sweeps.arms_of(config.operators) if arm != "conventions"]
    return {operator for arm in arms for operator in config.sweeps.operators_of(arm, config.operators)}


def _chained(config: Config, panel: str) -> set[str]:
    """Operators that the chain of a panel reads."""
    chain, operators = config.discovery, config.operators
    if panel not in chain.panels:
        return set()
    return {name for arm in chain.arms_of(operators) for name in chain.operators_of(arm, operators)}

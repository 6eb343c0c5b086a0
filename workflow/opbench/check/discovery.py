"""The chain before a run: anchors of each part."""

import pandas as pd

from opbench.check.data import Facts
from opbench.check.findings import Findings
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.discovery.parts import internal_donors
from opbench.panels.anchors import KEY


def part_anchors(config: Config, panel: str, datasets: dict[str, Facts]) -> dict[str, int]:
    """Part -> its anchors; parts whose cells are not known yet are left out."""
    chosen, found = config.discovery.panels[panel], {}
    sizes = {
        name: facts.role("evaluation").groupby(KEY).size() >= config.discovery.min_cells
        for name, facts in datasets.items()
        if facts.cells is not None
    }
    if chosen.internal in sizes:
        enough: pd.Series = sizes[chosen.internal]
        donor = enough.index.get_level_values("donor")
        if chosen.external is None:
            mine = donor.isin(internal_donors(config, panel, donor))
            found |= {"internal": int(enough[mine].sum()), "external": int(enough[~mine].sum())}
        else:
            found["internal"] = int(enough.sum())
    for part in ("external", "zero_shot", "control"):
        if getattr(chosen, part) in sizes:
            found[part] = int(sizes[getattr(chosen, part)].sum())
    return found


def check_discovery(config: Config, datasets: dict[str, Facts], findings: Findings) -> dict[str, dict[str, int]]:
    """Panel -> part -> anchors; warns of parts that are not testable."""
    found = {panel: part_anchors(config, panel, datasets) for panel in config.discovery.panels}
    fewest = config.discovery.gates.min_anchors
    for panel, parts in found.items():
        for part, anchors in parts.items():
            said = (
                f"discovery.panels.{panel}: part {part} has {anchors} anchors, fewer than gates.min_anchors ({fewest})"
            )
            if anchors == 0 and part == "internal":
                findings.problem(f"{said}; lower discovery.min_cells.")
            elif anchors < fewest:
                findings.warn(f"{said}, so that it is not testable.")
    if config.discovery.panels:
        _check_arms(config, findings)
    return found


def _check_arms(config: Config, findings: Findings) -> None:
    """Warn of control arms that the chain cannot run, or with too few draws for a verdict."""
    chain, fewest = config.discovery, config.evidence.min_draws
    found = {arm: len(chain.operators_of(arm, config.operators)) for arm in chain.arms}
    if absent := [arm for arm, count in found.items() if not count]:
        findings.warn(
            f"discovery.arms: {', '.join(absent)} have no operator, so that no claim can be judged by them; "
            "give operators.controls, as a battery's file does."
        )
    if few := [arm for arm, count in found.items() if arm not in FIXED_ARMS and 0 < count < fewest]:
        findings.warn(
            f"discovery.arms: {', '.join(few)} have fewer draws than evidence.min_draws ({fewest}); give more in "
            "operators."
        )

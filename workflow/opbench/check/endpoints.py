"""Per campaign and endpoint: the donors that count, and what a test with them can show."""

from dataclasses import dataclass

from opbench.check.donors import CampaignFacts
from opbench.check.findings import Findings
from opbench.check.power import (
    SPREAD_SOURCE,
    needed_at_floor,
    pairs,
    smallest_p,
    typical_spread,
)
from opbench.config import Config
from opbench.statistics.family import verdict_endpoints
from opbench.statistics.power import LEVEL, detectable


@dataclass(frozen=True)
class EndpointFacts:
    """One endpoint of one campaign.

    `role` is verdict or why there is none; `family` counts the tests that are corrected together, `needed` how many of
    them must reach `p_floor` for q < 0.05 (None: no number does). `difference` is the smallest mean difference found
    with 80 % power at p < 0.05 (before correction) when donors' differences have the sd `spread`, of `source`.
    """

    campaign: str
    endpoint: str
    donors: int
    healthy: int
    role: str
    p_floor: float
    family: int
    needed: int | None
    in_sd: float | None
    spread: float
    source: str
    difference: float | None


def describe_endpoints(
    config: Config,
    campaigns: dict[str, CampaignFacts],
    competitors: dict[str, dict[str, str]],
    measured: dict[tuple[str, str], float],
    source: str,
    findings: Findings,
) -> list[EndpointFacts]:
    """One row per campaign and endpoint that some donor can be scored on.

    `competitors` are a campaign's labels and budgets, `measured` an earlier run's sd per campaign and endpoint.
    """
    chosen, verdict, out = config.endpoints, verdict_endpoints(config.endpoints), []
    for name, facts in campaigns.items():
        grouped = config.campaigns[name].design == "grouped"
        scored = {key: donors for key, donors in facts.scored.items() if donors}
        counted = [key for key, donors in scored.items() if key in verdict and len(donors) >= chosen.min_donors]
        n_pairs = len(pairs(competitors[name]))
        family = 0 if grouped else n_pairs * len(counted)
        few, unreachable = [], []
        for endpoint, donors in scored.items():
            n = len(donors)
            role = _role(endpoint in verdict, grouped, n, chosen.min_donors, n_pairs)
            floor = smallest_p(n)
            needed = needed_at_floor(floor, family) if role == "verdict" else None
            if role == "verdict" and (needed is None or needed > family):
                unreachable.append(f"{endpoint} ({n})")
            if endpoint in verdict and n < chosen.min_donors and not grouped:
                few.append(f"{endpoint} ({n})")
            key = (name, endpoint)
            spread = measured.get(key, typical_spread(endpoint))
            in_sd = detectable(n) if n else None
            out.append(
                EndpointFacts(
                    name, endpoint, n, sum(facts.conditions.get(d) in config.statistics.healthy for d in donors), role,
                    floor, family if role == "verdict" else 0, needed, in_sd, spread,
                    source if key in measured else SPREAD_SOURCE, None if in_sd is None else in_sd * spread,
                )
            )  # fmt: skip
        if few:
            findings.warn(
                f"campaigns.{name}: {', '.join(few)} can be scored on fewer than {chosen.min_donors} donors and will "
                "be descriptive; add donors, or take the endpoint out of the verdict."
            )
        if unreachable:
            findings.warn(
                f"campaigns.{name}: q < {LEVEL} cannot be reached for {', '.join(unreachable)}, whatever the data "
                f"say; add donors, or compare fewer methods than the {family} tests of this family."
            )
    return out


def _role(wanted: bool, grouped: bool, donors: int, least: int, n_pairs: int) -> str:
    if not wanted:
        return "descriptive"
    if grouped:
        return "descriptive: grouped"
    if donors < least:
        return f"descriptive: < {least} donors"
    return "verdict" if n_pairs else "descriptive: one method"

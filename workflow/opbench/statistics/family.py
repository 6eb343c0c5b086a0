"""What counts as what in a score table: valid values, verdict endpoints, healthy donors."""

import pandas as pd

from opbench.config.benchmark import Endpoints, Statistics

#: A campaign of a run.
CAMPAIGN = ["run", "panel", "campaign"]
#: Protocols that bracket an endpoint and are no competitors.
BRACKETS = ("oracle", "chance")
#: Protocols without a verdict: brackets; floors, whose certain differences would loosen the correction of all others;
#: methods fitted on the test cells; models whose training donors are unknown.
WITHOUT_VERDICT = (*BRACKETS, "floor", "transductive", "pretrained")


def verdict_endpoints(endpoints: Endpoints) -> set[str]:
    """Names of the endpoints whose comparisons carry a verdict."""
    names = set(endpoints.verdict)
    for name, binary in endpoints.binary.items():
        if binary.verdict:
            names |= {f"{name}_auroc", f"{name}_balanced_accuracy"}
    return names


def is_null(endpoint: str) -> bool:
    """Whether an endpoint describes a null distribution, which is shown but never compared."""
    return endpoint.startswith("null_") or "_null_" in endpoint


def healthy_donors(scores: pd.DataFrame, statistics: Statistics) -> list[str] | None:
    """Donors of a campaign with a healthy condition; None unless at least two are and some are not."""
    healthy = scores["condition"].isin(statistics.healthy)
    donors = sorted(scores.loc[healthy, "donor"].unique())
    return donors if len(donors) >= 2 and len(donors) < scores["donor"].nunique() else None

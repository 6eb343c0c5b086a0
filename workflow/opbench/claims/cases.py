"""Which campaigns, panels and endpoints of a run a claim's case is about."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from opbench.claims.views import Missing, Tables, source_of
from opbench.config.claims import Case, Claim, ClaimSettings, Role
from opbench.config.claims_query import SETTINGS, names_in

#: Methods that bracket an endpoint: where they alone have a value, the endpoint does not apply.
BRACKETS = ("oracle", "chance")


@dataclass(frozen=True)
class Place:
    """Where a case is tested; empty where that does not apply."""

    panel: str = ""
    campaign: str = ""
    endpoint: str = ""


def endpoints_by_role(roles: Mapping[str, Role], settings: ClaimSettings) -> dict[str, list[str]]:
    """Role -> two-class endpoints that may stand for it: what the run says, or the names that the file knows."""
    return {
        name: list(dict.fromkeys(settings.analogues.get(name, [*role.paper, *role.analogues])))
        for name, role in roles.items()
    }


def places(
    claim: Claim, case: Case, tables: Tables, candidates: list[str], settings: ClaimSettings
) -> list[list[list[Place]]]:
    """Places of a case: for every panel and endpoint, campaigns of each design that may speak to it, in order.

    A case whose tables know no campaign, as `sweeps`, has places without one. candidates: the endpoints that its
    `endpoint` may stand for. Raises `Missing` with the first thing that is absent.
    """
    named = {name for expression in case.expressions() for name in names_in(expression)} - set(SETTINGS)
    read = {claim.quantities[name].table for name in named}
    frames = {source_of(name): tables.get(name) for name in sorted(read)}
    if not claim.designs or not any("campaign" in frame for frame in frames.values()):
        # Rows that do not count have a place as well: their reasons are what the case then says.
        whole = {source_of(name): tables.whole(name) for name in sorted(read)}
        return [[[place]] for place in _panels(whole, candidates if case.endpoint else [])]
    found: dict[tuple[str, str], list[list[Place]]] = {}
    tiers = _campaigns(claim, tables, frames)
    for endpoint in candidates if case.endpoint else [""]:
        for rank, (panel, campaign) in tiers:
            if not endpoint or endpoint in scored(tables, campaign):
                group = found.setdefault((panel, endpoint), [[] for _ in claim.designs])
                group[rank].append(Place(panel, campaign, endpoint))
    if found:
        return [found[key] for key in sorted(found, key=lambda key: key[0])]
    role = case.endpoint.partition("/")[0] if "/" in case.endpoint else ""
    how = f"; name your endpoints in claims.analogues.{role}" if role and role not in settings.analogues else ""
    where = ", ".join(sorted({campaign for _, (_, campaign) in tiers}))
    raise Missing(f"no donor has a value of {' or '.join(candidates) or case.endpoint} in {where}{how}")


def _panels(frames: Mapping[str, pd.DataFrame], endpoints: list[str]) -> list[Place]:
    """Panels that all tables know, with each of `endpoints` there; no panel where no table has any."""
    if not any("panel" in frame for frame in frames.values()):
        return [Place()]
    if panels := _shared(frames, "panel"):
        if not endpoints:
            return [Place(panel=panel) for panel in panels]
        found = []
        for panel in panels:
            known = _shared({name: frame[frame["panel"] == panel] for name, frame in frames.items()}, "endpoint")
            found += [Place(panel=panel, endpoint=name) for name in endpoints if name in known]
        if found:
            return found
        raise Missing(f"{' and '.join(sorted(frames))} has no value of {' or '.join(endpoints)}")
    raise Missing(
        f"{' and '.join(sorted(frames))} {'has' if len(frames) == 1 else 'have'} no panel"
        + " in common" * (len(frames) > 1)
    )


def _shared(frames: Mapping[str, pd.DataFrame], column: str) -> list[str]:
    """Values of `column` that all tables with this column know."""
    known = [set(frame[column]) for frame in frames.values() if column in frame]
    return sorted(set.intersection(*known)) if known else []


def _campaigns(claim: Claim, tables: Tables, frames: Mapping[str, pd.DataFrame]) -> list[tuple[int, tuple[str, str]]]:
    """Rank of the design, panel and name of each campaign that every table of the case knows."""
    splits = tables.get("splits")
    for column in ("panel", "campaign"):
        if any(column in frame for frame in frames.values()):
            splits = splits[splits[column].isin(_shared(frames, column))]
    found = []
    for rank, design in enumerate(claim.designs):
        rows = splits[splits["design"] == design][["panel", "campaign"]].drop_duplicates().sort_values("campaign")
        found += [(rank, (str(panel), str(campaign))) for panel, campaign in rows.itertuples(index=False)]
    if not found:
        raise Missing(f"no campaign of design {' or '.join(claim.designs)} is in {', '.join(sorted(frames))}")
    return found


def scored(tables: Tables, campaign: str) -> set[str]:
    """Endpoints on which some method of a campaign has a value."""
    rows = tables.get("summary")
    rows = rows[(rows["campaign"] == campaign) & (rows["n_donors"] > 0) & ~rows["protocol"].isin(BRACKETS)]
    return set(rows["endpoint"])

"""Chunks of the calibration with the closed-form head: campaigns, cases, and what each referee says."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from opbench.calibration.campaigns import Campaign
from opbench.calibration.cases import NULLS, Case, planted
from opbench.calibration.plant import WORLDS, world_of
from opbench.calibration.referees import judge
from opbench.config.benchmark import Statistics
from opbench.config.evidence import Calibration, Evidence
from opbench.io.seeds import derive_seed
from opbench.io.tables import STRENGTHS, TRIALS, read_table, write_table

HEAD = "closed form"


def cases(strengths: pd.DataFrame, world: int, donors: int) -> list[Case]:
    """Null cases, then the planted ones at this population's strengths."""
    mine = strengths[(strengths["world"] == world) & (strengths["n_donors"] == donors)].sort_values("effect")
    return [*NULLS, *(planted(row.effect, row.strength) for row in mine.itertuples())]


def trials(
    calibration: Calibration, evidence: Evidence, strengths: pd.DataFrame, donors: int, number: int
) -> Iterator[dict[str, object]]:
    """Rows of one campaign (contract `TRIALS`): verdicts by test, and the real operator's lead over each control."""
    seed = derive_seed("calibration", calibration.seed, "reported", donors, number)
    world = number % WORLDS
    campaign = Campaign(world_of(calibration, number), donors, seed)
    statistics = Statistics(bootstraps=calibration.bootstraps)
    for case in cases(strengths, world, donors):
        scored = campaign.run(case)
        key = {
            "head": HEAD, "case": case.name, "control": case.control, "n_donors": donors, "effect": case.effect,
            "world": world, "campaign": number,
        }  # fmt: skip
        for test, found in judge(scored, statistics, evidence, derive_seed(seed, repr(case))).items():
            yield key | {"test": test, "value": float(found)}
        for name, arm in scored.controls.items():
            yield key | {"test": f"lead over {name}", "value": scored.real.values.mean() - arm.values.mean()}


def run_chunk(calibration: Calibration, evidence: Evidence, strengths: pd.DataFrame, chunk: int) -> pd.DataFrame:
    """Every `chunks`-th campaign, for all numbers of donors."""
    rows = [
        row
        for number in range(chunk, calibration.campaigns, calibration.chunks)
        for donors in calibration.donors
        for row in trials(calibration, evidence, strengths, donors, number)
    ]
    return pd.DataFrame(rows, columns=TRIALS.names)


def write_chunk(
    calibration: Calibration, evidence: Evidence, strengths: str | Path, chunk: int, output: str | Path
) -> None:
    """Run one chunk and write its trials."""
    write_table(run_chunk(calibration, evidence, read_table(strengths, STRENGTHS), chunk), output, TRIALS)

"""How strong a signal must be for a known lead: measured on pilot campaigns, which are never reported."""

from pathlib import Path

import numpy as np
import pandas as pd

from opbench.calibration.campaigns import Campaign
from opbench.calibration.cases import blind, seeing
from opbench.calibration.world import World, draw_world
from opbench.config.evidence import Calibration
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.tables import STRENGTHS, write_table

#: Populations that the campaigns go through in turn.
WORLDS = 8
#: Pilot campaigns per population and number of donors, and draws of each control in them.
PILOTS, PILOT_DRAWS = 100, 4
#: Class differences of the hidden variable at which the lead is measured.
GRID = (0.0, 0.3, 0.6, 0.9, 1.2, 1.6, 2.0, 3.0)


def world_of(calibration: Calibration, campaign: int) -> World:
    """The population of a campaign."""
    return draw_world(calibration.seed, campaign % WORLDS)


def leads(world: World, donors: int, seed: int, number: int, pilots: int = PILOTS) -> np.ndarray:
    """Lead (len(GRID),) in mean AUROC of a planted real operator over the strongest control of one population.

    The strongest is the control with the largest mean over pilot campaigns, not the luckiest of each.
    """
    real, controls = [], []
    for pilot in range(pilots):
        key = derive_seed("calibration", seed, "pilot", donors, number, pilot)
        campaign, rng = Campaign(world, donors, key), keyed_rng(key, "pilot")
        base = campaign.base["coexpression"]
        operator = seeing(base, rng)[None]
        real.append([campaign.view.shown(strength).scores(operator, rng).mean() for strength in GRID])
        corpus = campaign.corpus
        laws = [
            campaign.gaussians[:PILOT_DRAWS],
            campaign.arm("shuffle", base, PILOT_DRAWS),
            campaign.arm("row_permuted", base, PILOT_DRAWS),
            corpus.uniform[None],
            corpus.coexpression[None],
        ]
        controls.append([campaign.view.scores(blind(law), rng).mean() for law in laws])
    return np.mean(real, axis=0) - np.mean(controls, axis=0).max()


def strengths(calibration: Calibration, pilots: int = PILOTS) -> pd.DataFrame:
    """Strength of every (population, number of donors, effect), by interpolation (contract `STRENGTHS`)."""
    rows = []
    for number in range(WORLDS):
        world = world_of(calibration, number)
        for donors in calibration.donors:
            found = np.maximum.accumulate(leads(world, donors, calibration.seed, number, pilots))
            for effect in calibration.effects:
                if not found[0] < effect < found[-1]:
                    raise InputError(
                        f"calibration.effects: a lead of {effect} cannot be planted among {donors} donors, only "
                        f"{max(found[0], 0):.3f} to {found[-1]:.3f}; leave it out."
                    )
                rows.append((number, donors, effect, float(np.interp(effect, found, GRID))))
    return pd.DataFrame(rows, columns=["world", "n_donors", "effect", "strength"])


def write_strengths(calibration: Calibration, output: str | Path) -> None:
    """Measure the strengths and write them."""
    write_table(strengths(calibration), output, STRENGTHS)

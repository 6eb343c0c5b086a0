"""The paper's running-time ratio: a campaign of 12 splits with the frozen model against one with the extracted head."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.io.errors import InputError
from opbench.io.tables import COSTS, RATIO, SCORED, read_table, write_table

#: Splits of the campaign that arXiv:2603.10261 timed (spec G: 99.5 + 12 x 8.8 s against 5,163.8 + 12 x 159.2 s).
SPLITS = 12
#: System -> (method, arm, budget) of its rows; the raw genes with a linear probe are the arm the paper left out.
SYSTEMS = {
    "frozen embedding + MLP": ("frozen_embedding_mlp", "mean", "plateau"),
    "extracted head": ("extracted_head", "real", "fixed"),
    "raw genes, linear probe": ("raw_log1p", "", ""),
}
FROZEN, EXTRACTED = "frozen embedding + MLP", "extracted head"
#: What each system computes once a panel, as the paper counts it, and what it left out: the pass of the model over the
#: corpus that makes the operator. The frozen model's own pass is its cache.
ONCE = {FROZEN: ("embed_cells",), EXTRACTED: ("export_operator", "project_cells")}
LEFT_OUT = {EXTRACTED: ("accumulate_attention",)}


def job_seconds(path: str | Path) -> float:
    """Wall seconds of a job from its benchmark file; of the last run when it ran more than once."""
    try:
        return float(pd.read_csv(path, sep="\t")["s"].iloc[-1])
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"{path}: is no benchmark file with a column 's' ({error}); delete it and run again."
        ) from None


def ratios(costs: pd.DataFrame, once: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Seconds of each system in each campaign, and the frozen model's over them (COSTS to RATIO).

    once: panel -> rule -> seconds. A system that a campaign does not run, or whose rows failed, is left out, and the
    ratios are NaN without the frozen model. Per split, reused results count at the price of computing them.
    """
    rows = []
    for (run, panel, campaign), part in costs.groupby(["run", "panel", "campaign"], sort=True):
        found = {}
        for system, (method, arm, budget) in SYSTEMS.items():
            mine = part[(part["method"] == method) & (part["arm"] == arm) & (part["budget"] == budget)]
            seconds = once.get(str(panel), {})
            needed = (*ONCE.get(system, ()), *LEFT_OUT.get(system, ()))
            if mine.empty or not mine["status"].isin(SCORED).all() or any(rule not in seconds for rule in needed):
                continue
            cache = sum(seconds[rule] for rule in ONCE.get(system, ()))
            forward = sum(seconds[rule] for rule in LEFT_OUT.get(system, ()))
            split = (mine["wall_s"] + mine["saved_s"]).sum() / mine["splits"].sum()
            found[system] = (cache, forward, split, cache + SPLITS * split, forward + cache + SPLITS * split)
        frozen = found.get(FROZEN, (np.nan,) * 5)
        for system, values in found.items():
            both = (frozen[3] / values[3], frozen[4] / values[4])
            rows.append((run, panel, campaign, system, *values, *both))
    return pd.DataFrame(rows, columns=RATIO.names)


def write_ratios(costs: str | Path, benchmarks: Sequence[str], output: str | Path) -> None:
    """Write the table; `benchmarks` are files of jobs, `<rule>/<panel>.tsv` or `<rule>/<panel>/<operator>.tsv`."""
    once: dict[str, dict[str, float]] = {}
    for path in map(Path, benchmarks):
        rule, panel = (path.parent.name, path.stem)
        if path.stem == "drift":
            rule, panel = path.parent.parent.name, path.parent.name
        once.setdefault(panel, {})[rule] = job_seconds(path)
    write_table(ratios(read_table(costs, COSTS), once), output, RATIO, tsv=True)

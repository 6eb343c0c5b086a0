"""The real operator against every control arm, donors as the unit: scores become evidence."""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.benchmark import Endpoints, Statistics
from opbench.config.evidence import FIXED_ARMS, RANDOM_ARMS, Evidence
from opbench.io.tables import EVIDENCE, SCORED, SCORES, read_table, write_table
from opbench.statistics.arms import Arm, compare_arms, complete, operator_spread
from opbench.statistics.draws import by_draw
from opbench.statistics.family import CAMPAIGN, healthy_donors, is_null, verdict_endpoints
from opbench.statistics.power import detectable
from opbench.statistics.rule import DESCRIPTIVE, HEALTHY, READABLE, VERDICT, outcome
from opbench.statistics.tests import bh

REAL, GAUSSIAN = "real", "gaussian"
#: Methods that read out the real operator and its controls in the same way: a head, or at width 0 the probe alone.
METHODS = ("extracted_head", "gaussian_head", "control_head", "lookup_head", "operator_probe")
GROUP = ["width", "budget"]


def control_names(scores: pd.DataFrame, trivial: Collection[str]) -> pd.Series:
    """Name of each row's arm as the rule knows it; '' for rows that are neither the real operator nor a control.

    Both Gaussian constructions are `gaussian`; a trivial control that is a method goes by the method's name.
    """
    arm = scores["arm"].where(scores["method"].isin(METHODS), "")
    arm = arm.where(~arm.str.startswith(f"{GAUSSIAN}_"), GAUSSIAN)
    arm = arm.where(arm.isin([REAL, GAUSSIAN, *RANDOM_ARMS, *FIXED_ARMS]), "")
    return scores["method"].where(scores["method"].isin(list(trivial)), arm)


def effective_donors(cells: np.ndarray) -> float:
    """Kish's effective number (Σw)²/Σw² (Survey Sampling, 1965) of donors weighted by their scored cells.

    With a donor's variance between-donor + within-cell/n, this is what the donors are worth when all of the noise is
    that of cells, the least that they can be worth; the number of donors is the most. It decides nothing.
    """
    return float(cells.sum() ** 2 / (cells**2).sum()) if len(cells) and cells.sum() > 0 else float("nan")


def _arms(rows: pd.DataFrame) -> dict[str, Arm]:
    """Arms of one endpoint, width and budget: name -> scores by donor (sorted) and draw or adaptor seed."""
    random = rows.groupby("control")["draw"].max() >= 0
    seeded = rows.groupby("control")["budget"].max() != ""
    replicate = rows["draw"].where(rows["draw"] >= 0, rows["seed"])
    values = by_draw(rows.assign(label=rows["control"], draw=replicate))
    return {name: Arm(found, bool(random[name]), bool(seeded[name])) for name, found in values.items()}


def _kind(name: str, arm: Arm) -> str:
    if name not in (GAUSSIAN, *RANDOM_ARMS, *FIXED_ARMS):
        return "trivial"
    return "random" if arm.random else "fixed"


def _comparisons(rows: pd.DataFrame, statistics: Statistics, evidence: Evidence) -> Iterator[dict[str, object]]:
    """One row per control of one endpoint, width and budget; `rows` hold the real operator's."""
    arms = _arms(rows)
    cells = rows[rows["control"] == REAL].groupby("donor")["n"].mean().reindex(np.unique(rows["donor"])).to_numpy()
    real = arms.pop(REAL)
    spread = operator_spread(real, arms, evidence)
    capped = (rows["status"] == "cap").groupby(rows["control"]).mean()
    for name, arm in sorted(arms.items()):
        # Floors of one number per cell are no operators, and have no kind.
        of_a_kind = _kind(name, arm) == "fixed"
        found = compare_arms(real, arm, statistics, evidence, spread if of_a_kind else float("nan"))
        donors, _, values = complete(real.values, arm.values)
        means = values.mean(axis=0) if found.n_donors else np.full(1, np.nan)
        smallest = detectable(found.n_donors, evidence.alpha, evidence.power) if found.n_donors > 1 else None
        yield found._asdict() | {
            "control": name,
            "kind": _kind(name, arm),
            "capped_real": float(capped[REAL]),
            "capped_control": float(capped[name]),
            "draw_low": float(means.min()),
            "draw_high": float(means.max()),
            "effective_donors": effective_donors(cells[donors]),
            "detectable": np.nan if smallest is None else smallest * found.spread,
        }


def _campaign(scores: pd.DataFrame, statistics: Statistics, evidence: Evidence) -> Iterator[dict[str, object]]:
    """All comparisons of one campaign, not yet corrected; `scores` has columns `control` and `trivial`."""
    healthy = healthy_donors(scores, statistics)
    subsets = {"all": scores}
    if healthy is not None:
        subsets["healthy"] = scores[scores["donor"].isin(healthy)]
    for subset, part in subsets.items():
        for endpoint, rows in part.groupby("endpoint", sort=True):
            trivial = rows[rows["trivial"]]
            for key, group in rows[~rows["trivial"]].groupby(GROUP, sort=True):
                if not (group["control"] == REAL).any():
                    continue
                with_trivial = pd.concat([group, trivial])
                for row in _comparisons(with_trivial, statistics, evidence):
                    yield row | dict(zip(GROUP, key, strict=True)) | {"endpoint": endpoint, "subset": subset}


def _family(frame: pd.DataFrame, endpoints: Endpoints, evidence: Evidence, width: int, may_carry: bool) -> np.ndarray:
    """Family of each row of one campaign."""
    at_rule = (frame["width"] == width) & (frame["budget"] == evidence.budget) & may_carry
    at_rule &= frame["endpoint"].isin(verdict_endpoints(endpoints))
    of_all = frame["subset"] == "all"
    conditions = [~of_all, at_rule & frame["control"].isin(evidence.must_beat)]
    conditions.append(at_rule & frame["control"].isin(evidence.trivial))
    return np.select(conditions, [HEALTHY, VERDICT, READABLE], DESCRIPTIVE)


def judge_arms(
    scores: pd.DataFrame,
    endpoints: Endpoints,
    statistics: Statistics,
    evidence: Evidence,
    width: int = 10,
    without_verdict: Collection[str] = (),
) -> pd.DataFrame:
    """Compare the real operator with every control on every endpoint (contracts `SCORES` to `EVIDENCE`).

    Compared are rows of the same campaign, width (0: no head) and budget; trivial controls that are methods have
    neither and stand beside each. `compare_arms` says what is computed. BH corrects, within a campaign, over the
    declared family: verdict endpoints × must-beat controls at the rule's budget and `width` with at least `min_donors`
    donors; other rows have no q, nor do the healthy donors alone and campaigns `without_verdict`. `effective_donors`
    and `detectable` (of the signed-rank test at alpha, uncorrected, for normal differences with the donors' spread)
    describe and decide nothing.
    """
    control = control_names(scores, evidence.trivial)
    scores = scores.assign(control=control, trivial=scores["method"].isin(evidence.trivial))
    valid = scores["status"].isin(SCORED) & scores["value"].notna() & (control != "")
    scores = scores[valid & ~scores["endpoint"].map(is_null).astype(bool)]
    parts = []
    for key, part in scores.groupby(CAMPAIGN, sort=True):
        if not (found := list(_campaign(part, statistics, evidence))):
            continue
        frame = pd.DataFrame(found)
        may_carry = key[CAMPAIGN.index("campaign")] not in without_verdict
        frame["family"] = _family(frame, endpoints, evidence, width, may_carry)
        member = (frame["family"] == VERDICT) & (frame["n_donors"] >= endpoints.min_donors)
        frame["q"] = np.nan
        frame.loc[member, "q"] = bh(frame.loc[member, "p"].to_numpy())
        parts.append(frame.assign(**dict(zip(CAMPAIGN, key, strict=True))))
    if not parts:
        return EVIDENCE.empty_table().to_pandas()
    frame = pd.concat(parts, ignore_index=True).assign(real=REAL)
    judged = [
        outcome(row, evidence.alpha, endpoints.min_donors, evidence.min_draws) for row in frame.to_dict("records")
    ]
    frame = frame.assign(outcome=[found.outcome for found in judged], reason=[found.reason for found in judged])
    return frame[EVIDENCE.names]


def write_evidence(
    scores_path: str | Path,
    endpoints: Endpoints,
    statistics: Statistics,
    evidence: Evidence,
    width: int,
    without_verdict: Collection[str],
    output: str | Path,
) -> None:
    """Judge the arms of a score table and write the evidence with a TSV copy."""
    scores = read_table(scores_path, SCORES)
    frame = judge_arms(scores, endpoints, statistics, evidence, width, without_verdict)
    write_table(frame, output, EVIDENCE, tsv=True)

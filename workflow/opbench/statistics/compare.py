"""Paired comparisons of methods: by donor, which carries the verdict, and by split, as the paper did."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.benchmark import Endpoints, Statistics
from opbench.io.labels import method_labels
from opbench.io.tables import COMPARISONS, SCORED, SCORES, read_table, write_table
from opbench.statistics.draws import by_draw, two_way_interval
from opbench.statistics.family import (
    CAMPAIGN,
    WITHOUT_VERDICT,
    healthy_donors,
    is_null,
    verdict_endpoints,
)
from opbench.statistics.tests import SignedRank, bh, bootstrap_means, signed_rank_exact, signed_rank_split

PAPER, VERDICT, DESCRIPTIVE, HEALTHY = "paper: pair", "verdict", "descriptive", "healthy"


@dataclass(frozen=True)
class _Cube:
    """Scores of one endpoint, averaged over draws and seeds; NaN where a method has no valid value."""

    labels: list[str]
    donors: np.ndarray
    values: np.ndarray  # (labels, splits, donors)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of all pairs; labels are sorted, so each pair occurs once, in the order of names."""
        return np.triu_indices(len(self.labels), k=1)

    def differences(self) -> np.ndarray:
        """Method a minus method b, (pairs, splits, donors), where both have a value."""
        a, b = self.pairs()
        return self.values[a] - self.values[b]


def _cube(scores: pd.DataFrame) -> _Cube:
    """Arrange the valid rows of one endpoint; draws and seeds are averaged first within (split, donor)."""
    cells = scores.groupby(["label", "split", "donor"], sort=True)["value"].mean()
    axes = [cells.index.levels[i] for i in range(3)]
    values = np.full([len(axis) for axis in axes], np.nan)
    values[tuple(cells.index.codes[i] for i in range(3))] = cells.to_numpy()
    return _Cube(list(axes[0]), axes[2].to_numpy(), values)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over what is there; NaN where nothing is."""
    present = ~np.isnan(values)
    n = present.sum(axis=axis)
    return np.where(n > 0, np.where(present, values, 0).sum(axis=axis) / np.maximum(n, 1), np.nan)


def _rows(cube: _Cube, unit: str, n: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    """One row per pair that has a common unit."""
    a, b = cube.pairs()
    labels = np.array(cube.labels, dtype=object)
    frame = pd.DataFrame({"method_a": labels[a], "method_b": labels[b], "unit": unit, "n": n, **columns})
    return frame[frame["n"] > 0]


def _tested(differences: np.ndarray, test: Callable[[np.ndarray], SignedRank], fewest: int) -> dict[str, np.ndarray]:
    """Apply `test` to the present entries of each row; rows with fewer than `fewest` stay NaN."""
    out = np.full((3, len(differences)), np.nan)
    for index, row in enumerate(differences):
        row = row[~np.isnan(row)]
        if len(row) >= fewest:
            out[:, index] = test(row)[:3]
    return dict(zip(("statistic", "p", "p_floor"), out, strict=True))


def _by_split(cube: _Cube) -> pd.DataFrame:
    """The paper's unit: mean over the test donors of a split. No interval: splits share donors."""
    splits = _mean(cube.differences(), axis=2)
    n, nothing = (~np.isnan(splits)).sum(axis=1), np.full(len(splits), np.nan)
    tested = _tested(splits, signed_rank_split, fewest=2)
    return _rows(cube, "split", n, effect=_mean(splits, axis=1), ci_low=nothing, ci_high=nothing, **tested)


def _by_donor(cube: _Cube, statistics: Statistics, keep: list[str] | None = None) -> pd.DataFrame:
    """Mean over the splits in which a donor is tested, then the donor is the unit."""
    donors = _mean(cube.differences(), axis=1)
    if keep is not None:
        donors = donors[:, np.isin(cube.donors, keep)]
    n = (~np.isnan(donors)).sum(axis=1)
    effect, low, high = bootstrap_means(donors.T, statistics.bootstraps, statistics.seed, statistics.level)
    tested = _tested(donors, signed_rank_exact, fewest=1)
    return _rows(cube, "donor", n, effect=effect, ci_low=low, ci_high=high, **tested)


def _with_draws(frame: pd.DataFrame, scores: pd.DataFrame, drawn: set[str], statistics: Statistics) -> pd.DataFrame:
    """Replace the interval of pairs with a random arm by the donor × draw one."""
    values, frame = by_draw(scores), frame.copy()
    for row in frame[frame["method_a"].isin(drawn) | frame["method_b"].isin(drawn)].itertuples():
        frame.loc[row.Index, ["ci_low", "ci_high"]] = two_way_interval(
            values[row.method_a], values[row.method_b], statistics.bootstraps, statistics.seed, statistics.level
        )
    return frame


def _competing(frame: pd.DataFrame, scores: pd.DataFrame, drawn: set[str]) -> np.ndarray:
    """Whether a pair may carry a verdict.

    Not: leaking methods and protocols that carry none; random arms, whose few draws cannot carry one (decision 18);
    and two different training budgets, which nobody claims to compare.
    """
    flag = scores.groupby("label")["leaking"].any()
    barred = drawn | set(flag[flag].index) | set(scores.loc[scores["protocol"].isin(WITHOUT_VERDICT), "label"])
    budget = scores.groupby("label")["budget"].first()
    a, b = frame["method_a"].map(budget), frame["method_b"].map(budget)
    same = (a == b) | (a == "") | (b == "")
    return (same & ~(frame["method_a"].isin(barred) | frame["method_b"].isin(barred))).to_numpy()


def _campaign(scores: pd.DataFrame, endpoints: Endpoints, statistics: Statistics, may_carry: bool) -> pd.DataFrame:
    """All comparisons of one campaign, families not yet corrected."""
    drawn = set(scores.loc[scores["draw"] >= 0, "label"])  # one draw is a random arm too
    verdict, healthy = verdict_endpoints(endpoints), healthy_donors(scores, statistics)
    parts = []
    for endpoint, part in scores[scores["status"].isin(SCORED)].groupby("endpoint", sort=True):
        if is_null(str(endpoint)):
            continue
        cube = _cube(part)
        split, donor = _by_split(cube), _with_draws(_by_donor(cube, statistics), part, drawn, statistics)
        member = _competing(donor, scores, drawn) & (donor["n"] >= endpoints.min_donors)
        member &= may_carry and endpoint in verdict
        found = [split.assign(family=PAPER), donor.assign(family=np.where(member, VERDICT, DESCRIPTIVE))]
        if healthy is not None:
            some = _by_donor(cube, statistics, healthy)
            some = _with_draws(some, part[part["donor"].isin(healthy)], drawn, statistics)
            found.append(some.assign(family=HEALTHY))
        parts += [frame.assign(endpoint=endpoint) for frame in found if len(frame)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add q: over endpoints within each pair for the paper's test, over the whole family for the verdict."""
    q = pd.Series(np.nan, index=frame.index)
    verdict, paper = frame["family"] == VERDICT, frame["family"] == PAPER
    q[verdict] = bh(frame.loc[verdict, "p"].to_numpy())
    for _, p in frame[paper].groupby(["method_a", "method_b"])["p"]:
        q[p.index] = bh(p.to_numpy())
    return frame.assign(q=q)


def compare_methods(
    scores: pd.DataFrame,
    endpoints: Endpoints,
    statistics: Statistics,
    without_verdict: Collection[str] = (),
    batteries: Collection[str] = (),
) -> pd.DataFrame:
    """Compare every pair of methods on every endpoint of every campaign (`SCORES` to `COMPARISONS`).

    Only values whose status counts are paired, on the (split, donor) cells that both methods have; `effect`
    is the mean of a minus b. A random arm is the mean of its draws; its exact p holds those draws fixed and
    is shown without q, and its interval resamples donors and draws.

    Families: `paper: pair` has the split as its unit and corrects over the endpoints of a pair
    (arXiv:2603.10261, benchmark section). `verdict` has the donor as its unit and corrects, within a
    campaign, over verdict endpoints × pairs of competing methods; `descriptive` holds all other donor-level
    rows (endpoints outside the family, pairs with fewer than `min_donors` donors, random arms, different
    budgets, leaking methods, oracle and chance, and campaigns `without_verdict`: the paper's grouped
    design, decision 10), and `healthy` the healthy donors alone; both without q. A campaign of a single
    split has no test over splits. Campaigns of `batteries` hold the real operator against its controls, which has a
    table of its own (`EVIDENCE`), and are left out: pairs of controls would be most of this one.
    """
    parts, labelled = [], scores.assign(label=method_labels(scores))
    for key, part in labelled[~labelled["campaign"].isin(batteries)].groupby(CAMPAIGN, sort=True):
        frame = _campaign(part, endpoints, statistics, key[CAMPAIGN.index("campaign")] not in without_verdict)
        if len(frame):
            parts.append(_corrected(frame).assign(**dict(zip(CAMPAIGN, key, strict=True))))
    if not parts:
        return COMPARISONS.empty_table().to_pandas()
    return pd.concat(parts, ignore_index=True)[COMPARISONS.names]


def write_comparisons(
    scores_path: str | Path,
    endpoints: Endpoints,
    statistics: Statistics,
    without_verdict: Collection[str],
    batteries: Collection[str],
    output: str | Path,
) -> None:
    """Compare the methods of a score table and write the comparisons with a TSV copy."""
    scores = read_table(scores_path, SCORES)
    write_table(
        compare_methods(scores, endpoints, statistics, without_verdict, batteries), output, COMPARISONS, tsv=True
    )

"""The extracted head against the methods that a claim names, as rows of evidence, and their correction."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from opbench.claims.cases import Place
from opbench.claims.query import NAN
from opbench.claims.views import Tables
from opbench.config.claims import Claim
from opbench.config.root import Config
from opbench.io.tables import EVIDENCE
from opbench.statistics.rule import VERDICT, Judged, outcome
from opbench.statistics.tests import bh

#: The extracted algorithm in tables of methods.
EXTRACTED = "extracted_head"


def method_rows(
    claim: Claim, place: Place, endpoints: Sequence[str], tables: Tables, config: Config, evidence: pd.DataFrame
) -> pd.DataFrame:
    """Rows like those of evidence, without outcome: of a method's arms the one that is hardest to lead.

    A method has no operator to draw again, so that its null floor is that of the real operator's adaptor seeds on the
    same endpoint (`real_floor` of `evidence`). `random` says that its value is the mean of several draws.
    """
    names = [*EVIDENCE.names, "random"]
    if not claim.controls.methods:
        return pd.DataFrame(columns=names)
    pairs, means, scores = tables.get("pairs"), tables.get("means"), tables.get("scores")
    here = (pairs["campaign"] == place.campaign) & pairs["endpoint"].isin(endpoints) & (pairs["a"] == EXTRACTED)
    here &= (pairs["a_budget"] == config.evidence.budget) & pairs["b"].isin(claim.controls.methods)
    hardest = pairs[here].sort_values("effect").drop_duplicates(["endpoint", "b"])
    means = means[(means["campaign"] == place.campaign) & (means["subset"] == "all")].set_index(["endpoint", "label"])
    drawn = set(scores.loc[(scores["campaign"] == place.campaign) & (scores["draw"] >= 0), "method"])
    floors = evidence.groupby("endpoint")["real_floor"].max()
    rows = []
    for row in hardest.to_dict("records"):
        known = {name: row[name] for name in ("endpoint", "effect", "ci_low", "ci_high", "p")}
        rows.append(known | {
            "control": row["b"], "n_donors": row["n"], "null_floor": floors.get(row["endpoint"], NAN), "subset": "all",
            "family": VERDICT, "campaign": place.campaign, "panel": place.panel, "random": row["b"] in drawn,
            "kind": "method", "control_value": means["mean"].get((row["endpoint"], row["label_b"]), NAN),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def with_outcomes(
    rows: pd.DataFrame, methods: pd.DataFrame, claim: Claim, config: Config
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the claim's own controls their q and outcome: one Benjamini-Hochberg family over its judged endpoints.

    Its members are arms outside `evidence.must_beat`, whose own q stays as it is, and methods without draws. The p of
    a random method holds its few draws fixed, which cannot carry a verdict (decision 18).
    """
    rule, fewest = config.evidence, config.endpoints.min_donors
    extra = rows["control"].isin(claim.controls.arms) & ~rows["control"].isin(rule.must_beat)
    arms, rows, methods = rows[extra].copy(), rows.copy(), methods.copy()
    fixed = methods["p"].mask(methods["random"].astype(bool))
    q = bh(np.concatenate([
        p.where(frame["n_donors"] >= fewest).to_numpy(float) for frame, p in ((arms, arms["p"]), (methods, fixed))
    ]))  # fmt: skip
    arms["q"], methods["q"] = q[: len(arms)], q[len(arms) :]
    found = [outcome(row, rule.alpha, fewest, rule.min_draws) for row in arms.to_dict("records")]
    rows.loc[extra, "q"] = arms["q"]
    rows.loc[extra, "outcome"] = [one.outcome for one in found]
    rows.loc[extra, "reason"] = [one.reason for one in found]
    found = [
        random_outcome(row, fewest) if row["random"] else outcome(row, rule.alpha, fewest)
        for row in methods.to_dict("records")
    ]
    return rows, methods.assign(outcome=[one.outcome for one in found], reason=[one.reason for one in found])


def random_outcome(row: dict, min_donors: int) -> Judged:
    """Judge a method of a few random draws: its interval over donors and draws must lie beyond the floor."""
    if row["n_donors"] < min_donors:
        return Judged("not_testable", f"{row['n_donors']} donors, fewer than {min_donors}")
    floor, low, high = row["null_floor"], row["ci_low"], row["ci_high"]
    if np.isnan(floor):
        return Judged("not_testable", "a single adaptor seed of the real operator gives no null floor")
    facts = f"difference {row['effect']:+.3f} [{low:+.3f}, {high:+.3f}], null floor {floor:.3f}, no q for random draws"
    if low > floor:
        return Judged("beats", facts)
    if high < -floor:
        return Judged("loses", facts)
    return Judged("not_separable", f"{facts}: the interval does not lie beyond the floor")

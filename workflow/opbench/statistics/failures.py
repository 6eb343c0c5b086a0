"""What failed in a run, in a line a method: a campaign goes on without it, and its user must hear of it."""

from pathlib import Path

import pyarrow.parquet as pq

#: Statuses that a user would want to do something about.
FAILED = ("failed", "oom")


def failure_lines(scores: str | Path) -> list[str]:
    """One line per (campaign, method, status) of a score table, with its donors and the commonest reason."""
    frame = pq.read_table(scores, columns=["campaign", "method", "split", "donor", "status", "reason"]).to_pandas()
    cases = frame.drop_duplicates(["campaign", "method", "split", "donor"]).groupby(["campaign", "method"]).size()
    lines = []
    failed = frame[frame["status"].isin(FAILED)]
    for (campaign, method, status), part in failed.groupby(["campaign", "method", "status"], sort=True):
        mine = len(part.drop_duplicates(["split", "donor"]))
        reason = part["reason"].mode().iloc[0]
        lines.append(f"{campaign}: {method} {status} on {mine} of {cases[campaign, method]} tested donors: {reason}")
    return lines

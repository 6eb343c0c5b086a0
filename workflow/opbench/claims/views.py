"""Views of result tables for queries: method labels taken apart, pairs both ways round, valid scores."""

from collections.abc import Mapping

import pandas as pd

from opbench.config.claims_query import VIEWS
from opbench.io.labels import method_labels
from opbench.io.tables import SCORED

APART = ["method", "arm", "budget"]
#: Tables of which only rows with a status that counts are read.
WITH_STATUS = (
    "scores", "sweeps", "gates", "heads", "compaction", "factors", "manifold2", "geometry", "geometry_headlines",
)  # fmt: skip
FLIPPED = {"a": "b", "a_arm": "b_arm", "a_budget": "b_budget", "label_a": "label_b"}


class Missing(Exception):
    """A claim's case cannot be tested with this run; the text says what is missing."""


def source_of(table: str) -> str:
    """The published table beneath a view."""
    return VIEWS[table][0] if table in VIEWS else table


class Tables:
    """A run's tables by name, and their views, each made once."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Keep the tables; a table that the run does not hold is left out."""
        self._tables = dict(tables)
        self._views: dict[str, pd.DataFrame] = {}

    def __contains__(self, name: str) -> bool:
        """Whether the run holds the table."""
        return name in self._tables

    def get(self, name: str) -> pd.DataFrame:
        """The table or view `name`; `Missing` when the run does not hold what it is made of."""
        if name in self._tables and name not in WITH_STATUS:
            return self._tables[name]
        if name not in self._views:
            make = {"means": self._means, "pairs": self._pairs}.get(name)
            self._views[name] = make() if make else self._valid(name)
        return self._views[name]

    def _held(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            raise Missing(f"table '{name}' is not in this run")
        return self._tables[name]

    def _valid(self, name: str) -> pd.DataFrame:
        """Rows that count."""
        rows = self._held(name)
        return rows[rows["status"].isin(SCORED)] if "status" in rows else rows

    def whole(self, name: str) -> pd.DataFrame:
        """A table with the rows that do not count, whose reasons say why; a view as it is."""
        return self._tables.get(name, self.get(name))

    def _labels(self) -> pd.DataFrame:
        """Label of a method -> method, arm and budget: scores know all three."""
        scores = self._held("scores")
        return scores.assign(label=method_labels(scores)).groupby("label")[APART].first()

    def _means(self) -> pd.DataFrame:
        summary = self._held("summary").rename(columns={"method": "label"})
        return summary.join(self._labels(), on="label", how="inner")

    def _pairs(self) -> pd.DataFrame:
        """Rows by donor over all tested donors, a minus b, and the same as b minus a."""
        rows, labels = self._held("comparisons"), self._labels()
        rows = rows[(rows["unit"] == "donor") & (rows["family"] != "healthy")]
        for side in "ab":
            parts = labels.rename(columns={"method": side, "arm": f"{side}_arm", "budget": f"{side}_budget"})
            rows = rows.join(parts, on=f"method_{side}", how="inner")
        back = {new: old for old, new in FLIPPED.items()}
        rows = rows.assign(label_a=rows["method_a"], label_b=rows["method_b"])
        turned = rows.rename(columns={**FLIPPED, **back}).assign(
            effect=-rows["effect"], ci_low=-rows["ci_high"], ci_high=-rows["ci_low"]
        )
        return pd.concat([rows, turned[rows.columns]], ignore_index=True)

"""Parts of the chain: anchors that train heads, and external, zero-shot and control ones (spec A; decision 21)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.config import Config
from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import PART_OVERLAP, PARTS, write_table
from opbench.operators.features import cell_features
from opbench.operators.operator import Operator
from opbench.panels.anchors import make_anchors, read_anchors
from opbench.panels.ontology import Ontology
from opbench.panels.panel import read_panel

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger("opbench.build_parts")
#: Parts of a chain, in their order.
PARTS_OF_CHAIN = ("internal", "external", "zero_shot", "control")


@dataclass(frozen=True)
class Part:
    """Anchors of one part: mean log1p expression x (a, G) float32, codes of label and branch (a,), and whose they are.

    depth (a,) in steps from HSC; of a part without stages it is not a number.
    """

    name: str
    ids: np.ndarray
    x: np.ndarray
    label: np.ndarray
    branch: np.ndarray
    donor: np.ndarray
    tissue: np.ndarray
    depth: np.ndarray
    n_cells: np.ndarray

    def __len__(self) -> int:
        """Number of anchors."""
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Part":
        """Some of the anchors."""
        fields = {name: value[rows] for name, value in self.__dict__.items() if name != "name"}
        return Part(self.name, **fields)


@dataclass(frozen=True)
class Parts:
    """All parts of a panel: labels `dataset:label` and branches that codes stand for, and the ruler (K, K) in steps."""

    panel: str
    genes: tuple[str, ...]
    labels: tuple[str, ...]
    branches: tuple[str, ...]
    ruler: np.ndarray
    parts: dict[str, Part]
    obs: pd.DataFrame

    @cached_property
    def branch_of(self) -> np.ndarray:
        """Branch code of each label, (K,)."""
        out = np.zeros(len(self.labels), int)
        for part in self.parts.values():
            out[part.label] = part.branch
        return out

    def features(self, operator: Operator, name: str) -> np.ndarray:
        """What an operator makes of a part's anchors, (a, F) float32: it is linear, so that means may go through it."""
        part = self.parts[name]
        return cell_features(operator, csr_matrix(part.x), part.ids.tolist(), [self.labels[i] for i in part.label])

    def cells(self, panel: str | Path) -> tuple[csr_matrix, pd.DataFrame]:
        """Cells of the parts that are in the panel's file: log1p (n, G) and obs with `part`, `code`, `branch_code`.

        Only cells whose label the parts know; anchors need more cells than a label may have.
        """
        cells = read_panel(panel)
        donors = self.obs[["part", "dataset", "donor"]].drop_duplicates()
        obs = cells.obs.assign(row=np.arange(cells.n_obs))
        obs = obs.reset_index().merge(donors, on=["dataset", "donor"]).set_index("cell")
        name = obs["dataset"] + ":" + obs["label"]
        obs = obs.assign(code=name.map({label: i for i, label in enumerate(self.labels)}))
        obs = obs[obs["code"].notna()].astype({"code": int}).sort_values(["part", "row"])
        obs = obs.assign(branch_code=self.branch_of[obs["code"].to_numpy()])
        return cells.layers["log1p"][obs["row"].to_numpy()], obs


def _bare(cells: "AnnData") -> pd.Series:
    """Cell ids without the dataset that they are named after."""
    return cells.obs_names.to_series().str.partition(":")[2]


def internal_donors(config: Config, panel: str, donors: Iterable[str]) -> list[str]:
    """Donors drawn for the internal part; those that a campaign on their dataset never tests come first.

    The draw is keyed by dataset, and campaigns count whatever their panel, so that panels with the same donors divide
    them alike.
    """
    settings = config.discovery
    dataset = settings.panels[panel].internal
    never = {d for c in config.campaigns.values() if c.test == dataset for d in c.never_tested}
    names = sorted(set(donors))
    order = keyed_rng(settings.seed, "internal", dataset).permutation(names).tolist()
    order.sort(key=lambda donor: donor not in never)  # stable
    return order[: max(round(settings.internal_share * len(names)), 1)]


def divide(config: Config, panel: str, cells: "AnnData", control: "AnnData | None") -> dict[str, "AnnData"]:
    """Cells of each part. Donors that some campaign never tests are internal, as no part may test them."""
    chosen = config.discovery.panels[panel]
    inside = cells[(cells.obs["dataset"] == chosen.internal).to_numpy()]
    if chosen.external is None:
        drawn = internal_donors(config, panel, inside.obs["donor"])
        mine = inside.obs["donor"].isin(drawn).to_numpy()
        parts = {"internal": inside[mine], "external": inside[~mine]}
    else:
        parts = {"internal": inside, "external": cells[(cells.obs["dataset"] == chosen.external).to_numpy()]}
    if chosen.zero_shot is not None:
        parts["zero_shot"] = cells[(cells.obs["dataset"] == chosen.zero_shot).to_numpy()]
    if control is not None:
        parts["control"] = control
    return parts


def _without_internal(parts: dict[str, "AnnData"]) -> tuple[dict[str, "AnnData"], dict[str, int]]:
    """Parts less the cells, by their id, that the internal part holds; and how many went."""
    held = set(_bare(parts["internal"]))
    out, dropped = {"internal": parts["internal"]}, {"internal": 0}
    for name, cells in parts.items():
        if name != "internal":
            keep = ~_bare(cells).isin(held).to_numpy()
            out[name], dropped[name] = cells[keep], int((~keep).sum())
    return out, dropped


def overlaps(run: str, panel: str, parts: dict[str, "AnnData"], dropped: dict[str, int]) -> pd.DataFrame:
    """What each pair of parts shares, counted on the cells that are used; see `PART_OVERLAP`."""
    rows = []
    for a, b in combinations(parts, 2):
        cells = [set(_bare(parts[name])) for name in (a, b)]
        donors = [set(parts[name].obs["donor"]) for name in (a, b)]
        rows.append(
            {
                "run": run, "panel": panel, "part_a": a, "part_b": b, "cells_a": len(cells[0]),
                "cells_b": len(cells[1]), "shared_cells": len(cells[0] & cells[1]), "donors_a": len(donors[0]),
                "donors_b": len(donors[1]), "shared_donors": len(donors[0] & donors[1]), "dropped_cells": dropped[b],
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=PART_OVERLAP.names)


def build_parts(
    config: Config, panel: str, file: str, control: str | None, anchors: str, table: str, overlap: str
) -> None:
    """Stage: write the anchors of every part (h5ad, with `part` in obs), their table, and what parts share.

    Raises InputError when a part other than control shares a cell with the internal one after the others were taken
    out, or when the internal part has no anchor.
    """
    import anndata

    divided = divide(config, panel, read_panel(file), read_panel(control) if control else None)
    divided, dropped = _without_internal(divided)
    shared = overlaps(config.run, panel, divided, dropped)
    if (bad := shared[(shared["part_a"] == "internal") & (shared["shared_cells"] > 0)]).size:
        raise InputError(f"{file}: parts internal and {bad['part_b'].iloc[0]} share cells; remove them from one.")
    made = {}
    for name, cells in divided.items():
        try:
            made[name] = make_anchors(cells, config.discovery.min_cells, "discovery.min_cells")
        except InputError as error:
            if name == "internal":
                raise
            log.warning("part %s has no anchor: %s", name, error)
            continue
        made[name].obs["part"] = name
        made[name].obs_names = name + "|" + made[name].obs_names
    whole = anndata.concat(list(made.values()), merge="first")
    whole.uns["anchors"] = {"panel": panel, "min_cells": config.discovery.min_cells}
    with atomic(anchors) as partial:
        whole.write_h5ad(partial)
    obs = whole.obs.assign(run=config.run, panel=panel, anchor=whole.obs_names)
    write_table(obs[PARTS.names].reset_index(drop=True), table, PARTS)
    write_table(shared, overlap, PART_OVERLAP)
    for name, cells in divided.items():
        n = int((obs["part"] == name).sum())
        log.info("%s: %d anchors of %d cells, %d donors", name, n, cells.n_obs, cells.obs["donor"].nunique())


def open_parts(anchors: str | Path, ontology: str | Path) -> Parts:
    """Open the anchors of a panel's parts; raises InputError for a file that is none."""
    held = read_anchors(anchors)
    if "part" not in held.obs:
        raise InputError(f"{anchors}: has no obs column 'part', so it is no file of parts; delete it and run again.")
    obs = held.obs.astype({"part": str})
    named = obs["dataset"] + ":" + obs["label"]
    labels = tuple(sorted(named.unique()))
    stages = obs.assign(named=named).drop_duplicates("named").set_index("named")["stages"]
    ruler = Ontology.read(ontology).set_distance([frozenset(stages[label].split("|")) for label in labels])
    branches = tuple(sorted(obs["branch"].unique()))
    code = named.map({label: i for i, label in enumerate(labels)}).to_numpy()
    branch = obs["branch"].map({name: i for i, name in enumerate(branches)}).to_numpy()
    parts = {}
    for name in PARTS_OF_CHAIN:
        rows = np.flatnonzero((obs["part"] == name).to_numpy())
        if len(rows):
            part = obs.iloc[rows]
            columns = [part[key].to_numpy() for key in ("donor", "tissue", "depth", "n_cells")]
            x = np.asarray(held.X[rows], dtype=np.float32)
            parts[name] = Part(name, obs.index.to_numpy()[rows], x, code[rows], branch[rows], *columns)
    genes = tuple(held.var_names)
    return Parts(str(held.uns["anchors"]["panel"]), genes, labels, branches, ruler, parts, obs)

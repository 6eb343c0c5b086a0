"""Hybrids: what heads are compared by, the score without some of its terms, and what a selection may be called."""

import numpy as np
import pandas as pd
import pytest
from chain_parts import GENES, KNOWING, LABELS, expression, make_parts
from scipy.sparse import csr_matrix

from opbench.adaptors.cell_head import CellHead
from opbench.config import load_config, parse_config
from opbench.discovery.hybrid_scores import (
    WEIGHTS,
    Cells,
    anchor_quantities,
    cell_quantities,
    selection_score,
    within_spread,
)
from opbench.discovery.hybrids import HybridFiles, Hybrids, fit_hybrids, select
from opbench.discovery.parts import Parts
from opbench.discovery.separation import ThreeAxes, two_class_tasks
from opbench.io.errors import InputError
from opbench.io.tables import HYBRIDS, read_table
from opbench.operators.operator import Operator, write_operator

ROLES = {"cd4_cd8": ["absent", "low_high"], "mono_macro": ["middle"]}
BINARY = {"low_high": {"positive": {"a": ["0", "1"]}, "negative": {"a": ["4", "5"]}}}
READS = np.random.default_rng(3).normal(size=(GENES, 2 * GENES)) * (np.arange(GENES) < KNOWING)[:, None]
OPERATOR = Operator(
    READS.astype(np.float32), np.ones((GENES, GENES), bool), tuple(f"g{i}" for i in range(GENES)), {"arm": "real"}
)


def cells_of(self: Parts, panel: str) -> tuple[csr_matrix, pd.DataFrame]:
    """Eight cells for each anchor, in the place of a panel file's."""
    rng, frames, x = np.random.default_rng(8), [], []
    for name, part in self.parts.items():
        label, donor = np.repeat(part.label, 8), np.repeat(part.donor, 8)
        x.append(expression(label, np.array([int(d[1:]) for d in donor]), rng))
        frame = pd.DataFrame({"part": name, "code": label, "branch_code": label // 2, "donor": donor})
        frames.append(frame.set_index(name + frame.index.astype(str)))
    return csr_matrix(np.concatenate(x)), pd.concat(frames)


@pytest.fixture(scope="module")
def config():
    raw = load_config("config/config.yaml").model_dump()
    raw |= {
        "discovery": {"hybrids": {"draws": 1, "strong": [0.1, 2.0], "conservative": [0.01]}},
        "endpoints": {"binary": BINARY},
    }
    raw["adaptor"] |= {"width": 3, "epochs": 15}
    raw["datasets"]["a"] = next(iter(raw["datasets"].values()))
    return parse_config(raw)


@pytest.fixture(scope="module")
def table(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrids")
    write_operator(OPERATOR, folder / "drift.safetensors")
    # The second operator is over the draws, so that it is not even read.
    files = HybridFiles("", "", "", [str(folder / "drift.safetensors"), str(folder / "none.safetensors")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "cells", cells_of)
        patch.setattr("opbench.discovery.hybrids.open_parts", lambda *_: make_parts(zero_shot=0))
        fit_hybrids(config, "p", "drift", files, ROLES, folder / "hybrids.parquet")
        with pytest.raises(InputError, match="arm 'gaussian' has no operator"):
            fit_hybrids(config, "p", "gaussian", HybridFiles("", "", "", []), ROLES, folder / "no.parquet")
    return read_table(folder / "hybrids.parquet", HYBRIDS)


def test_all_heads_are_scored_and_the_best_hybrid_on_held_out_donors_is_selected(table):
    heads = table.groupby(["head", "sweep", "weight_topo", "weight_compact"]).size()
    assert heads.index.to_list() == [
        ("anchor", "", 0, 0), ("cell", "", 0, 0), ("hybrid", "conservative", 0.01, 0),
        ("hybrid", "strong", 0.1, 0.015), ("hybrid", "strong", 2.0, 0.015),
    ]  # fmt: skip
    scores = table[
        (table["quantity"] == "hybrid_partial") & (table["part"] == "internal") & (table["head"] == "hybrid")
    ]
    assert scores.loc[scores["selected"], "value"].tolist() == [scores["value"].max()]
    hybrid = table[table["head"] == "hybrid"]
    assert set(hybrid.loc[hybrid["part"] == "internal", "label"]) == {"selected_and_tested"}
    assert set(hybrid.loc[hybrid["part"] == "external", "label"]) == {"nested"}
    assert set(table.loc[table["head"] != "hybrid", "label"]) == {""}
    assert set(zip(table["arm"], table["operator"], table["draw"], table["seed"], strict=True)) == {
        ("real", "drift", 0, 15052)
    }


def test_an_operator_that_knows_the_ruler_is_seen_to(table):
    external = table[(table["part"] == "external") & (table["head"] == "cell")].set_index("quantity")["value"]
    assert external["residualised"] > 0.6
    assert external["low_high_auroc3"] > 0.9
    assert 0 < external["spread_norm"] < 0.9


def test_no_donor_is_trained_on_and_scored(config, monkeypatch):
    monkeypatch.setattr(Parts, "cells", cells_of)
    parts = make_parts(zero_shot=0)
    hybrids, donor = Hybrids(config, parts, "", ROLES), parts.parts["internal"].donor
    held = set(donor[hybrids.anchors["internal"]])
    assert len(held) == 2
    assert not held & set(donor[hybrids.fit])
    assert set(hybrids.train.donor) == set(donor[hybrids.fit])
    assert set(hybrids.cells["internal"].donor) == held
    few = Hybrids(config, make_parts(internal=3, zero_shot=0), "", ROLES)
    rows = few.rows(OPERATOR)
    assert {(row["status"], row["reason"]) for row in rows} == {
        ("not_testable", "12 anchors to train on, fewer than 20")
    }
    assert len(rows) == 5


def test_the_score_with_and_without_its_terms():
    found = {
        name: (value, 5) for name, value in {"residualised": 0.6, "silhouette_branch": 0.1, "spread_norm": 0.5}.items()
    }
    whole = found | {"low_high_auroc3": (0.9, 5), "middle_auroc3": (0.8, 5)}
    assert selection_score(whole, ROLES) == ("hybrid_score", pytest.approx(0.6 + 0.25 * 0.9 + 0.25 * 0.8 + 0.04 - 0.1))
    grown = sum(map(abs, WEIGHTS.values())) / 1.6
    expected = grown * (0.6 + 0.04 - 0.1)
    assert selection_score(found | {"low_high_auroc3": (np.nan, 0)}, ROLES) == (
        "hybrid_partial",
        pytest.approx(expected),
    )
    assert np.isnan(selection_score(whole | {"residualised": (np.nan, 5)}, ROLES)[1])


def test_a_selection_on_another_part_is_called_so(table):
    again = select(table.drop(columns=["selected", "label"]), "external")
    hybrid = again[again["head"] == "hybrid"]
    assert set(hybrid.loc[hybrid["part"] == "external", "label"]) == {"selected_and_tested"}
    assert set(hybrid.loc[hybrid["part"] == "internal", "label"]) == {"selected_elsewhere"}
    assert not select(table.drop(columns=["selected", "label"]), "zero_shot")["selected"].any()


def test_spread_silhouette_and_axes_by_hand():
    label = np.repeat(np.arange(3), 4)
    points = np.eye(3)[label] * 4
    assert within_spread(points, label) == 0
    assert within_spread(points, np.tile(np.arange(4), 3)) == pytest.approx(1)
    # A fourth axis with the task in it lies outside the first three.
    z = np.column_stack([points + np.random.default_rng(0).normal(size=points.shape), np.tile([0.1, -0.1], 6)])
    axes = ThreeAxes.fit(z, label)
    assert axes.auroc(z, label, (frozenset([0]), frozenset([1])), 2) == 1
    other = ThreeAxes.fit(z, np.tile([0, 1], 6))
    assert other.auroc(z, np.tile([0, 1], 6), (frozenset([0]), frozenset([1])), 2) < 0.95
    assert np.isnan(axes.auroc(z, label, (frozenset([0]), frozenset([7])), 2))
    assert np.isnan(axes.auroc(z, label, (frozenset([0]), frozenset([1])), 5))


def test_tasks_name_the_codes_of_labels_that_are_there(config):
    assert two_class_tasks(config.endpoints, ("a:0", "a:4", "b:1")) == {"low_high": (frozenset([0]), frozenset([1]))}


def test_cells_go_through_an_operator_as_their_features_do():
    log1p, obs = cells_of(make_parts(), "")
    columns = [obs[name].to_numpy() for name in ("code", "branch_code", "donor")]
    cells = Cells(log1p, obs.index.to_numpy(), obs.index.to_numpy(), *columns)
    rng = np.random.default_rng(0)
    size = 2 * GENES
    head = CellHead(rng.normal(size=(3, size)), rng.normal(size=size), 1 + rng.random(size), 1.0, 0, 0.0, "ok")
    z = cells.latent(OPERATOR, head)
    np.testing.assert_allclose(z, head.transform(cells.features(OPERATOR)), rtol=1e-3, atol=1e-3)
    part, tasks = make_parts().parts["external"], {"t": (frozenset([0]), frozenset([5]))}
    found = cell_quantities(z, cells, ThreeAxes.fit(z, cells.label), tasks, 5)
    assert found["t_auroc3"][1] == found["silhouette_branch"][1] == len(set(cells.donor))
    assert np.isnan(cell_quantities(z, cells, ThreeAxes.fit(z, cells.label), tasks, 9)["t_auroc3"][0])
    values = anchor_quantities(head, part.x @ OPERATOR.matrix, part, make_parts().ruler, 15)
    assert values["trust"][1] == len(part) == 6 * LABELS

"""Sweeps on a toy panel: the table keeps its contract, no tested donor is fitted on, and a planted operator wins."""

import numpy as np
import pandas as pd
import pytest
from toy_panel import ONTOLOGY, STAGES, write_panel

from opbench.config import Config
from opbench.config.sweeps import Sweeps
from opbench.io.errors import InputError
from opbench.io.tables import SWEEPS, read_table
from opbench.operators.operator import from_blocks, write_operator
from opbench.panels.anchors import build_anchors
from opbench.readouts.sweeps import Sweep, SweepFiles, sweep_heads

GENES, DONORS, PER_LABEL = 40, 9, 8
#: Columns that tell heads, donors and endpoints apart.
HEAD = ("head", "width", "budget", "learning_rate", "seed", "split", "donor", "endpoint")
RAW = {
    "run": "toy",
    "datasets": {
        "a": {"path": "a.h5ad", "source": "toy", "columns": {}, "labels": "l.tsv", "corpus": "x"},
    },
    "panels": {"p": {"datasets": ["a"], "genes": {"kind": "hvg", "n": 40, "corpus": "a"}}},
    "model": {"name": "toy", "corpus": "a"},
    "operators": {"gaussian_draws": 2, "single_heads": ["L0H0"]},
    "adaptor": {"width": 4, "patience": 5, "max_epochs": 40, "cells_per_stage": 30, "validation_donors": 2},
    "campaigns": {
        "c": {"panel": "p", "design": "folds", "train": "a", "test": "a", "splits": 2, "min_cells": 10}
    },
    "endpoints": {"binary": {"mono": {"positive": {"a": ["Mono"]}, "negative": {"a": ["cDC"]}}}},
    "sweeps": {
        "panels": ["p"], "folds": 3, "widths": [2, 4, 30], "budgets": [5, 20, "plateau"], "seeds": 2, "width_draws": 1,
        "conventions": ["embedding"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sweep")
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 0.7, (len(STAGES), GENES))
    write_panel(folder / "panel.h5ad", mean, DONORS, PER_LABEL, rng)
    genes = [f"g{i}" for i in range(GENES)]
    build_anchors(folder / "panel.h5ad", 5, folder / "anchors.h5ad")
    support = np.ones((GENES, GENES), bool)
    few = np.zeros((GENES, GENES))
    few[:4] = rng.normal(size=(4, GENES))  # reads four genes alone

    def write(name: str, blocks: list[np.ndarray], **meta: object) -> None:
        write_operator(from_blocks(blocks, support, tuple(genes), **meta), folder / f"{name}.safetensors")

    write("drift", [np.eye(GENES), -np.eye(GENES)], arm="real", convention="operator")
    for draw in range(2):
        write(f"gaussian-{draw}", [few, few], arm="gaussian_halves", draw=draw, convention="operator")
    write("head-L0H0", [np.eye(GENES)], arm="real", convention="operator")
    write("embedding", [np.eye(GENES), np.eye(GENES)], arm="real", convention="embedding")
    write("token_bag", [np.eye(GENES)], arm="token_bag", draw=-1, encoding="rank")
    return {path.stem: str(path) for path in folder.iterdir()}


def config(**sweeps: object) -> Config:
    return Config.model_validate(RAW | {"sweeps": RAW["sweeps"] | sweeps})


def job(files: dict[str, str], *operators: str) -> SweepFiles:
    return SweepFiles(files["panel"], files["anchors"], ONTOLOGY, [files[name] for name in operators])


@pytest.fixture(scope="module")
def tables(files, tmp_path_factory) -> dict[str, pd.DataFrame]:
    folder, out = tmp_path_factory.mktemp("out"), {}
    arms = {"drift": ["drift"], "gaussian": ["gaussian-0", "gaussian-1"], "heads": ["head-L0H0"]}
    for arm, operators in (arms | {"conventions": ["embedding"]}).items():
        sweep_heads(config(), "p", arm, job(files, *operators), folder / f"{arm}.parquet")
        out[arm] = read_table(folder / f"{arm}.parquet", SWEEPS)
    return out


def test_every_point_of_every_sweep_is_there_once(tables):
    keys = [
        "sweep",
        "operator",
        "convention",
        "head",
        "width",
        "budget",
        "learning_rate",
        "seed",
        "split",
        "donor",
        "endpoint",
    ]
    for table in tables.values():
        assert not table.duplicated(keys).any()
        assert table["value"].notna().equals(table["status"].isin(["ok", "cap"]))
    drift, gaussian = tables["drift"], tables["gaussian"]
    assert set(drift["sweep"]) == {"budget", "width", "seed", "rate", "convention"}
    assert set(drift.query("sweep == 'budget'")["budget"]) == {"5", "20", "plateau"}
    assert set(drift.query("sweep == 'seed'")["seed"]) == {0, 1}
    wide = drift.query("sweep == 'width'").groupby("head")["width"].unique().map(set)
    assert wide.to_dict() == {"let": {2, 4, 30}, "closed_form": {2, 4, 30}, "none": {0}}
    # Only the first draw is swept over width and convention; all have the standard width.
    assert set(gaussian.query("width == 2")["draw"]) == {0}
    assert set(gaussian.query("sweep == 'budget'")["draw"]) == {0, 1}
    assert set(gaussian["sweep"]) == {"budget", "width", "rate", "convention"}
    assert set(tables["heads"]["sweep"]) == {"heads"}
    assert set(tables["heads"]["arm"]) == {"head"}
    other = tables["conventions"]
    assert (set(other["sweep"]), set(other["convention"])) == ({"convention"}, {"embedding"})
    assert set(other["operator"]) == {"drift", "gaussian-0"}


def test_a_head_in_two_sweeps_has_one_value(tables):
    keys = ["operator", *HEAD]
    both = tables["drift"].query("head == 'let'").groupby(keys)["value"].nunique()
    assert both.max() == 1


def test_every_donor_is_tested_once_and_selection_has_none(tables):
    point = tables["drift"].query("sweep == 'budget' and budget == 'plateau'")
    scored = point.query("endpoint == 'branch_balanced_accuracy'")
    assert sorted(scored["donor"]) == [f"d{i}" for i in range(DONORS)]
    selection = point[point["endpoint"].str.startswith("selection")]
    assert (set(selection["donor"]), selection["split"].nunique()) == ({""}, 3)
    all_pairs, between = (selection.query("endpoint == @name")["n"].iloc[0] for name in
                          ("selection_score", "selection_score_between"))  # fmt: skip
    assert (all_pairs, between) == (12 * 11 / 2, 12 * 11 / 2 - 6)  # two donors of six labels


@pytest.mark.parametrize("head", ["let", "closed_form", "none"])
def test_a_planted_operator_is_read_and_one_that_reads_little_is_not(tables, head):
    def mean(arm: str) -> float:
        rows = tables[arm].query("sweep == 'width' and endpoint == 'stage_balanced_accuracy'")
        return rows.loc[rows["head"] == head, "value"].mean()

    assert mean("drift") > mean("gaussian") + 0.1


def test_a_width_that_the_ruler_lacks_says_so(tables):
    wide = tables["drift"].query("head == 'closed_form' and width == 30")
    assert set(wide["status"]) == {"not_applicable"}
    assert wide["reason"].str.contains("dimensions").all()


def test_neither_anchors_nor_cells_of_a_tested_donor_are_fitted_on_or_held_out(files):
    sweep = Sweep(config(), "p", "drift", job(files, "drift"))
    cell_donor = sweep.data.obs["donor"].to_numpy()
    tested = []
    for fold in sweep.folds:
        tested += fold.truth.donors
        groups = [set(sweep.anchors.donor[part]) for part in (fold.fit, fold.held)]
        groups += [set(cell_donor[fold.truth.train])]
        assert all(not group & set(fold.truth.donors) for group in groups)
        assert not groups[0] & groups[1]
        assert len(groups[1]) == 2
        assert set(cell_donor[fold.cells]) == groups[0]
    assert sorted(tested) == [f"d{i}" for i in range(DONORS)]


def test_same_inputs_same_bits_and_too_few_anchors_are_a_reason(files, tables, tmp_path):
    sweep_heads(config(), "p", "heads", job(files, "head-L0H0"), tmp_path / "again.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "again.parquet", SWEEPS), tables["heads"])
    small = config(folds=2, heads=["let"])
    adaptor = small.adaptor.model_copy(update={"validation_donors": 3})
    few = Sweep(small.model_copy(update={"adaptor": adaptor}), "p", "heads", job(files, "head-L0H0"))
    fold = few.folds[0]
    rows = list(few.heads._let(next(few.items()).operator, np.zeros((54, 40), np.float32),
                               fold.__class__(0, fold.truth, fold.fit[:9], fold.held, fold.cells),
                               few.points(-1)))  # fmt: skip
    assert {score.reason for row in rows for score in row.selection} == {"9 anchors to fit on and 6 to hold out"}


def test_operators_that_read_no_expression_and_unknown_panels_are_refused(files):
    sweep = Sweep(config(), "p", "token_bag", job(files, "token_bag"))
    with pytest.raises(InputError, match=r"reads 'rank'.*sweeps\.arms"):
        next(sweep.items())
    with pytest.raises(InputError, match=r"sweeps\.panels"):
        Sweep(config(panels=[]), "p", "drift", job(files, "drift"))
    with pytest.raises(ValueError, match="do not read expression"):
        Sweeps(arms=["token_bag"])
    with pytest.raises(ValueError, match="'width_budget' is 'plateau'"):
        Sweeps(budgets=[220])


def test_plan_names_what_there_is(files):
    settings, operators = config().sweeps, config().operators
    assert settings.arms_of(operators) == ["drift", "gaussian", "heads", "conventions"]
    assert settings.operators_of("gaussian", operators) == ["gaussian-0", "gaussian-1"]
    with_controls = operators.model_copy(update={"controls": {"shuffle": 3, "uniform": 1}})
    assert Sweeps(draws=2).operators_of("shuffle", with_controls) == ["shuffle-0", "shuffle-1"]
    assert Sweeps().arms_of(with_controls) == ["drift", "gaussian", "shuffle", "uniform", "heads"]
    assert Sweep(config(), "p", "gaussian", job(files, "gaussian-0")).estimate() > 0

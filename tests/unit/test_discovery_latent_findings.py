"""Findings on latents: planted shapes are found, nulls hold, and every part says why when it has none."""

import numpy as np
import pandas as pd
import pytest
from latent_world import ONTOLOGY, config, write_world

from opbench.discovery.latent_findings import LatentFiles, find_latents
from opbench.discovery.latent_shape import DepthAxis, Frame, Points, axis_correlations, plane_rows, residual_rows
from opbench.discovery.latent_shape import ripple_rows as ripple
from opbench.discovery.permuting import arrangements, p_value, type_values, within_donors
from opbench.discovery.t_lens import Lens, TCells, donor_aurocs, t_sides
from opbench.io.tables import LATENT_FINDINGS, PART_VIEWS, read_table

DONOR, LABEL = np.repeat([f"d{i}" for i in range(10)], 8), np.tile(np.arange(8), 10)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return write_world(tmp_path_factory.mktemp("world"))


def run(files: dict[str, str], folder, arm: str, *operators: str, **changes: object) -> tuple[pd.DataFrame, ...]:
    job = LatentFiles(files["panel.h5ad"], files["parts.h5ad"], ONTOLOGY, [files[name] for name in operators])
    find_latents(config(**changes), "p", arm, job, folder / "f.parquet", folder / "v.parquet")
    return read_table(folder / "f.parquet", LATENT_FINDINGS), read_table(folder / "v.parquet", PART_VIEWS)


@pytest.fixture(scope="module")
def real(files, tmp_path_factory) -> tuple[pd.DataFrame, ...]:
    return run(files, tmp_path_factory.mktemp("real"), "drift", "drift")


def points(z: np.ndarray) -> Points:
    return Points(z, LABEL, DONOR, LABEL.astype(float))


def value(rows: list[dict], quantity: str) -> dict:
    return next(row for row in rows if row["quantity"] == quantity)


def test_permutations_stay_where_they_belong():
    order = within_donors(DONOR, 20, 0)
    assert (DONOR[order] == DONOR).all()
    assert (np.sort(order, axis=1) == np.arange(len(DONOR))).all()
    assert (order != np.arange(len(DONOR))).any(1).all()
    values = type_values(LABEL * 2.0, LABEL, 20, 0)
    assert all(len({row[i] for i in np.flatnonzero(LABEL == 3)}) == 1 for row in values)
    assert (np.sort(values, axis=1) == np.sort(LABEL * 2.0)).all()


def test_no_p_is_below_what_the_orders_allow():
    assert arrangements(np.array([0, 1, 1.0, 5, 6]), np.array([0, 0, 0, 1, 1])) == 6
    assert p_value(9, np.zeros(99), orders=6) | {"null_mean": 0, "null_q95": 0} == {
        "p": 1 / 6, "p_floor": 1 / 6, "null_mean": 0, "null_q95": 0
    }  # fmt: skip
    assert p_value(9, np.zeros(99))["p"] == 0.01
    assert p_value(0, np.zeros(99))["p"] == 1


def test_axis_correlations_against_axes_on_their_own():
    rng = np.random.default_rng(0)
    free = rng.normal(size=(80, 4))
    tied = free + 1.5 * rng.normal(size=(80, 1))
    assert value(axis_correlations(points(tied), 0), "mean_abs_r")["p"] < 0.01
    assert value(axis_correlations(points(free), 0), "mean_abs_r")["p"] > 0.05
    rows = axis_correlations(points(tied), 0)
    assert rows[1]["value"] == pytest.approx(np.corrcoef(tied[:, 0], tied[:, 1])[0, 1])
    assert [(row["i"], row["j"]) for row in rows[1:]] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_a_rippled_plane_and_a_ball():
    rng = np.random.default_rng(1)
    flat = [rng.normal(size=(80, 2)) @ np.diag([3, 2]) for _ in range(2)]
    rippled = [np.column_stack([x, 0.2 * x[:, 0] * x[:, 1], np.zeros(80)]) for x in flat]
    frame, (inside, outside) = Frame(rippled[0]), (points(z) for z in rippled)
    assert plane_rows(frame, outside, 0, internal=False)[0]["value"] > 0.85
    quadratic = value(ripple(frame, inside, outside, 199, 0), "ripple_r2_quadratic")
    assert quadratic["value"] > 0.9
    assert quadratic["p"] == 1 / 200
    ball = [points(rng.normal(size=(80, 4))) for _ in range(2)]
    assert plane_rows(Frame(ball[0].z), ball[0], 0, internal=True)[0]["p"] > 0.05
    # In-sample R2 is above 0 without any ripple; its null, fitted again, is too.
    fitted = value(ripple(Frame(ball[0].z), ball[0], ball[0], 199, 0), "ripple_r2_cubic")
    assert fitted["value"] > 0
    assert fitted["null_mean"] > 0.05


def test_depth_axis_and_residual_axes():
    rng = np.random.default_rng(2)
    noise = [rng.normal(size=(80, 6)) for _ in range(2)]
    deep = [z + np.outer(LABEL, [0, 0, 0, 0, 0, 0.6]) for z in noise]
    axis = DepthAxis(Frame(deep[0]), points(deep[0]))
    found = axis.rows(points(deep[1]), 199, 0)
    assert [row["p"] for row in found] == [1 / 200, 1 / 200]
    assert found[0]["value"] > 0.7
    third = np.column_stack([5 * noise[0][:, :2], LABEL + 0.3 * noise[0][:, 2], 0.5 * noise[0][:, 3:]])
    rows = residual_rows(Frame(third), points(third), 199, 0)
    assert rows[0]["p"] == 1 / 200
    assert value(rows, "residual_axes_significant")["value"] >= 1


def test_every_null_is_right_about_latents_without_a_finding():
    p, null = {}, []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        inside, outside = (points(rng.normal(size=(80, 6))) for _ in range(2))
        frame = Frame(inside.z)
        axis = DepthAxis(frame, inside)
        for name, here in (("inside", inside), ("outside", outside)):
            rows = [*axis.rows(here, 99, seed), *ripple(frame, inside, here, 99, seed)]
            rows += residual_rows(frame, here, 99, seed)[:1]
            for row in rows:
                p.setdefault((name, row["quantity"]), []).append(row["p"])
            null += [rows[0]["null_mean"]] if name == "inside" else []
    assert len(p) == 10
    for values in p.values():
        assert np.mean(np.array(values) <= 0.1) < 0.22
        assert 0.35 < np.mean(values) < 0.65
    # The axis of each draw is fitted again: its in-sample correlations are above 0, as the real one's.
    assert np.mean(null) > 0.1


def test_the_lens_finds_what_the_view_hides_and_no_more():
    rng = np.random.default_rng(4)
    donor, positive = np.repeat([f"d{i}" for i in range(6)], 60), np.tile([False, True], 180)
    scale = np.array([9, 8, 7, 1, 1, 1.0])

    def cells(shift: float) -> TCells:
        z = rng.normal(size=(360, 6)) * scale
        z[:, 4] += shift * positive
        return TCells(z, positive, donor)

    found = {}
    for shift in (2.0, 0.0):
        inside, outside = cells(shift), cells(shift)
        found[shift] = Lens(Frame(inside.z), inside, 0).rows(outside, 5)
    hidden, none = found[2.0], found[0.0]
    assert value(hidden, "view3")["value"] < 0.6 < 0.85 < value(hidden, "lens")["value"]
    assert value(hidden, "lens_gain")["p"] < 0.02
    assert value(hidden, "best_axis")["i"] == 4
    assert all(row["p"] > 0.02 for row in none)
    assert donor_aurocs(np.arange(4.0)[:, None], np.array([0, 1, 0, 1], bool), np.array(["a"] * 4), 2) == 0.75
    assert len(donor_aurocs(np.arange(4.0)[:, None], np.array([0, 0, 0, 1], bool), np.array(["a"] * 4), 2)) == 0


def test_planted_findings_outside_the_internal_part(real):
    table, views = real
    assert set(table["status"]) <= {"ok", "cap"}
    assert set(table["draw"]) == {0, 1}
    keys = ["part", "arm", "operator", "draw", "finding", "quantity", "i", "j"]
    assert not table.duplicated(keys).any()
    outside = (
        table[(table["part"] == "external") & (table["draw"] == 0)].set_index(["finding", "quantity"]).sort_index()
    )
    assert outside.loc[("temporal_axis", "spearman"), "value"].item() > 0.8
    assert outside.loc[("temporal_axis", "spearman_by_type"), "p"].item() < 0.05
    assert outside.loc[("t_lens", "full"), "value"].item() > 0.8
    assert outside.loc[("t_lens", "full"), "p"].item() < 0.02
    assert outside.loc[("erythroid", "spearman"), "value"].item() > 0.8
    # Four types lie on the path: 24 orders.
    assert outside.loc[("erythroid", "spearman_by_type"), "p_floor"].item() == pytest.approx(1 / 24)
    assert set(views["part"]) == {"internal", "external"}
    inside = views.loc[views["part"] == "internal", ["x", "y", "z"]]
    assert np.abs(inside.mean()).max() < 1e-5
    assert (np.diff(inside.var()) <= 1e-9).all()


def test_random_arms_have_a_row_a_draw_and_one_head_seed(files, tmp_path):
    table, _ = run(files, tmp_path, "gaussian", "gaussian-0", "gaussian-1")
    assert sorted(set(table["draw"])) == [0, 1]
    assert set(table["arm"]) == {"gaussian_halves"}
    rows = table[(table["part"] == "external") & (table["quantity"] == "mean_abs_r")]
    assert len(rows) == 2
    assert set(table["seed"]) == {config().discovery.head_seed}
    # A head of an operator is the same up to its scale, and so is what is found on it.
    assert rows["value"].iloc[0] == pytest.approx(rows["value"].iloc[1], abs=1e-3)


def test_the_same_bits_twice(files, real, tmp_path):
    again, view = run(files, tmp_path, "drift", "drift")
    pd.testing.assert_frame_equal(again, real[0], check_exact=True)
    pd.testing.assert_frame_equal(view, real[1], check_exact=True)


def test_t_tasks_are_told_by_branch_and_none_is_a_typed_row(files, tmp_path):
    from opbench.discovery.parts import open_parts

    parts = open_parts(files["parts.h5ad"], ONTOLOGY)
    sides = t_sides(config(), parts)
    assert {parts.labels[code]: side for code, side in sides.items()} == {"a:T": False, "a:CTL": True}
    named = t_sides(config(), parts, ["none", "myeloid", "t"])
    assert {parts.labels[code]: side for code, side in named.items()} == {"a:GMP": False, "a:Mono": True}
    assert t_sides(config(), parts, ["none"]) == {}
    table, _ = run(files, tmp_path, "drift", "drift", endpoints={})
    lens = table[table["finding"] == "t_lens"]
    assert lens["status"].eq("not_testable").all()
    assert lens["value"].isna().all()
    assert len(lens) == 4  # two parts, two seeds


def test_too_few_anchors_are_typed_rows(files, tmp_path):
    discovery = config().discovery.model_dump() | {"gates": {"min_anchors": 500}}
    table, views = run(files, tmp_path, "drift", "drift", discovery=discovery)
    assert table["status"].eq("not_testable").all()
    assert table.groupby("part")["finding"].nunique().to_dict() == {"external": 5, "internal": 5}
    assert "at least 500" in table["reason"].iloc[0]
    assert views.empty

"""Figures of the chain's gates, heads and parts: what is drawn is what the tables say, and nothing is invented."""

import discovery_tables as made
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from opbench.figures.catalog import FIGURES
from opbench.figures.draw import draw, draw_figure
from opbench.io import tables as contracts

MINE = ("pipeline", "part_views", "gates", "dimension", "head_heatmap")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return made.world()


def texts(figure) -> str:
    inside = [text for ax in figure.axes for text in (*ax.texts, ax.title, *ax.get_yticklabels())]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    labels = [ax.get_xlabel() for ax in figure.axes]
    return "\n".join([*(text.get_text() for text in (*inside, *figure.texts)), *titles, *labels])


def test_bars_are_means_over_seeds_at_one_setting(tables):
    _, source = draw("gates", tables, made.PANEL)
    assert set(zip(source["head"], source["width"], source["budget"], strict=True)) == {("let", 10, "plateau")}
    table = tables["gates"].query("panel == @made.PANEL and budget == 'plateau' and gate == 'donor'")
    mine = source.query("gate == 'donor' and variant == 'plain' and part == 'external'").set_index(["arm", "draw"])
    rows = table[table["part"] == "external"].set_index(["arm", "draw"])
    assert len(mine) == sum(made.ARMS.values())
    np.testing.assert_allclose(mine["value"].sort_index(), rows["value"].sort_index())


def test_a_gate_that_most_seeds_miss_is_hatched_and_draws_do_not_decide_it(tables):
    table = tables["gates"].copy()
    here = (table["part"] == "external") & (table["gate"] == "donor") & (table["width"] == 10)
    real = here & (table["arm"] == "real")
    table.loc[here, "passed"] = True
    table.loc[real & table["draw"].isin([0, 1]), "passed"] = False

    def hatched(frame: pd.DataFrame) -> list[str]:
        figure, _ = draw("gates", {"gates": frame}, made.PANEL)
        axes = [ax for ax in figure.axes if ax.get_title(loc="left") == "Donor holdout, correlation"]
        bars = [patch for patch in axes[0].patches if isinstance(patch, Rectangle) and patch.get_hatch()]
        names = [label.get_text() for label in axes[0].get_yticklabels()]
        return [names[round(bar.get_y() + bar.get_height() / 2)] for bar in bars]

    assert "External" in hatched(table)
    table.loc[real & (table["draw"] == 1), "passed"] = True
    assert "External" not in hatched(table)


def test_null_parts_variants_and_parts_without_a_value_are_shown(tables):
    figure, source = draw("gates", tables, made.PANEL)
    assert {"plain", "between", "weighted"} == set(source["variant"])
    assert not source["gate"].str.contains("between|weighted|objective").any()
    words = texts(figure)
    for part in ("Null branch", "Null labels", "Control", "not testable", f"Control: {made.WHY}."):
        assert part in words
    assert "smallest reachable 0.0005" in words
    assert "nothing is held out" in words.replace("\n", " ")
    # The threshold of a p is not drawn on the axis of a correlation, whose null is that of the permutation.
    axes = [ax for ax in figure.axes if ax.get_title(loc="left").startswith("Correlation, latent")]
    assert not [line for line in axes[0].lines if line.get_linestyle() == "--"]
    assert (
        source.query("gate == 'correlation' and variant == 'plain' and part == 'external'")["null_q95"].eq(0.18).all()
    )


def test_dimension_keeps_budgets_apart_and_shows_the_range_of_draws(tables):
    figure, source = draw("dimension", tables, made.PANEL)
    assert set(source["quantity"]) == {"objective", "trust"}
    one = source.query("quantity == 'objective' and budget == 'fixed' and width == 6 and arm == 'gaussian_halves'")
    rows = tables["gates"].query("gate == 'objective_6' and budget == 'fixed' and arm == 'gaussian_halves'")
    np.testing.assert_allclose(one["value"], rows["value"])
    lines = [path.vertices[:, 1] for c in figure.axes[0].collections for path in c.get_paths()]
    ends = rows["value"].min(), rows["value"].max()
    assert any(np.allclose((line.min(), line.max()), ends) for line in lines)


def test_heatmap_ranks_by_the_scan_and_frames_the_chosen_head(tables):
    figure, source = draw("head_heatmap", tables, made.PANEL)
    single = source.query("part == 'external' and arm == 'real' and head != 'best'")
    assert len(single) == made.LAYERS * made.INDEXES
    rows = tables["heads"].query("panel == @made.PANEL and part == 'external' and arm == 'real' and head != 'best'")
    first = rows.groupby("head")["rank"].mean().idxmin()
    assert single.loc[single["place"] == 1, "head"].item() == first
    assert single.loc[single["chosen"], "head"].tolist() == ["L2H1"]
    grid = figure.axes[0]
    frames = [patch for patch in grid.patches if isinstance(patch, Rectangle)]
    assert [(round(f.get_x() + 0.47), round(f.get_y() + 0.47)) for f in frames] == [(1, 2)]
    image = grid.images[0].get_array()
    internal = source.query("part == 'internal' and arm == 'real' and head == 'L4H3'")["value"].item()
    assert image[4, 3] == pytest.approx(internal)


def test_the_best_head_is_compared_with_the_draws_maxima(tables):
    figure, _ = draw("head_heatmap", tables, made.PANEL)
    best = tables["heads"].query("head == 'best' and part == 'internal' and panel == @made.PANEL")
    values = best.groupby("arm")["residualised"]
    below = (values.get_group("gaussian") < values.get_group("real").mean()).sum()
    assert f"Gaussian on support: {below} of 5 draws below" in texts(figure)
    alone, _ = draw("head_heatmap", {"heads": tables["heads"].query("arm == 'real'")}, made.PANEL)
    assert "draws below" not in texts(alone)


def test_views_hold_every_anchor_of_both_arms_with_its_n(tables):
    figure, source = draw("part_views", tables, made.PANEL)
    assert len(source) == len(tables["part_views"])
    words = texts(figure)
    anchors = tables["parts"].query("part == 'external'")
    assert f"{len(anchors)} anchors, {anchors['donor'].nunique()} donors" in words
    assert "Gaussian on support, one draw" in words
    alone, source = draw("part_views", {"part_views": tables["part_views"].query("arm == 'real'")}, made.PANEL)
    assert set(source["arm"]) == {"real"}
    assert "Gaussian" not in texts(alone)
    # Two parts fit beside their control; more stand above it.
    few, _ = draw("part_views", {"part_views": tables["part_views"].query("part != 'zero_shot'")}, made.PANEL)
    assert few.get_size_inches()[1] < figure.get_size_inches()[1] * 0.6


def test_arms_are_compared_by_trust_above_their_own_null_and_rulers_have_their_p(tables):
    gates, trust = tables["gates"], tables["gates"].query("gate == 'trustworthiness'")
    margin = trust.assign(gate="trust_margin", value=trust["value"] - 5.0, threshold=np.nan)
    ruled = (gates["arm"] == "real") & (gates["part"] == "internal") & (gates["gate"] == "correlation")
    gates = gates.assign(p=gates["p"].mask(ruled, 0.125), p_floor=gates["p_floor"].mask(ruled, 0.0625))
    figure, _ = draw("gates", {"gates": pd.concat([gates, margin])}, made.PANEL)
    said = " ".join(texts(figure).split())
    assert "Arms are compared by trustworthiness less that null's mean." in said
    assert "Null branch (smallest reachable 0.062), internal: correlation 0.12." in said
    row = [ax for ax in figure.axes if ax.get_subplotspec().rowspan.start == 0]
    assert row[0].get_xlim()[1] > 0.5
    assert all(ax.get_xlim()[1] < -3 for ax in row[1:])


def test_pipeline_takes_its_numbers_from_the_tables(tables):
    figure, source = draw("pipeline", tables, made.PANEL)
    values = source[source["quantity"] != "width"].set_index(["box", "quantity"])["value"]
    assert values["external", "anchors"] == (tables["parts"]["part"] == "external").sum()
    assert values["controls", "shuffle"] == made.ARMS["shuffle"]
    assert (values["checkpoint", "layers"], values["checkpoint", "heads"]) == (made.LAYERS, made.INDEXES)
    assert "Own values shuffled × 6" in texts(figure)
    # The gate that counts the others is none of them.
    counted = pd.concat([tables["gates"], tables["gates"].query("gate == 'trustworthiness'").assign(gate="all")])
    pd.testing.assert_frame_equal(draw("pipeline", tables | {"gates": counted}, made.PANEL)[1], source)
    other = tables | {"parts": tables["parts"].query("donor != 'E0'")}
    again = draw("pipeline", other, made.PANEL)[1].query("box == 'external' and quantity == 'donors'")["value"]
    assert (values["external", "donors"], again.item()) == (9, 8)
    bare, _ = draw("pipeline", {name: tables[name] for name in ("parts", "part_overlap")}, made.PANEL)
    assert "layers" not in texts(bare)
    assert "no control ran" in texts(bare)


@pytest.mark.parametrize("name", MINE)
def test_nothing_testable_is_said_in_a_figure(name, tables, tmp_path):
    figure, source = draw(name, tables, made.EMPTY)
    assert source.empty
    assert made.EMPTY in figure.texts[0].get_text()
    if name in ("gates", "head_heatmap"):
        assert "fewer than" in figure.texts[0].get_text()
    none = {key: getattr(contracts, key.upper()).empty_table().to_pandas() for key in FIGURES[name][0]}
    figure, source = draw(name, none, "nowhere")
    assert source.empty
    FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("name", ["pipeline"])
def test_pdf_is_the_same_on_repeat_and_optional(name, tables, tmp_path):
    wanted = (*FIGURES[name][0], *FIGURES[name][1])
    paths = {key: [tmp_path / f"{key}.parquet"] for key in wanted}
    for key in wanted:
        contracts.write_table(tables[key], paths[key][0], getattr(contracts, key.upper()))
    rest = [tmp_path / f"{name}.{kind}" for kind in ("svg", "png", "csv")]
    for run in "ab":
        draw_figure(name, made.PANEL, paths, *rest, tmp_path / f"{run}.pdf")
    first = (tmp_path / "a.pdf").read_bytes()
    assert first == (tmp_path / "b.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert b"Date" not in first
    (tmp_path / "a.pdf").unlink()
    draw_figure(name, made.PANEL, paths, *rest)
    assert not (tmp_path / "a.pdf").exists()

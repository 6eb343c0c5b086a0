"""Figures of findings, compaction, factors, second manifold and running time: what they draw is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from discovery_tables_b import COMPONENTS, ENDPOINTS, chain_tables
from figure_checks import assert_fits, words
from matplotlib.backends.backend_agg import FigureCanvasAgg

from opbench.figures import style
from opbench.figures.chain import chain_rows, head_rows
from opbench.figures.draw import FIGURES, draw
from opbench.io.errors import InputError

NAMES = {
    "ripple": "latent_findings", "axis_correlation": "latent_findings", "t_lens": "latent_findings",
    "manifold2": "manifold2", "compaction": "compaction", "factor_impact": "factors", "factor_subsets": "factors",
    "gene_programs": "programs", "runtime": "ratio",
}  # fmt: skip


def scope(name: str) -> str:
    return "demo" if name == "runtime" else "marrow"


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return chain_tables()


def untested(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=np.nan, status="not_testable", reason="no head was chosen")


@pytest.mark.parametrize("name", NAMES)
def test_texts_lie_inside_the_page_and_are_large_enough(tables, name):
    figure, source = draw(name, tables, scope(name))
    assert len(source)
    assert_fits(figure)


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_without_rows_says_so(tables, name):
    if name == "runtime":
        with pytest.raises(InputError, match="no row has run 'nowhere'"):
            draw(name, tables, "nowhere")
        return
    figure, source = draw(name, tables, "nowhere")
    assert source.empty
    assert "did not run on panel nowhere" in " ".join(words(figure)[0].split())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("gene_programs", "runtime")])
def test_a_panel_that_could_not_be_tested_gives_the_reason(tables, name):
    figure, source = draw(name, tables | {NAMES[name]: untested(tables[NAMES[name]])}, "marrow")
    assert source.empty
    said = " ".join(words(figure)[0].split())
    assert "nothing could be tested on panel marrow." in said
    assert "no head was chosen." in said.lower()


@pytest.mark.parametrize("name", NAMES)
def test_one_arm_and_one_draw_are_enough(tables, name):
    lone = {key: table[table["draw"] == 0] if "draw" in table else table for key, table in tables.items()}
    lone = {key: table[table["arm"].isin(["real"])] if "arm" in table else table for key, table in lone.items()}
    figure, source = draw(name, lone, scope(name))
    assert len(source)
    FigureCanvasAgg(figure).draw()


def test_every_figure_is_in_the_catalogue():
    assert set(NAMES) <= set(FIGURES)
    assert all(NAMES[name] in FIGURES[name][0] for name in NAMES)


def test_rows_without_value_are_left_out_and_one_head_is_drawn(tables):
    findings = tables["latent_findings"]
    other = pd.concat([findings, findings.assign(width=3), findings.assign(head="cell")])
    rows, why = chain_rows(other, "marrow", "findings")
    assert not why
    assert rows["value"].notna().all()
    chosen, name = head_rows(rows)
    assert name == "anchor head of width 10"
    assert set(zip(chosen["head"], chosen["width"], strict=True)) == {("let", 10)}


def test_ripple_draws_every_draw_of_every_arm_and_names_the_p(tables):
    figure, source = draw("ripple", tables, "marrow")
    assert len(source) == 27 * 3 * 3  # draws or seeds, parts, quantities
    said = words(figure)
    assert "Gaussian on support (6 draws)" in said
    assert "Uniform attention (3 seeds)" in said
    assert any("Internal, n = 69 anchors\nreal: p = 0.0033 (floor 0.0033)" in text for text in said)
    ax = next(ax for ax in figure.axes if "Ripple" in ax.get_title(loc="left"))
    drawn = np.sort(np.concatenate([dots.get_offsets()[:, 0] for dots in ax.collections if len(dots.get_sizes())]))
    mine = source[(source["quantity"] == "ripple_r2") & (source["part"] == "internal")]["value"]
    np.testing.assert_allclose(drawn, np.sort(mine))


def test_heatmaps_are_symmetric_and_of_the_real_and_a_random_operator(tables):
    figure, _ = draw("axis_correlation", tables, "marrow")
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left").split("\n")[0] for ax in shown] == [
        "Real operator, seed 0",
        "Gaussian on support, draw 0",
    ]
    matrix = np.asarray(shown[0].images[0].get_array())
    np.testing.assert_array_equal(matrix, matrix.T)
    findings = tables["latent_findings"]
    row = findings.query("arm == 'real' and draw == 0 and part == 'internal' and quantity == 'r' and i == 2 and j == 7")
    assert matrix[2, 7] == row["value"].item()


@pytest.mark.parametrize("name", ["ripple", "axis_correlation", "t_lens"])
def test_a_part_that_could_not_be_tested_is_named_with_its_reason(tables, name):
    findings = tables["latent_findings"]
    gone = findings["part"] == "zero_shot"
    lacking = pd.concat([findings[~gone], untested(findings[gone])])
    figure, source = draw(name, {"latent_findings": lacking}, "marrow")
    assert set(source["part"]) == {"internal", "external"}
    assert any("Not shown: Zero-shot: no head was chosen" in text for text in words(figure))


def test_lens_without_value_says_so(tables):
    figure, source = draw("t_lens", tables, "marrow")
    assert "lens" not in set(source.loc[source["part"] == "zero_shot", "quantity"])
    assert words(figure).count("no value") == 8  # one for each arm


def test_compaction_counts_losses_and_places_the_interval_at_the_value(tables):
    figure, source = draw("compaction", tables, "marrow")
    rows = tables["compaction"].query("arm == 'real' and variant == 'rank32'")
    mine = source.query("arm == 'real' and variant == 'rank32'").set_index("endpoint")
    one = rows[rows["endpoint"] == ENDPOINTS[0]]
    assert mine.at[ENDPOINTS[0], "value"] == pytest.approx(one["value"].mean())
    assert mine.at[ENDPOINTS[0], "ci_low"] == pytest.approx((one["value"] - 0.03).mean())
    assert mine.at[ENDPOINTS[0], "floor"] == pytest.approx((one["value"] - one["effect"] - 0.01).mean())
    assert mine.at[ENDPOINTS[0], "lost"] == one["outcome"].eq("loss").mean()
    losses = rows.groupby("draw")["losses"].first()
    text = style.number(losses.mean(), 1) + f" ({losses.min():.0f}–{losses.max():.0f})"
    assert text in words(figure)
    assert "top1: L2H5 selected on internal donors; 6 of 14 tested donors took part" in words(figure)


def test_factor_curves_are_those_of_the_table(tables):
    figure, source = draw("factor_impact", tables, "marrow")
    real = source.query("arm == 'real' and probes == 'fixed'").set_index(["quantity", "factor"])["value"]
    rows = tables["factors"].query("arm == 'real' and probes == 'fixed'")
    for quantity in ("impact", "share", "share_by_impact"):
        expected = rows[(rows["quantity"] == quantity) & (rows["factor"] == 3)]["value"].mean()
        assert real[quantity, 3] == pytest.approx(expected)
    assert any(f"first 4: {style.number(100 * real['share', 3], 1)} %" in text for text in words(figure))


def test_subsets_are_shares_of_the_same_probes(tables):
    _, source = draw("factor_subsets", tables, "marrow")
    rows = tables["factors"].query("arm == 'real' and endpoint == 'branch_macro_f1'")
    subsets = source.query("arm == 'real' and kind == 'subset'")
    assert subsets["subset"].nunique() == 15
    random = source.query("arm == 'real' and kind == 'random_core' and endpoint == 'branch_macro_f1'")
    assert len(random) == 12
    fixed = rows[(rows["quantity"] == "random_core") & (rows["probes"] == "fixed")]
    whole = rows[(rows["quantity"] == "intact") & (rows["probes"] == "fixed")].set_index("draw")["value"]
    first = fixed[fixed["subset"] == random["subset"].iloc[0]].set_index("draw")["value"]
    assert random["share"].iloc[0] == pytest.approx((first / whole).mean())
    assert set(random["n_donors"]) == {14}


def test_programs_show_the_best_set_of_each_side_and_a_random_draw_beside(tables):
    figure, source = draw("gene_programs", tables, "marrow")
    assert set(zip(source["arm"], source["draw"], strict=True)) == {("real", 0), ("gaussian_halves", 0)}
    row = source.query("arm == 'real' and factor == 0 and side == 'read'").iloc[0]
    genes = tables["programs"].query("operator == 'drift' and draw == 0 and factor == 0 and side == 'read'")["gene"]
    assert row["genes"] == ", ".join(genes[:6])
    assert row["gene_set"] == "HALLMARK INFLAMMATORY RESPONSE (9/43, q = 1e-08)"
    significant = source.groupby("arm")["significant"].sum()
    assert f"{significant['gaussian_halves']} of 16 sides with a gene set at q < 0.05" in words(figure)
    figure, source = draw("gene_programs", {"programs": tables["programs"]}, "marrow")
    assert set(source["gene_set"]) == {"gene sets not tested"}
    assert "Gene sets were not tested." in words(figure)
    nothing = untested(tables["enrichment"].head(1)).drop(columns="value").assign(arm="")
    figure, _ = draw("gene_programs", tables | {"enrichment": nothing}, "marrow")
    assert "Gene sets: nothing could be tested on panel marrow. No head was chosen." in words(figure)


def test_second_manifold_shows_components_and_the_chosen_map(tables):
    figure, source = draw("manifold2", tables, "marrow")
    components = source[source["arm"] == "pca"].set_index("quantity")["value"]
    assert components.to_dict() == {f"correlation_pca{width}": value for width, value in COMPONENTS.items()}
    external = source[(source["part"] == "external") & (source["arm"] == "real")]
    assert external["chosen"].all()
    rows = tables["manifold2"].query("arm == 'real' and part == 'external' and quantity == 'margin_pca2'")
    assert any(f"margin over PCA-2 {style.number(rows['value'].mean(), 3)}" in text for text in words(figure))
    assert "shuffled paths, 40 draws; line: their 95 % point" in words(figure)


def test_running_time_is_said_with_and_without_the_pass(tables):
    figure, source = draw("runtime", tables, "demo")
    assert len(source) == len(tables["ratio"])
    assert "3.4 min, ratio 34.5\nwith the pass 18.4 min, ratio 6.4" in words(figure)
    ax = figure.axes[0]
    widths = [bar.get_width() for bar in ax.patches if bar.get_height() == 0.55]
    row = source.query("campaign == 'grouped' and system == 'extracted head'").iloc[0]
    assert sum(widths[3:6]) * 3600 == pytest.approx(row["campaign_whole_s"])

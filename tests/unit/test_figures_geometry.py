"""Figures of the geometry: what they draw is what the table says, and what could not be tested says why."""

import numpy as np
import pandas as pd
import pytest
from figure_checks import assert_curves_are_whole, assert_fits, words
from geometry_tables import geometry_claims, geometry_table, planted_table, with_headlines
from matplotlib.backends.backend_agg import FigureCanvasAgg

from opbench.figures import geometry_board
from opbench.figures import geometry_rows as geometry
from opbench.figures.draw import FIGURES, draw
from opbench.io import tables as contracts
from opbench.io.errors import InputError

NAMES = [name for name in FIGURES if name.startswith("geometry")]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return with_headlines(geometry_table()) | {"geometry_claims": geometry_claims()}


def test_the_tables_keep_their_contracts():
    contracts.to_table(geometry_table(), contracts.GEOMETRY, "geometry")
    contracts.to_table(geometry_claims(), contracts.CLAIMS, "claims")
    assert len(NAMES) == 9


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_texts_lie_inside_the_page_and_are_large_enough(tables, name, few):
    table = tables["geometry"]
    if few:  # one scope, two spaces
        table = table[(table["scope"] == "nonzero") & (table["space"] != "coexpression")]
    figure, source = draw(name, tables | with_headlines(table), "demo")
    assert len(source)
    assert_fits(figure)


@pytest.mark.parametrize("name", ["geometry_spectrum", "geometry_convergence"])
def test_axes_that_share_a_scale_cut_no_curve_off(tables, name):
    """The first panel has the lowest values, so that a scale that is its own would end below the others."""
    table = tables["geometry"]
    first = sorted(table["term"].unique())[0] if name == "geometry_convergence" else ""
    low = (table["scope"] == "nonzero") if name == "geometry_spectrum" else table["term"].isin(["BATF", first])
    table = table.assign(value=table["value"].where(low, table["value"] * 3))
    assert_curves_are_whole(draw(name, tables | with_headlines(table), "demo")[0])


@pytest.mark.parametrize("name", NAMES)
def test_what_could_not_be_tested_gives_the_reason(tables, name):
    lost = tables["geometry"].assign(value=np.nan, status="not_testable", reason="The file kb.tsv is not there.")
    figure, source = draw(name, with_headlines(lost), "demo")
    assert source.empty or name == "geometry_board"
    assert "The file kb.tsv is not there." in " ".join(" ".join(words(figure)).split())
    figure, source = draw(name, with_headlines(lost.iloc[:0]), "demo")
    assert source.empty
    assert "demo" in " ".join(words(figure))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "geometry_board"])
def test_an_unknown_run_is_one_sentence(tables, name):
    with pytest.raises(InputError, match="no row has run 'nowhere'"):
        draw(name, tables, "nowhere")


@pytest.mark.parametrize("name", NAMES)
def test_one_space_without_nulls_or_intervals_is_enough(tables, name):
    table = tables["geometry"]
    bare = table[(table["space"] == "model") & (table["scope"] == "all_rows")].assign(
        ci_low=np.nan, ci_high=np.nan, null="", p=np.nan, p_family=np.nan, null_mean=np.nan, null_sd=np.nan,
        null_q95=np.nan, permutations=0)  # fmt: skip
    keys = ["analysis", "layer", "axis", "term", "quantity"]
    figure, source = draw(name, with_headlines(bare.drop_duplicates(keys)), "demo")
    assert len(source)
    FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("name", NAMES)
def test_each_quantity_may_be_absent(tables, name):
    table = tables["geometry"]
    table = table[table["scope"] == "nonzero"]
    analyses = {"geometry_ppi": ["ppi", "ppi_model"]}.get(name, [name.removeprefix("geometry_")])
    for quantity in sorted(set(table.loc[table["analysis"].isin(analyses), "quantity"])):
        figure, _ = draw(name, with_headlines(table[table["quantity"] != quantity]), "demo")
        assert words(figure)


def test_dots_of_the_map_are_the_cells_that_pass_max_t(tables):
    figure, source = draw("geometry_compartments", tables, "demo")
    mine = source[(source["space"] == "model") & (source["scope"] == "nonzero") & (source["null"] == "strata")]
    filled, hollow = figure.axes[0].collections[:2]
    assert len(filled.get_offsets()) == (mine["p_family"] <= 0.05).sum() > 0
    assert len(hollow.get_offsets()) == ((mine["p"] <= 0.05) & (mine["p_family"] > 0.05)).sum() > 0
    framed = source[(source["space"] == "model") & (source["scope"] == "nonzero") & (source["null"] == "paper")]
    assert len(figure.axes[0].patches) == (framed["p"] <= 0.05).sum() > 0


def test_the_null_band_spans_what_the_side_says():
    rows = pd.DataFrame({"side": ["greater", "two-sided", "less"], "null_mean": 1.0, "null_sd": 0.1, "null_q95": 1.2})
    low, high = geometry.null_limits(rows)
    np.testing.assert_allclose(low, [1.0, 1 - 0.196, 1 - 0.1645])
    np.testing.assert_allclose(high, [1.2, 1.196, 1.0])


def test_p_says_when_it_is_the_smallest_there_is():
    assert geometry.p_text(1 / 60, 1 / 60) == "≤ 0.017"
    assert geometry.p_text(0.5, 1 / 60) == "0.5"
    assert geometry.p_text(np.nan) == "–"


def test_ppi_names_the_exact_p_and_what_five_bins_can_give(tables):
    figure, _ = draw("geometry_ppi", tables, "demo")
    said = " ".join(" ".join(words(figure)).split())
    assert "exact p ≤ 0.017" in said
    assert "cannot give an exact p below 0.017" in said


def test_the_board_shows_headlines_references_and_the_worst_verdict(tables):
    table = tables["geometry_headlines"]
    board = geometry_board.headline_rows(table, tables["geometry_claims"]).set_index("headline")
    assert set(board.index) == set(geometry_board.TITLES)
    random = table[table["space"] == "random"].set_index("headline")["value"]
    assert board.loc["copole", "random"] == random["copole"] != board.loc["copole", "value"]
    assert np.isnan(board.loc["convergence", "coexpression"])
    assert board.loc["early_edges", "verdict"] == "not_separable"
    assert set(board["verdict"].drop("early_edges")) == {""}
    one = tables["geometry_claims"].iloc[[0]]
    other = one.assign(claim=37, where='analysis == "tf_target" and quantity == "mean_auroc"', analogue="holds")
    marks = geometry_board.headline_rows(table, pd.concat([one, other])).set_index("headline")["verdict"]
    assert marks["tf_target"] == "holds"
    said = words(draw("geometry_board", tables, "demo")[0])
    assert "SV5-7: who regulates whom, early" in said


@pytest.fixture(scope="module")
def written():
    return planted_table()


def test_the_made_up_table_has_the_names_that_the_analyses_write(written, tables):
    def names(table: pd.DataFrame, *columns: str) -> set[tuple[str, ...]]:
        return set(table[list(columns)].itertuples(index=False, name=None))

    made = tables["geometry"].query("space == 'model' and status == 'ok'")
    keys = ("analysis", "quantity", "null")
    # A made-up row that nothing writes would test what can never be drawn.
    assert names(made, *keys) <= names(written, *keys)
    subspaces = ["tf_target", "edges", "signs", "ppi_model", "markers"]
    mine, theirs = (table[table["analysis"].isin(subspaces)] for table in (made, written))
    assert names(mine, "analysis", "axis") <= names(theirs, "analysis", "axis")


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_analyses_themselves_are_drawn(written, name):
    figure, source = draw(name, with_headlines(written), "demo")
    assert len(source)
    FigureCanvasAgg(figure).draw()


def test_a_board_of_the_analyses_own_rows_has_every_number(written):
    board = geometry_board.headline_rows(with_headlines(written)["geometry_headlines"]).set_index("headline")
    lost = set(board.index[board["value"].isna()])
    assert lost <= {"convergence", "signs", "attention"}, board.loc[list(lost), "reason"].to_dict()
    assert board.drop(index=list(lost))["p"].notna().all()

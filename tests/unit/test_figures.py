"""Figures: their source tables are what the result tables say, and nothing is dropped in silence."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import scope_of, world, write_world
from matplotlib.backends.backend_agg import FigureCanvasAgg

from opbench.config.benchmark import Endpoints, Statistics
from opbench.figures import style
from opbench.figures.draw import FIGURES, draw, draw_figure
from opbench.figures.values import donor_values
from opbench.io import tables as contracts
from opbench.io.errors import InputError
from opbench.io.labels import method_labels
from opbench.statistics.summarise import summarise_scores


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return world()


def test_donor_values_are_donor_means_of_valid_rows(tables):
    scores = tables["scores"][tables["scores"]["campaign"] == "grouped"]
    labelled = scores.assign(method=method_labels(tables["scores"])[scores.index])
    values = donor_values(labelled).set_index(["method", "endpoint", "donor"])
    key = ("gaussian_head [plateau]", "branch_macro_f1", "BM2")
    rows = scores[(scores["method"] == "gaussian_head") & (scores["budget"] == "plateau") & (scores["donor"] == "BM2")]
    rows = rows[rows["endpoint"] == "branch_macro_f1"]
    assert len(rows) == 6  # three splits test the donor, with two draws each
    assert values.at[key, "value"] == pytest.approx(rows["value"].mean())
    # The summary's mean is the mean of the dots, so that the diamond belongs to them.
    mean = values.loc[key[:2], "value"].mean()
    row = tables["summary"].query(
        "campaign == 'grouped' and subset == 'all' and method == @key[0] and endpoint == @key[1]"
    )
    assert mean == pytest.approx(row["mean"].item())


def test_one_bad_split_does_not_lose_a_donor_and_capped_values_count(tables):
    scores = (
        tables["scores"].query("campaign == 'grouped' and method == 'pca10' and endpoint == 'branch_macro_f1'").copy()
    )
    bm1 = scores.index[scores["donor"] == "BM1"]
    scores.loc[bm1[0], ["status", "value"]] = ["failed", np.nan]
    scores.loc[bm1[1], "status"] = "cap"
    scores.loc[scores["donor"] == "BM2", "status"] = "not_applicable"
    values = donor_values(scores).set_index("donor")
    assert values.at["BM1", "value"] == pytest.approx(scores.loc[bm1[1:], "value"].mean())
    assert values.at["BM1", "status"] == "ok"
    assert np.isnan(values.at["BM2", "value"])
    assert values.at["BM2", "status"] == "not_applicable"


@pytest.mark.parametrize("name", ["paired_donors", "method_endpoint_heatmap", "pseudotime_null"])
def test_a_method_of_several_arms_has_a_row_for_each(tables, name):
    """Arms with a budget, and arms without, in one campaign alone: labels are those of the whole run."""
    scores = tables["scores"]
    mine = scores["method"] == "pca10"
    arms = [scores[mine].assign(arm=arm, budget=budget, method=method)
            for method, budget in (("mlp", "plateau"), ("frozen_embedding", "")) for arm in ("one", "two")]  # fmt: skip
    scores = pd.concat([scores, *arms], ignore_index=True)
    summary = summarise_scores(scores, Endpoints(), Statistics(bootstraps=100))
    _, source = draw(name, tables | {"scores": scores, "summary": summary}, "lodo")
    assert {"mlp (one)", "mlp (two)", "frozen_embedding (one)", "frozen_embedding (two)"} <= set(source["method"])


def test_failed_method_stays_in_every_score_figure(tables):
    for name in ("paired_donors", "method_endpoint_heatmap", "pseudotime_null"):
        figure, source = draw(name, tables, "lodo")
        assert "failed" in set(source.loc[source["method"] == "random_projection", "status"])
        texts = [text.get_text() for ax in figure.axes for text in (*ax.texts, *ax.get_yticklabels())]
        assert "Random projection" in texts
        assert {"failed", "fail"} & set(texts)


def test_paired_source_holds_every_drawn_donor(tables):
    figure, source = draw("paired_donors", tables, "lodo")
    assert not source["endpoint"].map(style.is_null).any()
    assert "cd4_vs_cd8_auroc" not in set(source["endpoint"])  # no donor has it, so it has no panel
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert "Mono vs DC *\nAUROC\nn = 6 donors" in titles
    assert "Branch\nbalanced accuracy\nn = 14 donors" in titles
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "All-donor head [fixed] (leaking)" in labels
    assert labels[:2] == ["Extracted head [fixed]", "Gaussian control [fixed]"]


def test_an_endpoint_of_oracle_and_chance_alone_gets_no_panel_but_a_failed_one_does(tables):
    scores = tables["scores"].copy()
    brackets = scores["protocol"].isin(["oracle", "chance"])
    scores.loc[~brackets & (scores["endpoint"] == "t_vs_ctl_auroc"), ["status", "value"]] = ["not_applicable", np.nan]
    scores.loc[~brackets & (scores["endpoint"] == "stage_macro_f1"), ["status", "value"]] = ["failed", np.nan]
    _, source = draw("paired_donors", {**tables, "scores": scores}, "lodo")
    assert "t_vs_ctl_auroc" not in set(source["endpoint"])
    assert set(source.query("endpoint == 'stage_macro_f1' and method == 'pca10'")["status"]) == {"failed"}


def test_heatmap_scales_between_chance_and_oracle(tables):
    _, source = draw("method_endpoint_heatmap", tables, "lodo")
    cells = source.set_index(["endpoint", "method"])
    mean = cells["mean"]
    low, high = mean["branch_macro_f1", "chance"], mean["branch_macro_f1", "oracle"]
    expected = (mean["branch_macro_f1", "pca10"] - low) / (high - low)
    assert cells.at[("branch_macro_f1", "pca10"), "scaled"] == pytest.approx(expected)
    assert np.isnan(cells.at[("pseudotime_spearman", "pca10"), "scaled"])  # chance has no pseudotime here
    assert cells.at[("mono_vs_dc_auroc", "pca10"), "n_donors"] == 6


def test_absolute_pseudotime_is_never_shaded(tables):
    summary = tables["summary"].copy()
    for method, value in (("chance", 0.05), ("oracle", 1.0)):
        here = (summary["endpoint"].isin(["pseudotime_spearman_abs", "pseudotime_spearman"])) & (
            summary["method"] == method
        )
        summary.loc[here, "mean"] = value
    _, source = draw("method_endpoint_heatmap", {**tables, "summary": summary}, "lodo")
    shaded = source.groupby("endpoint")["scaled"].agg(lambda scaled: scaled.notna().any())
    assert shaded["pseudotime_spearman"]
    assert not shaded["pseudotime_spearman_abs"]


def test_comparisons_are_extracted_head_minus_other_whatever_the_stored_order(tables):
    _, source = draw("comparisons", tables, "lodo")
    stored = tables["comparisons"].query("campaign == 'lodo' and family == 'verdict' and endpoint == 'branch_macro_f1'")
    one = source[(source["endpoint"] == "branch_macro_f1") & (source["real"] == "extracted_head [fixed]")].set_index(
        "other"
    )
    forward = stored.query("method_a == 'extracted_head [fixed]' and method_b == 'pca10'").iloc[0]
    assert one.at["pca10", "effect"] == forward["effect"]
    reverse = stored.assign(method_a=stored["method_b"], method_b=stored["method_a"], effect=-stored["effect"],
                            ci_low=-stored["ci_high"], ci_high=-stored["ci_low"])  # fmt: skip
    rest = tables["comparisons"].drop(stored.index)
    _, again = draw("comparisons", {"comparisons": pd.concat([rest, reverse])}, "lodo")
    columns = ["endpoint", "real", "other", "n", "effect", "ci_low", "ci_high", "q", "split_q"]
    pd.testing.assert_frame_equal(again[columns], source[columns])
    split = tables["comparisons"].query(
        "campaign == 'lodo' and unit == 'split' and endpoint == 'branch_macro_f1' "
        "and method_a == 'extracted_head [fixed]' and method_b == 'pca10'")  # fmt: skip
    assert one.at["pca10", "split_q"] == split["q"].item()
    assert "gaussian_head [plateau]" not in one.index  # budgets are never mixed
    assert set(source["endpoint"]) == set(
        tables["comparisons"].query("campaign == 'lodo' and family == 'verdict'")["endpoint"]
    )


def markers(figure, axis: int) -> list[tuple[str, bool]]:
    """(marker, filled) of the donor-level marks of one panel."""
    lines = figure.axes[axis].get_lines()
    return [(m.get_marker(), m.get_markerfacecolor() != "white") for m in lines if m.get_marker() in ("o", "s")]


def test_rows_of_random_arms_are_drawn_hollow_among_verdict_endpoints(tables):
    figure, source = draw("comparisons", tables, "lodo")
    gaussian = source[source["other"].str.startswith("gaussian_head")]
    assert set(gaussian["endpoint"]) == set(source["endpoint"])
    assert set(gaussian["family"]) == {"descriptive"}
    assert gaussian["q"].isna().all()
    assert gaussian["ci_low"].notna().all()
    first = source[source["endpoint"] == style.endpoint_order(list(source["endpoint"]))[0]]
    drawn = markers(figure, 0)
    assert sum(filled for _, filled in drawn) == (first["q"] < 0.05).sum() > 0
    assert not any(filled for _, filled in drawn[:2])  # the control's row is the first, with both budgets
    assert any("No q: random arms" in text.get_text() for text in figure.texts)


def test_a_campaign_without_verdict_is_drawn_whole_and_hollow(tables):
    figure, source = draw("comparisons", tables, "grouped")
    pairs = tables["comparisons"].query("campaign == 'grouped' and unit == 'donor'")
    assert set(source["endpoint"]) == set(pairs["endpoint"])
    assert source["q"].isna().all()
    shown = [index for index, ax in enumerate(figure.axes) if ax.get_visible()]
    assert all("*" in figure.axes[index].get_title(loc="left") for index in shown)
    drawn = [mark for index in shown for mark in markers(figure, index)]
    assert drawn
    assert not any(filled for _, filled in drawn)


def test_pseudotime_counts_donors_above_their_own_null(tables):
    _, source = draw("pseudotime_null", tables, "lodo")
    scores = tables["scores"].query("campaign == 'lodo' and method == 'raw_log1p'")
    wide = scores.pivot(index="donor", columns="endpoint", values="value")
    above = wide["pseudotime_spearman_abs"] > wide["pseudotime_null_permuted_q95"]
    mine = source[source["method"] == "raw_log1p"].set_index("donor")
    assert mine["above_permuted_q95"].sum() == above.sum() > 0
    assert (mine["null_of_mean_q95"] == 0.41).all()


def test_costs_sum_over_chunks_and_keep_failures(tables):
    _, source = draw("cost_per_method", tables, "demo")
    row = source.query("method == 'gaussian_head [plateau]' and campaign == 'lodo' and draw == 1").iloc[0]
    assert (row["wall_s"], row["fits"], row["chunks"]) == (600.0, 14, 2)
    assert (source.loc[source["method"] == "random_projection", "status"] == "failed").all()
    assert "pca10" in set(source["method"])  # one budget needs no brackets


def test_cell_counts_and_roles(tables):
    _, source = draw("cells_per_donor", tables, "marrow")
    assert source["n_cells"].sum() == tables["panels"]["n_cells"].sum()
    roles = source.groupby("donor")["role lodo"].first()
    assert (roles["BM1"], roles["AML337A"], roles["AML344A"], roles["100"]) == (
        "tested",
        "trains only",
        "not used",
        "not used",
    )
    depths = source[source["dataset"] == "vangalen"].groupby("label", sort=False)["depth"].first()
    assert depths.is_monotonic_increasing


def test_latent_view_draws_one_of_each_kind_first(tables):
    figure, source = draw("latent_view", tables, "lodo")
    assert list(dict.fromkeys(source["method"])) == [
        "extracted_head [fixed]",
        "gaussian_head [fixed]",
        "pca10",
        "svd10",
    ]
    drawn = source.merge(tables["latent"], on=["method", "cell_id", "x", "y"])
    assert len(drawn) == len(source) == 3600
    assert any("1 tested donor," in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("name", FIGURES)
def test_one_donor_does_not_crash(name):
    figure, source = draw(name, world(1), scope_of(name))
    assert len(source)
    FigureCanvasAgg(figure).draw()


def test_empty_tables_become_a_figure_that_says_so(tables):
    for name, table in (("comparisons", contracts.COMPARISONS), ("latent_view", contracts.LATENT)):
        figure, source = draw(
            name, {table_name: table.empty_table().to_pandas() for table_name in FIGURES[name][0]}, "lodo"
        )
        assert source.empty
        assert "lodo" in figure.texts[0].get_text()


def test_every_text_lies_inside_its_figure(tables):
    for name, scope in [*((name, scope_of(name)) for name in FIGURES), ("comparisons", "grouped")]:
        figure, _ = draw(name, tables, scope)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        box, renderer = figure.bbox, canvas.get_renderer()
        texts = [
            t
            for ax in figure.axes
            if ax.get_visible()
            for t in (*ax.texts, ax.title, *(ax.get_yticklabels() if ax.axison else ()))
        ] + figure.texts
        for text in (t for t in texts if t.get_text().strip() and t.get_visible()):
            extent = text.get_window_extent(renderer)
            assert extent.x0 >= -1, (name, text.get_text())
            assert extent.x1 <= box.x1 + 1, (name, text.get_text())
            assert extent.y0 >= -1, (name, text.get_text())
            assert extent.y1 <= box.y1 + 1, (name, text.get_text())
            assert text.get_fontsize() >= style.SMALL, (name, text.get_text())
        assert figure.get_size_inches()[0] <= style.DOUBLE + 1e-9
        assert figure.get_size_inches()[1] <= 247 * style.MM, name


@pytest.mark.parametrize("name", ["method_endpoint_heatmap", "latent_view", "cost_per_method"])
def test_same_tables_give_the_same_bytes(name, tables, tmp_path):
    paths = write_world({key: tables[key] for key in (*FIGURES[name][0], *FIGURES[name][1])}, tmp_path)
    outputs = [[tmp_path / f"{run}.{kind}" for kind in ("svg", "png", "csv", "pdf")] for run in "ab"]
    for files in outputs:
        draw_figure(name, scope_of(name), paths, *files)
    for first, second in zip(*outputs, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert outputs[0][3].read_bytes().startswith(b"%PDF")
    assert b"Date" not in outputs[0][3].read_bytes()
    assert pd.read_csv(outputs[0][2]).shape == draw(name, tables, scope_of(name))[1].shape


def test_wrong_names_are_one_sentence(tables):
    with pytest.raises(InputError, match=r"no row has campaign 'nowhere'.*grouped, lodo"):
        draw("paired_donors", tables, "nowhere")
    with pytest.raises(InputError, match="table 'summary' was not given"):
        draw("paired_donors", {"scores": tables["scores"]}, "lodo")
    with pytest.raises(InputError, match="'bars' is none of"):
        draw("bars", tables, "lodo")


def test_names_and_order():
    labels = ["chance", "new_method", "gaussian_head [plateau]", "extracted_head [plateau]", "pca10",
              "extracted_head [fixed]", "gaussian_head [fixed]", "leaking_head"]  # fmt: skip
    assert style.method_order(labels) == [
        "extracted_head [fixed]", "gaussian_head [fixed]", "extracted_head [plateau]",
        "gaussian_head [plateau]", "pca10", "new_method", "leaking_head", "chance",
    ]  # fmt: skip
    assert (
        style.endpoint_order(["depth_ridge_spearman", "t_vs_ctl_auroc", "pseudotime_spearman", "branch_macro_f1"])[1]
        == "t_vs_ctl_auroc"
    )
    assert style.endpoint_name("t_vs_ctl_auroc") == "T vs CTL, AUROC"
    assert style.endpoint_name("hscprog_vs_new_type_balanced_accuracy") == "HSC+Prog vs new type, balanced accuracy"
    assert (style.number(-0.123), style.number(-0.0001), style.number(np.nan)) == ("−0.12", "0.00", "–")

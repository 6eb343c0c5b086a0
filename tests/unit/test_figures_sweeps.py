"""The figure of sweeps draws means over donors, and the spread of a random arm's draws."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import make_sweeps
from matplotlib import rc_context

from opbench.figures.style import RC
from opbench.figures.sweeps import MOST, draw
from opbench.io.tables import SWEEPS, to_table


@pytest.fixture(scope="module")
def sweeps() -> pd.DataFrame:
    return to_table(make_sweeps(), SWEEPS, "sweeps").to_pandas()


def shown(tables: dict[str, pd.DataFrame], scope: str):
    with rc_context(RC):
        return draw(tables, scope)


def test_source_holds_means_over_donors_and_extremes_over_draws(sweeps):
    figure, source = shown({"sweeps": sweeps}, "marrow")
    cells = source.set_index(["sweep", "head", "endpoint", "arm", "at"])
    real = cells.loc[("budget", "let", "branch_balanced_accuracy", "real", "220")]
    rows = sweeps.query(
        "sweep == 'budget' and endpoint == 'branch_balanced_accuracy' and arm == 'real' and budget == '220'"
    )
    assert real["mean"] == pytest.approx(rows["value"].mean())
    assert real["n_units"] == rows["donor"].nunique() == len(rows)
    assert real["ci_low"] < real["mean"] < real["ci_high"]
    gaussian = cells.loc[("budget", "let", "branch_balanced_accuracy", "gaussian_halves", "220")]
    rows = sweeps.query(
        "sweep == 'budget' and endpoint == 'branch_balanced_accuracy' and arm == 'gaussian_halves' and budget == '220'"
    )
    means = rows.groupby("operator")["value"].mean()
    assert (gaussian["draw_low"], gaussian["draw_high"], gaussian["n_draws"]) == (means.min(), means.max(), len(means))
    assert np.isnan(gaussian["ci_low"])
    assert cells.loc[("width", "let", "branch_balanced_accuracy", "real", "full"), "n_units"] == 14
    assert "Gaussian on support, 2 to 4 draws: mean, least to most" in [
        text.get_text() for legend in figure.legends for text in legend.get_texts()
    ]


def test_axes_are_in_order_and_rows_say_their_n(sweeps):
    figure, _ = shown({"sweeps": sweeps}, "marrow")
    ticks = [[tick.get_text().strip() for tick in ax.get_xticklabels()] for ax in figure.axes[-3:]]
    assert ticks == [["3", "10", "full"], ["3", "10", "full"], ["50", "220", "2000", "plateau"]]
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels[0] == "Branch\nbalanced accuracy\nn = 14 donors"
    assert labels[-1] == "Selection score\nheld-out anchors\nn = 5 folds"
    assert "GMP vs Mono\nAUROC\nn = 9 donors" in labels


def test_failed_rows_are_left_out_many_endpoints_fit_and_nothing_is_said(sweeps):
    failed = sweeps.assign(status=sweeps["status"].where(sweeps["arm"] != "uniform", "not_applicable"))
    _, source = shown({"sweeps": failed}, "marrow")
    assert "uniform" not in set(source["arm"])
    one = sweeps[sweeps["endpoint"] == "branch_balanced_accuracy"]
    more = [sweeps, *(one.assign(endpoint=f"x{i}_auroc") for i in range(9))]
    figure, source = shown({"sweeps": pd.concat(more)}, "marrow")
    assert len(figure.axes) == 3 * MOST
    assert source["endpoint"].nunique() == 13
    figure, source = shown({"sweeps": sweeps}, "elsewhere")
    assert source.empty
    assert "elsewhere" in figure.texts[0].get_text()

"""The running-time ratio, on the paper's own figures."""

import numpy as np
import pandas as pd
import pytest

from opbench.io.tables import COSTS
from opbench.statistics.ratio import EXTRACTED, FROZEN, job_seconds, ratios

ONCE = {"p": {"embed_cells": 5163.8, "export_operator": 9.5, "project_cells": 90.0, "accumulate_attention": 500.0}}


def cost(method, arm, budget, wall, saved=0.0, status="ok", splits=4):
    return dict.fromkeys(COSTS.names, 0) | {
        "run": "r", "panel": "p", "campaign": "c", "method": method, "arm": arm, "budget": budget, "splits": splits,
        "wall_s": wall, "saved_s": saved, "status": status,
    }  # fmt: skip


def paper(**changes):
    rows = [
        cost("frozen_embedding_mlp", "mean", "plateau", 4 * 159.2), cost("frozen_embedding_mlp", "cls", "plateau", 1.0),
        cost("extracted_head", "real", "fixed", 2 * 8.8, 2 * 8.8), cost("extracted_head", "real", "plateau", 9e9),
        cost("raw_log1p", "", "", 4 * 1.0) | changes,
    ]  # fmt: skip
    return ratios(pd.DataFrame(rows), ONCE).set_index("system")


def test_the_paper_s_figures_give_the_paper_s_ratio_and_the_pass_changes_it():
    found = paper()
    assert found.loc[FROZEN, "campaign_s"] == pytest.approx(7074.2)
    assert found.loc[EXTRACTED, "campaign_s"] == pytest.approx(205.1)
    assert found.loc[EXTRACTED, "ratio"] == pytest.approx(34.5, abs=0.05)
    assert found.loc[EXTRACTED, "ratio_whole"] == pytest.approx(7074.2 / 705.1)
    assert found.loc[FROZEN, "ratio"] == 1
    assert found.loc["raw genes, linear probe", "ratio"] == pytest.approx(7074.2 / 12)


def test_a_system_that_failed_is_left_out_and_without_the_frozen_model_there_is_no_ratio():
    assert "raw genes, linear probe" not in paper(status="failed").index
    alone = ratios(pd.DataFrame([cost("raw_log1p", "", "", 4.0)]), {})
    assert np.isnan(alone["ratio"]).all()
    assert alone["campaign_s"].tolist() == [12.0]


def test_seconds_of_a_job_that_ran_twice_are_those_of_the_last(tmp_path):
    (tmp_path / "x.tsv").write_text("s\th:m:s\n5.0\t0:00:05\n7.5\t0:00:07\n")
    assert job_seconds(tmp_path / "x.tsv") == 7.5

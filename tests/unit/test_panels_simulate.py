"""The simulated cohort at its default size against real marrow, and what the profile measures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad

from opbench.config import load_config
from opbench.config.data import Simulation
from opbench.io.locate import locate
from opbench.panels.build import build_panel
from opbench.panels.cells import select_cells
from opbench.panels.genes import select_genes
from opbench.panels.ontology import Ontology, read_labels, read_tsv
from opbench.panels.panel import read_panel
from opbench.panels.profile import donor_share, masked_gain, profile_panel
from opbench.panels.simulate import LABELS, draw_cohort, simulate_cohort

ROOT = Path(__file__).parents[2]
ONTOLOGY = ROOT / "resources/ontology"
REFERENCE = pd.read_csv(ROOT / "resources/simulation_reference.tsv", sep="\t", index_col="measure")


def _panel(folder, file, dataset, panel, name):
    """The panel of one dataset, made as the workflow makes it."""
    dataset = dataset.model_copy(update={"labels": str(ROOT / str(dataset.labels))})
    select_cells(name, file, dataset, ONTOLOGY, folder / "cells.parquet")
    sources = {name: (file, dataset, folder / "cells.parquet")}
    select_genes("p", panel, sources, None, folder / "genes.parquet")
    build_panel("p", panel, sources, folder / "genes.parquet", folder / "panel.h5ad")
    return read_panel(folder / "panel.h5ad")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    config = load_config(ROOT / "config/config.yaml")
    dataset = config.datasets["cohort"]
    simulate_cohort(dataset.simulate, ONTOLOGY, folder / "cohort.h5ad")
    return _panel(folder, folder / "cohort.h5ad", dataset, config.panels["demo"], "cohort")


@pytest.fixture(scope="module")
def profile(demo):
    return profile_panel(demo)


@pytest.mark.parametrize("measure", REFERENCE.index)
def test_simulation_is_within_tolerance_of_marrow(profile, measure):
    row = REFERENCE.loc[measure]
    assert row["lowest"] <= profile[measure] <= row["highest"]


def test_the_rest_of_a_cell_predicts_beyond_gene_and_label_means(demo, profile):
    assert profile["masked_gain"] > 0.05
    assert profile["masked_gain_label"] > 0.03
    values = demo.layers["log1p"].toarray()
    label, donor = (demo.obs[name].to_numpy(str) for name in ("label", "donor"))
    # Genes shuffled over the cells of a label and donor keep both means and lose co-expression.
    rng = np.random.default_rng(0)
    for cells in demo.obs.groupby(["label", "donor"], observed=True).indices.values():
        values[cells] = rng.permuted(values[cells], axis=0)
    assert masked_gain(values, label, donor)[1] < profile["masked_gain_label"] / 2


def test_most_labels_have_five_cells_in_most_donors(demo):
    sizes = demo.obs.groupby(["label", "donor"]).size()
    assert len(sizes) == 15 * 12
    assert (sizes >= 5).mean() > 0.9
    assert demo.obs.groupby("condition")["donor"].nunique().to_dict() == {"disease": 8, "healthy": 4}


@pytest.mark.skipif(locate("vangalen2019_bm_aml.h5ad") is None, reason="OPBENCH_DATA has no marrow")
def test_reference_is_what_marrow_gives(tmp_path):
    config = load_config(ROOT / "config/marrow.yaml")
    panel = config.panels["marrow"]
    panel = panel.model_copy(update={"genes": panel.genes.model_copy(update={"n": 400})})
    dataset = config.datasets["vangalen"]
    marrow = _panel(tmp_path, locate(dataset.path), dataset, panel, "vangalen")
    got = profile_panel(marrow)
    for measure, row in REFERENCE.iterrows():
        assert got[measure] == pytest.approx(row["marrow"], rel=0.01)


def test_labels_agree_with_the_label_map():
    ontology = Ontology.read(ONTOLOGY)
    mapped = read_labels(ROOT / "resources/labels/simulated.tsv", ontology)
    assert {label: ontology.join(stages) for label, (stages, _) in LABELS.items()} == mapped
    assert set(read_tsv(ROOT / "resources/labels/vangalen.tsv", ["label"])["label"]) == set(LABELS)


def test_same_seed_same_cells_whatever_the_other_donors(tmp_path):
    ontology = Ontology.read(ONTOLOGY)
    small = Simulation(donors=2, corpus_donors=1, cells_per_donor=60, corpus_cells_per_donor=40, genes=80)
    counts, obs = draw_cohort(small, ontology)
    more, more_obs = draw_cohort(small.model_copy(update={"donors": 3}), ontology)
    assert (counts[:120] != more[:120]).nnz == 0
    assert obs[:120].equals(more_obs[:120])
    assert (draw_cohort(small.model_copy(update={"seed": 2}), ontology)[0] != counts).nnz
    simulate_cohort(small, ONTOLOGY, tmp_path / "a.h5ad")
    assert (counts != read_h5ad(tmp_path / "a.h5ad").X).nnz == 0


def test_donor_share_recovers_a_known_share():
    rng = np.random.default_rng(0)
    donor, label = np.repeat(np.arange(40), 30).astype(str), np.array(["a", "b"] * 600)
    effect = np.repeat(rng.normal(size=(40, 200)) * 0.5, 30, axis=0)
    values = 10 + effect + rng.normal(size=(1200, 200))
    assert donor_share(values, label, donor) == pytest.approx(0.2, abs=0.02)
    assert donor_share(values - effect, label, donor) == pytest.approx(0, abs=0.005)

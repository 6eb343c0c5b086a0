"""Second manifold: the ruler is what it says, a planted manifold is found, one that reads noise is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from latent_world import GENES, LIGANDS, ONTOLOGY, RECEPTORS, config, write_world
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from opbench.discovery.anchor_profiles import anchor_profiles
from opbench.discovery.interactions import communication_ruler, read_interactions
from opbench.discovery.manifold2 import ManifoldFiles, map_interactions, shuffled_types
from opbench.discovery.pair_ranks import pair_weights, weighted_spearman
from opbench.discovery.parts import open_parts
from opbench.discovery.planar import place, planar_maps
from opbench.io.errors import InputError
from opbench.io.tables import MANIFOLD2, read_table


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def table(files, tmp_path_factory) -> pd.DataFrame:
    return run(files, tmp_path_factory.mktemp("out"), files["omni.csv"])


def run(files: dict[str, str], folder, interactions: str | None, **changes: object) -> pd.DataFrame:
    operators = {"drift": [files["interacting"]], "gaussian": [files["gaussian-0"]]}
    job = ManifoldFiles(files["parts.h5ad"], None, ONTOLOGY, operators, interactions)
    map_interactions(config(**changes), "p", job, folder / "m.parquet")
    return read_table(folder / "m.parquet", MANIFOLD2)


@pytest.mark.parametrize(("name", "separator"), [("i.csv", ","), ("i.csv.gz", ","), ("i.tsv", "\t")])
def test_paths_between_ligands_and_receptors(tmp_path, name, separator):
    pairs = [("a", "b"), ("c", "b"), ("c", "d"), ("a", "b"), ("x", "y")]
    frame = pd.DataFrame(pairs, columns=["source_genesymbol", "target_genesymbol"]).assign(more=1)
    frame.to_csv(tmp_path / name, sep=separator, index=False)
    found = read_interactions(tmp_path / name)
    assert found.shared(("d", "c", "b", "q")) == (["c"], ["d", "b"])
    # a-b-c-d is the longest path, of 3 steps; the other component is one further.
    assert found.path_steps(["a", "c", "x"], ["b", "d"]).tolist() == [[1, 3], [1, 1], [4, 4]]


@pytest.mark.parametrize(
    ("text", "says"),
    [("source_genesymbol,x\na,b\n", "target_genesymbol"), ("source_genesymbol,target_genesymbol\n", "no interaction"),
     ("source_genesymbol,target_genesymbol\na,b\nc,\n", "row 2 has an empty 'target_genesymbol'")],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path, text, says):
    (tmp_path / "i.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_interactions(tmp_path / "i.csv")
    with pytest.raises(InputError, match="not a readable table"):
        read_interactions(tmp_path / "none.csv")


def test_the_ruler_by_hand():
    steps = np.array([[1.0, 3.0], [2.0, 1.0]])
    # Square roots 1, 2 and 1, 1 give weights 1/3, 2/3 and 1/2, 1/2; the second anchor has one gene of each.
    ruler = communication_ruler(np.array([[1.0, 4.0], [0, 9]]), np.array([[1.0, 1.0], [5, 0]]), steps)
    own = (1 / 3 * 2 + 2 / 3 * 1.5, 2.0)
    across = (1 / 3 * 1 + 2 / 3 * 2, 1.5)
    assert ruler[0, 1] == pytest.approx(np.mean(across) - np.mean(own))
    assert ruler == pytest.approx(ruler.T)
    assert np.diag(ruler) == pytest.approx(0)


def test_new_points_land_where_fitted_ones_lie():
    points = np.random.default_rng(0).normal(size=(40, 2))
    maps = planar_maps({"fit": points, "new": points[:7] + 1e-6}, "fit", [8], seed=1)
    assert [each.method for each in maps] == ["geodesic_mds", "isomap"]
    for each in maps:
        spread = pdist(each.points["fit"]).mean()
        assert np.abs(each.points["new"] - each.points["fit"][:7]).max() < 0.2 * spread
        assert spearmanr(each.distances("fit"), pdist(points)).statistic > 0.9
    exact = place(points, np.linalg.norm(points[3:5, None] - points, axis=2))
    assert exact == pytest.approx(points[3:5], abs=1e-3)


def test_weighted_ranks_repeat_pairs():
    rng = np.random.default_rng(1)
    x, y, weights = rng.integers(0, 5, 36), rng.normal(size=36), rng.integers(0, 4, (5, 36))
    found = weighted_spearman(x, y, weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        assert value == pytest.approx(spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic)


def test_donors_are_drawn_whole_and_every_pair_counts_once_on_average():
    donor = np.repeat(["a", "b", "c"], 3)
    weights = np.concatenate(list(pair_weights(donor, 20_000, 0)))
    assert weights.mean(0) == pytest.approx(1, abs=0.05)
    first, second = np.triu_indices(9, 1)
    for one, other in (("a", "a"), ("a", "b")):
        block = weights[:, (donor[first] == one) & (donor[second] == other)]
        assert (block == block[:, :1]).all()


def test_a_planted_manifold_is_found_and_noise_is_not(table):
    outside = table[(table["part"] == "external") & table["chosen"]].set_index(["arm", "quantity"])
    real, noise = outside.loc["real"], outside.loc["gaussian_halves"]
    assert real.loc["correlation", "value"] > 0.95
    assert real.loc["margin_pca2", "low"] > 0.05
    assert (real.loc[["correlation", "margin_pca2"], "p"] < 0.05).all()
    # Anchors of one type lie together in noise too, which is all that it has of the ruler.
    assert noise.loc["correlation", "p"] > 0.05
    assert noise.loc["margin_pca2", "high"] < 0
    for arm in (real, noise):
        assert arm.loc["correlation", "low"] < arm.loc["correlation", "value"] < arm.loc["correlation", "high"]
    assert np.isfinite(real.loc["margin_pca6", ["low", "high"]].astype(float)).all()


def test_the_rows_of_a_claim_are_unique(table):
    keys = ["part", "arm", "operator", "draw", "quantity", "method", "neighbours"]
    assert not table.duplicated(keys).any()
    margins = table[(table["quantity"] == "margin_pca2") & (table["part"] == "external")]
    assert margins.groupby("arm").size().to_dict() == {"gaussian_halves": 1, "real": 1, "shuffled_path": 60}
    assert margins["chosen"].all()
    shuffled = margins.loc[margins["arm"] == "shuffled_path", "value"]
    assert abs(shuffled.mean()) < 0.15
    # A shuffled ruler is read with the map that it chose itself.
    assert margins.loc[margins["arm"] == "shuffled_path", ["method", "neighbours"]].drop_duplicates().shape[0] > 1
    # One method at one k is chosen, and every other has its correlation on the internal part alone.
    swept = table[(table["arm"] == "real") & (table["quantity"] == "correlation")]
    assert swept.groupby(["part", "chosen"]).size().to_dict() == {
        ("external", True): 1, ("internal", False): 3, ("internal", True): 1
    }  # fmt: skip
    inside = swept[swept["part"] == "internal"]
    assert inside["value"].idxmax() == inside.index[inside["chosen"]][0]


def test_components_are_of_genes_standardised_as_the_maps_are(files, table):
    parts = open_parts(files["parts.h5ad"], ONTOLOGY)
    inside, outside = (parts.parts[name].x.astype(float) for name in ("internal", "external"))
    steps, known = read_interactions(files["omni.csv"]), anchor_profiles(parts, ["external"], None, list(GENES))
    ligands, receptors = steps.shared(GENES)
    columns = [known["external"][:, [GENES.index(g) for g in side]] for side in (ligands, receptors)]
    ruler = communication_ruler(*columns, steps.path_steps(ligands, receptors))[np.triu_indices(len(outside), 1)]
    mean, deviation = inside.mean(0), inside.std(0)
    for name, scale in (("pca2", np.where(deviation > 0, deviation, 1)), ("raw_pca2", 1)):
        axes = np.linalg.svd((inside - mean) / scale, full_matrices=False)[2][:2]
        expected = spearmanr(pdist((outside - mean) / scale @ axes.T), ruler).statistic
        row = table[(table["operator"] == name) & (table["part"] == "external")]
        assert row["value"].tolist() == pytest.approx([expected], abs=1e-4)
    assert {"margin_pca2", "margin_raw_pca2"} <= set(table["quantity"])


def test_shuffled_types_move_together(files):
    parts = open_parts(files["parts.h5ad"], ONTOLOGY)
    for name in ("internal", "external"):
        part = parts.parts[name]
        drawn = shuffled_types(parts, name, 5, 0)
        for row in drawn:
            moved = pd.Series(part.label[row]).groupby(part.label).unique()
            assert (moved.map(len) == 1).all()
            assert sorted(moved.map(lambda codes: codes[0])) == sorted(np.unique(part.label))
            assert (part.donor[row] == part.donor).all()  # every donor has every type here


def test_profiles_come_from_all_genes_and_must_be_of_the_anchors(files):
    parts = open_parts(files["parts.h5ad"], ONTOLOGY)
    genes = [*RECEPTORS, *LIGANDS]
    own = anchor_profiles(parts, ["external"], None, genes)["external"]
    read = anchor_profiles(parts, ["external"], files["panel.h5ad"], genes)["external"]
    assert own.shape == (len(parts.parts["external"]), len(genes))
    assert read == pytest.approx(own, abs=1e-5)
    assert own[0, 0] == parts.parts["external"].x[0, GENES.index("R0")]
    other = replace(parts.parts["external"], n_cells=parts.parts["external"].n_cells + 1)
    with pytest.raises(InputError, match="holds 10 cells of anchor"):
        anchor_profiles(replace(parts, parts={"external": other}), ["external"], files["panel.h5ad"], genes)


def test_what_is_missing_is_a_typed_row(files, tmp_path):
    none = run(files, tmp_path, None)
    assert none["status"].tolist() == ["not_testable"]
    assert "omni.csv" in none["reason"].iloc[0]
    pd.DataFrame({"source_genesymbol": ["L0"], "target_genesymbol": ["other"]}).to_csv(tmp_path / "i.csv", index=False)
    assert "1 ligands and 0 receptors" in run(files, tmp_path, str(tmp_path / "i.csv"))["reason"].iloc[0]
    discovery = config().discovery.model_dump()
    few = run(files, tmp_path, files["omni.csv"], discovery=discovery | {"gates": {"min_anchors": 500}})
    assert few["status"].eq("not_testable").all()
    assert set(few["part"]) == {"internal", "external"}

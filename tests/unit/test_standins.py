"""Stand-ins: they satisfy the configuration they are made for, and look like the files they stand in for."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import yaml

from opbench.cli import main
from opbench.config import load_config, parse_config
from opbench.io.errors import InputError
from opbench.models.checkpoint import read_checkpoint
from opbench.panels.ontology import Ontology, read_labels
from opbench.standins.cells import write_standin
from opbench.standins.roles import groups_of

ROOT = Path(__file__).resolve().parents[2]


def changed(dataset: dict, campaign: dict | None = None):
    """The template for own data with other filters and campaign."""
    raw = yaml.safe_load((ROOT / "config/own_data.yaml").read_text())
    raw["datasets"]["mine"] |= {"labels": "resources/labels/vangalen.tsv", "path": "mine.h5ad", **dataset}
    raw["campaigns"]["lodo"] |= campaign or {}
    return parse_config(raw)


def roles(config) -> dict[str, list[str]]:
    groups = groups_of("mine", config)
    return {role: [g.donor for g in groups if g.role == role] for role in ("evaluation", "corpus")}


def test_donors_that_the_configuration_names_come_in_their_roles():
    config = load_config(ROOT / "config/paper.yaml")
    groups = groups_of("immune", config)
    tested = config.campaigns["immune_lodo"].tested
    assert [g.donor for g in groups if g.role == "evaluation"] == tested
    assert {g.donor for g in groups if g.role == "corpus"} == {"TSP8", "TSP10", "TSP11", "TSP17", "TSP20"}
    assert {g.donor for g in groups_of("lung", config)} == {"TSP1", "TSP2", "TSP14", "TSP25"}


def test_as_many_testable_donors_are_invented_as_splits_are_asked_for():
    found = roles(changed({}, {"splits": 9, "never_tested": ["cd34"]}))
    assert len(found["evaluation"]) == 10
    assert "cd34" in found["evaluation"]
    assert found["corpus"] == ["D1", "D2"]
    grouped = {"design": "grouped", "splits": 56, "test_donors": 3}
    assert len(roles(changed({}, grouped))["evaluation"]) == 8


def test_other_columns_get_values_that_satisfy_the_filters():
    filters = {"evaluation": "use_normal and age > 3", "corpus": "state in ['malignant'] and not use_normal"}
    groups = groups_of("mine", changed(filters))
    for group in groups:
        if group.role == "evaluation":
            assert group.columns["use_normal"] is True
            assert group.columns["age"] > 3
        else:
            assert group.columns["use_normal"] is False
            assert group.columns["state"] == "malignant"
    assert {g.role for g in groups} == {"evaluation", "corpus"}


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"evaluation": "age > 3 and age < 2"}, "evaluation"),
        ({"corpus": "DONOR == 'D1' and DONOR == 'D2'"}, "corpus"),
        ({"evaluation": "DONOR in ["}, "evaluation"),
        ({"evaluation": "DONOR.nosuch()"}, "evaluation"),
    ],
)
def test_a_filter_that_nothing_satisfies_is_named(filters, field):
    with pytest.raises(InputError, match=rf"^datasets\.mine\.{field}: .*\.$"):
        groups_of("mine", changed(filters))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("standins") / "data"
    assert main(["stand-ins", str(made), "--configfile", str(ROOT / "config/paper.yaml")]) == 0
    return made


def test_a_run_of_several_files_names_them_all(tmp_path, capsys):
    more = tmp_path / "more.yaml"
    more.write_text("datasets: {mine: {path: other.h5ad, labels: resources/labels/vangalen.tsv}}\n")
    files = [str(ROOT / "config/own_data.yaml"), str(more)]
    made = tmp_path / "data"
    assert main(["stand-ins", str(made), "--cells-per-donor", "100", "--configfile", *files]) == 0
    assert (made / "other.h5ad").is_file()
    assert not (made / "MY_CELLS.h5ad").exists()
    assert f"--configfile {' '.join(files)}" in capsys.readouterr().out


def test_every_file_of_the_configuration_is_there(folder):
    config = load_config(ROOT / "config/paper.yaml")
    named = {dataset.path for dataset in config.datasets.values()} | {config.model.checkpoint, "STAND-INS.txt"}
    assert {path.name for path in folder.iterdir()} == named


def test_cells_have_the_layout_and_names_of_the_real_files(folder):
    config = load_config(ROOT / "config/paper.yaml")
    ontology = Ontology.read(ROOT / config.ontology)
    for name, dataset in config.datasets.items():
        cells = anndata.read_h5ad(folder / dataset.path)
        counts = cells.raw.X
        assert counts.dtype == np.float32
        assert (counts.data == np.rint(counts.data)).all()
        assert counts.data.max() > 1
        assert not (cells.X.data == np.rint(cells.X.data)).all()
        assert cells.var_names.str.fullmatch(r"ENSG\d{11}").all()
        assert cells.raw.var["feature_name"].is_unique
        known = read_labels(ROOT / dataset.labels, ontology)
        assert set(cells.obs["cell_type"]) <= set(known)
        staged = cells.obs[cells.obs["cell_type"].astype(str).map(known) != ""]
        assert staged["donor_id"].value_counts().min() >= 100
        assert len(staged) < len(cells)  # the path of labels without a stage is walked, too
        for task in config.endpoints.binary.values():
            for side in (task.positive, task.negative):
                assert set(side[name]) <= set(staged["cell_type"])
        assert "stand-in" in cells.uns["provenance"]["source"]
    immune = anndata.read_h5ad(folder / "tabula_sapiens_immune.h5ad").obs
    assert immune.eval(config.datasets["immune"].corpus).sum() >= config.operators.cells


def test_the_checkpoint_is_readable_has_the_exported_heads_and_is_not_the_published_one(folder):
    checkpoint = read_checkpoint(folder / "scGPT_human")
    assert checkpoint.args["nlayers"] % 3 == 0
    assert checkpoint.args["nlayers"] > 2
    assert checkpoint.args["nheads"] > 5
    assert checkpoint.digest != load_config(ROOT / "config/paper.yaml").model.files["best_model.pt"].sha256
    genes = anndata.read_h5ad(folder / "tabula_sapiens_lung.h5ad").var["feature_name"]
    assert set(genes) <= set(checkpoint.vocab)


def test_same_seed_same_cells(folder, tmp_path):
    config = load_config(ROOT / "config/paper.yaml")
    one = anndata.read_h5ad(folder / "tabula_sapiens_lung.h5ad")
    genes = one.var["feature_name"].tolist()
    for seed, same in ((0, True), (1, False)):
        write_standin("lung", config, genes, 150, seed, tmp_path / "lung.h5ad")
        two = anndata.read_h5ad(tmp_path / "lung.h5ad")
        assert ((one.raw.X != two.raw.X).nnz == 0) is same


def test_no_file_is_replaced_and_too_few_cells_are_refused(folder, tmp_path, capsys):
    paper = str(ROOT / "config/paper.yaml")
    before = (folder / "dominguez_conde_2022.h5ad").read_bytes()
    assert main(["stand-ins", str(folder), "--configfile", paper, "--seed", "2"]) == 1
    assert "is already there; name a new folder" in capsys.readouterr().err
    assert (folder / "dominguez_conde_2022.h5ad").read_bytes() == before
    assert main(["stand-ins", str(tmp_path / "few"), "--configfile", paper, "--cells-per-donor", "20"]) == 1
    assert "'min_cells'" in capsys.readouterr().err
    assert not (tmp_path / "few").exists()


def test_the_shipped_checkpoint_needs_no_stand_in(tmp_path):
    assert main(["stand-ins", str(tmp_path / "m"), "--configfile", str(ROOT / "config/marrow.yaml")]) == 0
    assert not (tmp_path / "m" / "nano_marrow").exists()
    kang = anndata.read_h5ad(tmp_path / "m" / "kang2018_pbmc_ctrl_8donors_1287genes.h5ad")
    assert kang.X.dtype == np.int32
    assert kang.obs["donor"].nunique() == 8

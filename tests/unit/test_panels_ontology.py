from pathlib import Path

import numpy as np
import pytest

from opbench.io.errors import InputError
from opbench.panels.ontology import Ontology, read_labels

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "resources/ontology"


@pytest.fixture(scope="module")
def ontology():
    return Ontology.read(FOLDER)


def test_published_graph_and_added_stage(ontology):
    assert len(ontology.stages) == 35
    assert len(set(ontology.branches)) == 7
    assert ontology.distance.max() == 10
    assert (ontology.distance == 1).sum() == 2 * 36
    for stage, depth in {"MPP": 1, "NK": 4, "Macrophage": 5, "MAIT": 7, "Erythrocyte": 5}.items():
        assert ontology.depth(stage) == depth
    assert ontology.distance[[ontology.stages.index("MEP")], ontology.stages.index("Erythrocyte")] == 2


def test_sets(ontology):
    assert ontology.join(["Naive_CD8", "Naive_CD4"]) == "Naive_CD4|Naive_CD8"
    assert ontology.depth("MPP|CMP") == 1.5
    assert ontology.branch("Naive_B|Memory_B") == "b_plasma"
    with pytest.raises(InputError, match="span the branches"):
        ontology.branch("HSC|NK")
    with pytest.raises(InputError, match="did you mean 'Naive_B'"):
        ontology.depth("Naiv_B")
    got = ontology.set_distance(["MPP|CMP", "HSC", "CMP|MPP"])
    assert np.allclose(got, [[0, 1.5, 0], [1.5, 0, 1.5], [0, 1.5, 0]])


@pytest.mark.parametrize("name", ["vangalen", "kang", "simulated"])
def test_shipped_labels(ontology, name):
    mapped = read_labels(ROOT / f"resources/labels/{name}.tsv", ontology)
    assert len(mapped) == (8 if name == "kang" else 15)
    assert all(ontology.branch(stages) for stages in mapped.values())


@pytest.mark.parametrize(
    ("stages", "edges", "says"),
    [
        ("HSC MPP", "HSC-NK", "'NK' is not in stages.tsv"),
        ("HSC MPP NK", "HSC-MPP", "'NK' is not connected"),
        ("MPP NK", "MPP-NK", "'HSC' is missing"),
        ("HSC HSC", "HSC-HSC", "given twice"),
    ],
)
def test_bad_graphs(tmp_path, stages, edges, says):
    rows = "".join(f"{stage}\tb\tx\n" for stage in stages.split())
    (tmp_path / "stages.tsv").write_text("stage\tbranch\tsource\n" + rows)
    (tmp_path / "edges.tsv").write_text("stage_a\tstage_b\n" + edges.replace("-", "\t") + "\n")
    with pytest.raises(InputError, match=says):
        Ontology.read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [("A\tHSC|NK\n", "span"), ("A\tHSX\n", "'HSX'"), ("A\tHSC\nA\tHSC\n", "given twice")],
)
def test_bad_labels(ontology, tmp_path, rows, says):
    (tmp_path / "map.tsv").write_text("label\tstages\n" + rows)
    with pytest.raises(InputError, match=says):
        read_labels(tmp_path / "map.tsv", ontology)

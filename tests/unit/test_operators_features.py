"""Feature maps by encoding, and operators that a benchmark job applies itself."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from opbench.config.benchmark import Campaign, Endpoints
from opbench.config.model import Operators
from opbench.io.errors import InputError
from opbench.models.attention import AttentionSums
from opbench.operators.arms import Sources
from opbench.operators.export import build_operator, project_cells
from opbench.operators.features import cell_features, rank_weights
from opbench.operators.operator import Operator, from_blocks, read_operator, write_operator
from opbench.readouts.panel_data import open_panel

ONTOLOGY = Path(__file__).parents[2] / "resources" / "ontology"
G, N = 8, 60
GENES = tuple(f"g{i}" for i in range(G))
LABELS = {"HSC": ("HSC", "stem_progenitor"), "GMP": ("GMP", "stem_progenitor"), "Mono": ("Cl_Mono", "x")}
CAMPAIGN = Campaign(panel="p", design="leave_one_donor_out", train="a", test="a", splits=3)


@pytest.fixture(scope="module")
def panel(tmp_path_factory) -> Path:
    """Three donors of dataset `a`, and dataset `b`, which no campaign here uses; some genes are tied or absent."""
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.8, (N, G)).astype(np.int32))
    dataset = np.where(np.arange(N) % 4 == 3, "b", "a")
    label = rng.choice(list(LABELS), N)
    obs = pd.DataFrame(
        {"dataset": dataset, "donor": [f"d{i % 3}" for i in range(N)], "tissue": "t", "condition": "healthy",
         "label": label, "stages": [LABELS[name][0] for name in label], "branch": [LABELS[name][1] for name in label],
         "depth": 1.0, "library_size": 100.0},
        index=[f"{name}:c{i}" for i, name in enumerate(dataset)],
    )  # fmt: skip
    var = pd.DataFrame({"present_a": True, "present_b": True}, index=list(GENES))
    about = {"name": "p", "missing": 0, "library_is_partial": False}
    log1p = sp.csr_matrix(counts, dtype=np.float32).log1p()
    path = tmp_path_factory.mktemp("features") / "p.h5ad"
    anndata.AnnData(counts, obs, var, uns={"panel": about}, layers={"log1p": log1p}).write_h5ad(path)
    return path


def attention() -> AttentionSums:
    """What an arm that reads the panel's labels needs of an attention file: its genes."""
    nothing = sp.csr_matrix((1, G), dtype=np.float32)
    return AttentionSums(np.zeros((3, 1, G, G)), np.zeros((G, G), int), np.zeros(G, int), nothing, ["c"], list(GENES))


@pytest.fixture(scope="module")
def files(panel) -> dict[str, Path]:
    """Operator files: two linear ones, one on ranks, two draws on labels."""
    rng = np.random.default_rng(1)
    support = np.ones((G, G), bool)
    made = {
        "shuffle-0": from_blocks([*rng.normal(size=(2, G, G))], support, GENES, arm="shuffle"),
        "uniform": from_blocks([rng.normal(size=(G, G))], support, GENES, arm="uniform", encoding="log1p"),
        "token_bag": from_blocks([np.eye(G)], support, GENES, arm="token_bag", encoding="rank"),
    }
    for draw in (0, 1):
        name = f"label_lookup-{draw}"
        made[name] = build_operator(attention(), name, Operators(), Sources(panel=panel))
    for name, operator in made.items():
        write_operator(operator, panel.parent / f"{name}.safetensors")
    return {name: panel.parent / f"{name}.safetensors" for name in made}


def opened(panel, *features):
    return open_panel(str(panel), ONTOLOGY, Endpoints(), CAMPAIGN, [str(file) for file in features])


def test_rank_weights_by_hand():
    # Three expressed genes, of which two tie; one; none; and a zero that is stored.
    cells = sp.csr_matrix(np.array([[2, 0, 3, 2], [0, 5, 0, 0], [0, 0, 0, 0], [1, 2, 0, 0]], np.float32))
    cells.data[-1] = 0
    expected = [[2 / 3, 0, 1, 1 / 3], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(rank_weights(cells).toarray(), expected, rtol=1e-6)
    assert cells.nnz == 6  # the cells themselves are left as they are


@pytest.mark.parametrize("name", ["shuffle-0", "uniform", "token_bag", "label_lookup-0"])
def test_features_on_the_fly_are_those_that_project_cells_writes(panel, files, name, tmp_path):
    project_cells(str(panel), str(files[name]), str(tmp_path / f"{name}.npy"))
    projected, applied = opened(panel, tmp_path / f"{name}.npy"), opened(panel, files[name])
    rows = np.array([0, 30, 7, 7])
    ours, theirs = (data.cells(rows, with_truth=False).features(name) for data in (applied, projected))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == np.float32
    assert np.abs(ours).max() > 0


def test_a_label_s_vector_and_noise_hang_on_label_and_cell_alone(panel, files):
    operator = read_operator(files["label_lookup-0"], GENES)
    assert operator.rows == tuple(sorted(f"{d}:{name}" for d in "ab" for name in LABELS))
    labels, ids = ["a:HSC"] * 400 + ["a:GMP"], [f"x{i}" for i in range(401)]
    log1p = sp.csr_matrix((401, G), dtype=np.float32)
    found = cell_features(operator, log1p, ids, labels)
    assert found.shape == (401, 64)
    np.testing.assert_allclose(found[:400].mean(0), operator.matrix[operator.rows.index("a:HSC")], atol=0.1)
    assert found[:400].std(0).mean() == pytest.approx(0.5, rel=0.02)
    alone = cell_features(operator, log1p[:1], ids[-1:], labels[-1:])
    np.testing.assert_array_equal(alone[0], found[-1])
    other = read_operator(files["label_lookup-1"], GENES)
    assert not np.allclose(other.matrix, operator.matrix)
    fewer = Operator(operator.matrix[:1], operator.support, GENES, {**operator.meta, "labels": ["a:HSC"]})
    with pytest.raises(InputError, match=r"no row for \['a:GMP'\]"):
        cell_features(fewer, log1p, ids, labels)


def test_one_operator_is_held_and_opened_again_only_for_another(panel, files, monkeypatch):
    data, reads = opened(panel, *files.values()), []
    monkeypatch.setattr(
        "opbench.readouts.panel_data.read_operator",
        lambda path, genes: reads.append(path) or read_operator(path, genes),
    )
    cells = data.cells(np.arange(5), with_truth=False)
    first = cells.features("uniform")
    np.testing.assert_array_equal(cells.features("uniform"), first)
    np.testing.assert_array_equal(data.projection("uniform"), read_operator(files["uniform"]).matrix)
    assert len(reads) == 1
    cells.features("shuffle-0")
    np.testing.assert_array_equal(cells.features("uniform"), first)
    assert len(reads) == 3
    assert data.projection("token_bag") is None
    assert data.projection("label_lookup-0") is None
    with pytest.raises(InputError, match="'drift' was not projected"):
        cells.features("drift")


def test_digests_follow_what_an_operator_does_not_what_it_is_called(panel, files, tmp_path):
    data = opened(panel, *files.values())
    found = {name: data.features_digest(name) for name in files}
    assert len(set(found.values())) == len(files)
    assert "" not in found.values()
    assert data.features_digest("drift") == ""
    renamed = read_operator(files["uniform"])
    write_operator(Operator(renamed.matrix, renamed.support, GENES, {"arm": "pooled"}), tmp_path / "pooled.safetensors")
    ranked = Operator(renamed.matrix, renamed.support, GENES, {"arm": "pooled", "encoding": "rank"})
    write_operator(ranked, tmp_path / "ranked.safetensors")
    more = opened(panel, tmp_path / "pooled.safetensors", tmp_path / "ranked.safetensors")
    assert more.features_digest("pooled") == found["uniform"] != more.features_digest("ranked")


def test_an_operator_of_another_panel_is_refused(panel, files, tmp_path):
    held = read_operator(files["uniform"])
    write_operator(Operator(held.matrix, held.support, GENES[::-1], held.meta), tmp_path / "uniform.safetensors")
    with pytest.raises(InputError, match="its genes are not those of the panel"):
        opened(panel, tmp_path / "uniform.safetensors").cells(np.arange(3), with_truth=False).features("uniform")
    with pytest.raises(InputError, match="its genes are not those of the panel"):
        project_cells(str(panel), str(tmp_path / "uniform.safetensors"), str(tmp_path / "x.npy"))

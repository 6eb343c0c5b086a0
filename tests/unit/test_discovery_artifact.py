"""The artifact keeps what the benchmark fitted, and refuses files that are none of its own."""

import json
from dataclasses import replace

import artifact_toy
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from opbench.config.benchmark import Campaign
from opbench.discovery.artifact import HEADER, VERSION, read_artifact, write_artifact
from opbench.discovery.pack import PackFiles, fit_head, pack_artifact
from opbench.discovery.reduce import Reduced, hard_sparse, low_rank, reduce
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed
from opbench.io.store import Store
from opbench.io.tables import HEADS, write_table
from opbench.methods.interface import Output
from opbench.models.attention_file import AttentionSums, save_attention
from opbench.operators.operator import read_operator
from opbench.readouts.panel_data import open_panel
from opbench.readouts.scoring import Scorer, SplitTruth


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return artifact_toy.make(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="module")
def data(files):
    campaign = Campaign(panel="p", design="leave_one_donor_out", train="a", test="a", splits=1)
    return open_panel(str(files["panel"]), artifact_toy.ONTOLOGY, artifact_toy.config().endpoints, campaign)


@pytest.mark.parametrize("variant", ["full", "rank4", "sparse"])
def test_latents_and_scores_are_the_benchmarks_own(files, data, tmp_path, variant):
    config, operator = artifact_toy.config(), read_operator(files["drift"])
    inputs = PackFiles(str(files["panel"]), artifact_toy.ONTOLOGY, operator=str(files["drift"]))
    pack_artifact(config, "p", inputs, tmp_path / "a.safetensors", variant)
    artifact = read_artifact(tmp_path / "a.safetensors")
    reduced = reduce(operator.matrix, variant)
    expected = fit_head(config, data, reduced, derive_seed("artifact", "p", "a"), Store())
    z = artifact.folded.latent(data.log1p)
    np.testing.assert_allclose(z, expected.z, rtol=1e-5, atol=1e-5 * np.abs(z).max())
    rows = np.arange(len(z))
    scorer = Scorer(data, config.campaigns["c"], config.endpoints, 19)
    probed = scorer.probe([Output(representation=(expected.z, expected.z))], [SplitTruth(rows, rows, (), {})])[0]
    assert set(probed.scores) == {"branch", "stage", "mono"}
    for name, scores in probed.scores.items():
        mine = artifact.scores(z, name)
        mine = mine if scores.ndim == 2 else mine[:, 1]
        np.testing.assert_allclose(mine, scores, rtol=1e-5, atol=2e-5 * np.abs(scores).max())
    depth = artifact.scores(z, "supervised_pseudotime")[:, 0]
    np.testing.assert_allclose(depth, probed.depth, rtol=1e-5, atol=1e-5)


def test_the_file_says_what_it_was_made_from(files):
    artifact = read_artifact(files["artifact"])
    assert artifact.provenance["donors"] == [f"d{i}" for i in range(artifact_toy.DONORS)]
    assert artifact.provenance["variant"] == "full"
    assert artifact.provenance["operator"]["digest"] == read_operator(files["drift"]).digest
    assert artifact.readouts["mono"].classes == ("GMP|cDC", "Mono")
    assert artifact.ontology.labels["Mono"] == "Cl_Mono"
    assert ("HSC", "MPP") in artifact.ontology.edges
    assert artifact.genes[0] == "g39"
    assert artifact.ensembl[0] == "ENSG00000000039"
    assert artifact.min_coverage == 0.6


def test_equal_inputs_give_equal_bytes(files, tmp_path):
    again = artifact_toy.make(tmp_path)
    assert files["artifact"].read_bytes() == again["artifact"].read_bytes()


def test_compaction_makes_the_file_smaller(files, tmp_path):
    matrix = np.random.default_rng(0).normal(size=(300, 600)).astype(np.float32)
    sizes = [reduce(matrix, name).bytes_on_disk for name in ("full", "rank64", "rank8", "sparse")]
    assert sizes == sorted(sizes, reverse=True)
    held = hard_sparse(matrix)
    assert (held.left != 0).sum() + (held.right != 0).sum() == 1920
    assert (held.left != 0).sum(0).tolist() == [60] * 16
    assert held.bytes_on_disk < 1920 * 6 + 200
    restored = Reduced.from_arrays(held.arrays())
    assert restored.sparse
    np.testing.assert_array_equal(restored.matrix, held.matrix)


def test_low_rank_is_the_best_approximation():
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(50, 5)) @ rng.normal(size=(5, 80))).astype(np.float32)
    assert low_rank(matrix, 64).rank == 5  # no factors of rounding
    np.testing.assert_allclose(low_rank(matrix, 5).matrix, matrix, atol=1e-4)
    singular = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    error = np.linalg.norm(low_rank(matrix, 2).matrix - matrix)
    assert error == pytest.approx(np.sqrt((singular[2:] ** 2).sum()), rel=1e-4)
    assert low_rank(np.zeros((3, 4), np.float32), 2).matrix.shape == (3, 4)
    left = low_rank(matrix, 5).left
    assert (left[np.abs(left).argmax(0), range(5)] > 0).all()
    with pytest.raises(InputError, match="'rank0' is unknown"):
        reduce(matrix, "rank0")


def changed(path, out, tensors=None, **record):
    """A copy of the artifact with other header entries or tensors."""
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        held = json.loads(file.metadata()[HEADER])
    save_file(load_file(path) | (tensors or {}), out, metadata={HEADER: json.dumps(held | record)})
    return out


def test_foreign_torn_and_later_files_are_refused(files, tmp_path):
    path, other = files["artifact"], tmp_path / "other.safetensors"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:50], b"", b"\x80\x04pickle"):
        other.write_bytes(content)
        with pytest.raises(InputError, match="is no readable artifact"):
            read_artifact(other)
    with pytest.raises(InputError, match="but no opbench artifact"):
        read_artifact(files["drift"])
    with pytest.raises(InputError, match=f"format version {VERSION + 1}, later than {VERSION}; update opbench"):
        read_artifact(changed(path, other, version=VERSION + 1))
    for record, message in (
        ({"genes": ["g1"]}, "has an operator"),
        ({"genes": ["g1"] * artifact_toy.GENES}, "a gene twice"),
        ({"classes": {"branch": ["a"]}}, "instead of"),
        ({"ontology": {}}, "KeyError"),
        ({"provenance": 3}, "TypeError"),
    ):
        with pytest.raises(InputError, match=message):
            read_artifact(changed(path, other, **record))
    with pytest.raises(InputError, match="not float32 and finite"):
        read_artifact(changed(path, other, {"latent_mean": np.full(4, np.nan, np.float32)}))
    with pytest.raises(InputError, match="is no readable artifact"):
        read_artifact(tmp_path / "absent.safetensors")


def test_a_broken_artifact_is_not_written(files, tmp_path):
    artifact = read_artifact(files["artifact"])
    with pytest.raises(ValueError, match="for 3 genes"):
        write_artifact(replace(artifact, genes=("a", "b", "c")), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_operator_that_reads_no_expression_is_refused(files, tmp_path):
    from opbench.operators.operator import write_operator

    operator = read_operator(files["drift"])
    write_operator(replace(operator, meta={"encoding": "rank"}), tmp_path / "rank.safetensors")
    inputs = PackFiles(str(files["panel"]), artifact_toy.ONTOLOGY, operator=str(tmp_path / "rank.safetensors"))
    with pytest.raises(InputError, match="reads 'rank', not expression"):
        pack_artifact(artifact_toy.config(), "p", inputs, tmp_path / "a.safetensors")


@pytest.mark.parametrize(("chosen", "variant", "name"), [("L1H0", "rank4", "head-L1H0"), ("L1H0", "full", "drift"),
                                                         ("", "rank4", "drift")])  # fmt: skip
def test_the_head_that_the_scan_chose_is_reduced(files, data, tmp_path, chosen, variant, name):
    rng, n = np.random.default_rng(0), artifact_toy.GENES
    sums = rng.random((3, 1, n, n)).astype(np.float32)
    cotokenised = np.ones((n, n), np.int32)
    attention = AttentionSums(
        sums, cotokenised, np.diag(cotokenised).astype(np.int64), data.log1p[:2], ["a", "b"], list(data.genes)
    )
    save_attention(attention, tmp_path / "attention.safetensors")
    empty = {field.name: [0] * 3 if field.type != pa.string() else [""] * 3 for field in HEADS}
    heads = pd.DataFrame(empty).assign(head=["L0H0", "L1H0", "L2H0"], arm="real")
    heads["chosen"] = heads["head"] == chosen
    write_table(heads.astype({"draw": int}), tmp_path / "heads.parquet", HEADS)
    inputs = PackFiles(
        str(files["panel"]), artifact_toy.ONTOLOGY, str(tmp_path / "attention.safetensors"),
        str(tmp_path / "heads.parquet"),
    )  # fmt: skip
    pack_artifact(artifact_toy.config(), "p", inputs, tmp_path / "a.safetensors", variant)
    artifact = read_artifact(tmp_path / "a.safetensors")
    assert artifact.provenance["operator_name"] == name
    if name != "drift":
        np.testing.assert_allclose(artifact.operator.matrix, low_rank(sums[1, 0], 4).matrix)
    else:
        assert artifact.operator.shape == (n, 2 * n)

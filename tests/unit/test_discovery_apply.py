"""Any file's cells get the numbers that the benchmark's own code gives them, or one sentence that says why not."""

import subprocess
import sys
from pathlib import Path

import anndata
import artifact_toy
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from opbench.cli import main
from opbench.discovery import latent
from opbench.discovery.apply import annotate
from opbench.discovery.artifact import read_artifact
from opbench.panels import stream
from opbench.panels.panel import read_panel


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return artifact_toy.make(tmp_path_factory.mktemp("apply"))


@pytest.fixture(scope="module")
def artifact(files):
    return read_artifact(files["artifact"])


@pytest.fixture(scope="module")
def expected(files, artifact):
    """Latents of the panel's cells, in the order of the file."""
    return artifact.folded.latent(read_panel(files["panel"]).layers["log1p"])


def altered(path: Path, change, **write) -> Path:
    """A file of the toy's cells after `change`."""
    cells = artifact_toy.cells()
    cells = change(cells) or cells
    cells.write_h5ad(path, **write)
    return path


def apply(files, cells, out, *options) -> int:
    return main(["apply", str(files["artifact"]), str(cells), "-o", str(out), *options])


def as_layout(layout):
    def change(cells):
        cells.X = cells.X.toarray() if layout == "dense" else sp.csc_matrix(cells.X)

    return change


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_every_layout_gives_the_panels_latents(artifact, expected, tmp_path, monkeypatch, layout, compression):
    monkeypatch.setattr(stream, "BLOCK", 70)
    monkeypatch.setattr(stream, "PIECE", (70, 1 << 24))  # rows are cut between blocks
    monkeypatch.setattr(latent, "ELEMENTS", 500)
    change = as_layout(layout) if layout != "csr" else lambda cells: None
    path = altered(tmp_path / "x.h5ad", change, compression=compression)
    found = annotate(artifact, path)
    np.testing.assert_array_equal(found.z, expected)
    assert found.obs["opbench_genes_expressed"].sum() > 0


def test_a_dense_file_in_small_pieces(artifact, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 100)
    path = altered(tmp_path / "x.h5ad", as_layout("dense"))
    with h5py.File(path, "a") as file:
        values, attributes = file["X"][:], dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=values, chunks=(7, 9), compression="gzip").attrs.update(attributes)
    np.testing.assert_array_equal(annotate(artifact, path).z, expected)


def test_ensembl_ids_with_versions_and_in_any_column_are_found(artifact, expected, tmp_path):
    def ids_in_index(cells):
        cells.var = pd.DataFrame(index=cells.var["ids"].to_numpy())

    def symbols_in_column(cells):
        cells.var = pd.DataFrame({"feature_name": pd.Categorical(cells.var_names)}, index=[f"x{i}" for i in range(60)])

    for change, told in ((ids_in_index, "ensembl in index"), (symbols_in_column, "symbol in feature_name")):
        found = annotate(artifact, altered(tmp_path / "x.h5ad", change))
        assert found.coverage["matched_by"] == told
        np.testing.assert_array_equal(found.z, expected)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_columns_of_one_gene_are_summed_before_the_logarithm(artifact, expected, tmp_path, layout):
    def split(cells):
        """Half of the counts of each gene, rounded down, in a second column at the end."""
        half = np.floor(cells.X.toarray() / 2)
        both = np.hstack([cells.X.toarray() - half, half])
        out = anndata.AnnData(sp.csr_matrix(both), obs=cells.obs, var=pd.concat([cells.var, cells.var]))
        if layout != "csr":
            as_layout(layout)(out)
        return out

    found = annotate(artifact, altered(tmp_path / "x.h5ad", split))
    assert found.coverage["genes_in_several_columns"] == artifact_toy.GENES
    np.testing.assert_array_equal(found.z, expected)


def test_raw_counts_and_repeated_cell_names(artifact, expected, tmp_path):
    def raw(cells):
        cells.raw = cells.copy()
        cells.X = cells.X.log1p()
        cells.obs.index = ["one"] * len(cells)
        return cells[:, ::-1].copy()

    found = annotate(artifact, altered(tmp_path / "x.h5ad", raw), counts="raw/X")
    np.testing.assert_array_equal(found.z, expected)
    assert len(found.obs) == len(expected)


def test_a_zarr_folder_is_read(files, artifact, expected, tmp_path, capsys):
    cells = artifact_toy.cells()
    cells.write_zarr(tmp_path / "x.zarr")
    np.testing.assert_array_equal(annotate(artifact, tmp_path / "x.zarr").z, expected)
    assert apply(files, tmp_path / "x.zarr", tmp_path / "out.h5ad", "--keep-matrix") == 1
    assert "zarr folder, of which --keep-matrix copies nothing" in capsys.readouterr().err


def test_missing_genes_read_as_zero_and_are_reported(artifact, files, tmp_path, capsys):
    path = altered(tmp_path / "x.h5ad", lambda cells: cells[:, [f"g{i}" for i in range(30, 60)]].copy())
    found = annotate(artifact, path)
    assert found.coverage["genes_found"] == 10
    assert found.coverage["missing"].tolist() == [f"g{i}" for i in range(29, -1, -1)]
    assert apply(files, path, tmp_path / "out.h5ad") == 1
    assert "names 25.0% of the artifact's genes in 'index', less than 60.0%" in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()
    assert apply(files, path, tmp_path / "out.h5ad", "--min-coverage", "0.2") == 0
    assert "10 of 40 genes found by symbol in index" in capsys.readouterr().out


def test_genes_that_the_operator_reads_count_for_coverage(artifact, tmp_path):
    """The gene of row 5, which it does not read, is g34."""
    assert np.flatnonzero(~artifact.support).tolist() == [5]
    kept = [f"g{i}" for i in range(60) if i != 34]
    found = annotate(artifact, altered(tmp_path / "x.h5ad", lambda cells: cells[:, kept].copy()), least=0.99 * 39 / 40)
    assert found.coverage["share"] == 39 / 40
    assert found.coverage["share_of_genes_read"] == 1


def test_values_that_are_no_counts_are_refused_and_the_layer_named(files, tmp_path, capsys, expected):
    def normalised(cells):
        cells.layers["umis"] = cells.X.copy()
        cells.X = cells.X.log1p()

    path = altered(tmp_path / "x.h5ad", normalised)
    assert apply(files, path, tmp_path / "out.h5ad") == 1
    error = capsys.readouterr().err
    assert "no count" in error
    assert "'layers/umis', where integer counts are" in error
    assert apply(files, path, tmp_path / "out.h5ad", "--counts", "layers/umis") == 0
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_opbench"], expected)

    def late(cells):
        cells.X[-1, -1] = 0.5

    # A fraction beyond the first values, in a gene that the artifact does not know, is found as well.
    assert apply(files, altered(path, late), tmp_path / "late.h5ad") == 1
    assert "holds 0.5, which is no count" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--counts", "layers/none"], "'layers/none' is not in the file; name one of \\['X'\\]"),
        (["--counts", "Y"], "'Y' is no matrix name"),
        (["--gene-column", "idz"], "did you mean 'ids'"),
        (["--min-coverage", "60"], "is no share"),
    ],
)
def test_wrong_options_are_one_sentence(files, tmp_path, capsys, options, message):
    import re

    assert apply(files, files["cells"], tmp_path / "out.h5ad", *options) == 1
    assert re.search(message, capsys.readouterr().err)


def test_the_file_is_not_written_over_its_cells(files, capsys):
    before = files["cells"].read_bytes()
    assert apply(files, files["cells"], files["cells"]) == 1
    assert files["cells"].read_bytes() == before


def test_cells_without_counts_have_no_annotation(artifact, tmp_path):
    def emptied(cells):
        cells.X[3] = 0
        cells.X[len(cells.obs) - 1] = 0
        cells.X.eliminate_zeros()

    for layout in ("csr", "csc"):

        def change(cells, layout=layout):
            emptied(cells)
            if layout == "csc":
                as_layout(layout)(cells)

        found = annotate(artifact, altered(tmp_path / "x.h5ad", change))
        empty = np.isnan(found.z).any(1)
        assert np.flatnonzero(empty).tolist() == [3, len(empty) - 1]
        assert found.obs["opbench_branch"].isna().to_numpy().tolist() == empty.tolist()
        assert found.obs["opbench_stage"].isna().to_numpy().tolist() == empty.tolist()
        assert found.coverage["empty_cells"] == 2


def test_the_annotation_is_read_back_and_right_for_most_cells(files, artifact, tmp_path, expected):
    assert apply(files, files["cells"], tmp_path / "out.h5ad", "--keep-matrix") == 0
    out, cells = anndata.read_h5ad(tmp_path / "out.h5ad"), artifact_toy.cells()
    assert (out.X != cells.X).nnz == 0
    assert out.obs["donor"].tolist() == cells.obs["donor"].tolist()
    truth = cells.obs["label"].to_numpy()
    called = out.obs["opbench_label"].astype(str).to_numpy()
    assert (called == truth).mean() > 0.5  # of six
    stage = {label: stages for label, (stages, _, _) in artifact_toy.STAGES.items()}
    assert out.obs["opbench_stage"].astype(str).tolist() == [stage[name] for name in called]
    scores = artifact.scores(expected, "branch")
    classes = np.array(artifact.readouts["branch"].classes)
    assert out.obs["opbench_branch"].astype(str).tolist() == classes[scores.argmax(1)].tolist()
    assert out.obs["opbench_mono"][truth == "Mono"].mean() > 0 > out.obs["opbench_mono"][truth == "cDC"].mean()
    assert np.corrcoef(out.obs["opbench_supervised_pseudotime"], [artifact_toy.STAGES[t][2] for t in truth])[0, 1] > 0.3
    assert out.uns["opbench"]["coverage"]["share"] == 1
    assert out.uns["opbench"]["task_classes"]["mono"].tolist() == ["GMP|cDC", "Mono"]
    assert '"donors": ["d0"' in out.uns["opbench"]["provenance"]


def test_the_result_plots_in_scanpy(files, tmp_path):
    import matplotlib as mpl

    mpl.use("Agg")
    import scanpy as sc

    assert apply(files, files["cells"], tmp_path / "out.h5ad") == 0
    out = anndata.read_h5ad(tmp_path / "out.h5ad")
    axes = sc.pl.embedding(out, "opbench", color=["opbench_branch", "opbench_supervised_pseudotime"], show=False)
    assert [len(axis.collections[0].get_offsets()) for axis in axes] == [out.n_obs] * 2


def test_applying_needs_none_of_the_training_libraries(files, tmp_path):
    code = (
        "import sys; from opbench.cli import main; code = main(sys.argv[1:]); "
        "print(sorted({'torch', 'scanpy', 'sklearn', 'matplotlib'} & set(sys.modules))); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "apply", str(files["artifact"]), str(files["cells"]), "-o"]
    done = subprocess.run([*command, str(tmp_path / "out.h5ad")], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""Vocabulary, pre-training and description of small models on a corpus with learnable structure."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from opbench.config.model import Pretraining
from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.io.tables import GENES, write_table
from opbench.models.checkpoint import read_checkpoint, tensor_shapes, write_checkpoint
from opbench.models.corpus import is_validation, read_corpus
from opbench.models.describe import describe_model
from opbench.models.masked import corpus_bins, gene_mean_bins, masked_cells
from opbench.models.pretrain import pretrain
from opbench.models.transformer import ScGPT
from opbench.models.vocabulary import build_vocabulary, read_gene_list

GENE_NAMES = [f"G{i}" for i in range(40)]
RECIPE = Pretraining(
    layers=3, heads=2, width=16, feedforward=16, epochs=10, batch_tokens=500, learning_rate=5e-3, max_length=41
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two cell types whose genes swap places: a model can beat the gene mean, the gene mean cannot."""
    folder = tmp_path_factory.mktemp("pretrain")
    rng = keyed_rng("pretrain-test")
    kind = rng.random(400) < 0.5
    rate = np.where(kind[:, None], np.geomspace(1, 60, 40), np.geomspace(60, 1, 40))
    counts = csr_matrix(rng.poisson(rate).astype(np.int32))
    library = np.asarray(counts.sum(1)).ravel().astype(float)
    obs = pd.DataFrame({"donor": "d", "library_size": library}, index=[f"set:cell{i}" for i in range(400)])
    anndata.AnnData(counts, obs, pd.DataFrame(index=GENE_NAMES)).write_h5ad(folder / "corpus.h5ad")
    vocab = {gene: index for index, gene in enumerate([*GENE_NAMES, "unseen", "<pad>", "<cls>", "<eoc>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    pretrain(folder / "corpus.h5ad", folder / "vocab.json", RECIPE, folder / "model")
    return folder


def test_a_trained_model_beats_the_gene_mean_and_a_fresh_one_does_not(workdir):
    describe_model(workdir / "model", workdir / "corpus.h5ad", "small", 0, workdir / "small.json")
    small = json.loads((workdir / "small.json").read_text())
    assert small["learnt"]
    assert small["relative_improvement"] > 0.3
    assert small["tie_noise_floor"] < small["masked_mse"] < small["gene_mean_mse"]
    assert not small["published"]
    assert small["vocabulary_size"] == 41
    assert small["validation_cells"] == is_validation(np.array([f"set:cell{i}" for i in range(400)])).sum()
    trained = read_checkpoint(workdir / "model")
    fresh = ScGPT(trained.args, 44).initialise(1)
    write_checkpoint(workdir / "fresh", trained.args, trained.vocab, fresh.state_dict())
    describe_model(workdir / "fresh", workdir / "corpus.h5ad", "fresh", 0, workdir / "fresh.json")
    record = json.loads((workdir / "fresh.json").read_text())
    assert not record["learnt"]
    assert "untrained" in record["verdict"]
    assert record["gene_mean_mse"] == small["gene_mean_mse"]


def test_pretraining_is_released_format_and_repeats_its_bytes(workdir):
    short = RECIPE.model_copy(update={"epochs": 1})
    for name in ("a", "b"):
        pretrain(workdir / "corpus.h5ad", workdir / "vocab.json", short, workdir / name)
    weights = [(workdir / name / "best_model.pt").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]
    checkpoint = read_checkpoint(workdir / "a")
    assert set(checkpoint.state) == set(tensor_shapes(checkpoint.args, 44))
    recipe = json.loads((workdir / "a" / "recipe.json").read_text())
    assert recipe["model_digest"] == checkpoint.digest
    assert recipe["training_cells"] + recipe["validation_cells"] == 400


def test_validation_cells_are_never_trained_on(workdir):
    corpus = read_corpus(workdir / "corpus.h5ad")
    held_out = is_validation(corpus.cell_ids)
    assert 20 < held_out.sum() < 70
    adata = anndata.read_h5ad(workdir / "corpus.h5ad")
    changed = adata.X.toarray()
    changed[held_out] = 1
    adata.X = csr_matrix(changed)
    adata.write_h5ad(workdir / "changed.h5ad")
    short = RECIPE.model_copy(update={"epochs": 1})
    for name, file in (("c", "corpus.h5ad"), ("d", "changed.h5ad")):
        pretrain(workdir / file, workdir / "vocab.json", short, workdir / name)
    assert read_checkpoint(workdir / "c").digest == read_checkpoint(workdir / "d").digest


def test_masked_cells_have_cls_bins_in_range_and_the_asked_share(workdir):
    bins = corpus_bins(read_corpus(workdir / "corpus.h5ad"), 51)
    cells = masked_cells(bins, 25, 0.4, keyed_rng("mask"))
    table = cells.table
    starts = table.indptr[:-1]
    assert (table.columns[starts] == -1).all()
    assert (table.values[starts] == -2).all()
    assert not cells.mask[starts].any()
    assert table.lengths.max() == 25
    genes = table.columns >= 0
    assert genes.sum() == len(genes) - len(starts)
    assert abs(cells.mask[genes].mean() - 0.4) < 0.02
    for row in range(0, 400, 37):
        span = slice(table.indptr[row] + 1, table.indptr[row + 1])
        source = slice(bins.indptr[row], bins.indptr[row + 1])
        position = np.searchsorted(bins.columns[source], table.columns[span])
        assert np.array_equal(bins.columns[source][position], table.columns[span])
        assert (table.values[span] >= bins.low[source][position]).all()
        assert (table.values[span] <= bins.high[source][position]).all()
        width = bins.high[source][position] - bins.low[source][position] + 1.0
        assert np.allclose(cells.tie_variance[span], (width**2 - 1) / 12)


def test_gene_means_are_over_non_zero_cells():
    from opbench.models.masked import BinRanges

    bins = BinRanges(np.array([0, 2, 3]), np.array([0, 2, 0]), np.array([1, 3, 5]), np.array([2, 3, 5]))
    assert gene_mean_bins(bins, 3).tolist() == [3.25, pytest.approx(9.5 / 3), 3.0]


TABLES = {
    "pairs.tsv": "MYC\tTP53\tActivation\t1;2\nTP53\tCDKN1A\tUnknown\t3\n",
    "panglao.tsv": (
        "species\tofficial gene symbol\tcell type\torgan\n"
        "Mm Hs\tCD3E\tT\tImmune system\nMm\tCd4\tT\tBlood\nHs\tALB\tHep\tLiver\nHs\tSP7\tOst\tBone\n"
    ),
    "cellmarker.csv": 'Tissue,CT,Gene\nBlood,B,"CD19, MS4A1"\nBrain,N,RBFOX3\nBone marrow,H,CD34\n',
    "named.csv": "gene,sv1\nHIF3A,0.1\nGATA1,0.2\n",
    "plain.txt": "KIT\nNA\n\nKIT\n",
}
FOUND = {
    "pairs.tsv": ["MYC", "TP53", "CDKN1A"],
    "panglao.tsv": ["CD3E", "SP7"],
    "cellmarker.csv": ["CD19", "MS4A1", "CD34"],
    "named.csv": ["HIF3A", "GATA1"],
    "plain.txt": ["KIT", "NA"],
}


@pytest.mark.parametrize("name", TABLES)
def test_gene_tables_are_told_apart(name, tmp_path):
    (tmp_path / name).write_text(TABLES[name])
    assert read_gene_list(tmp_path / name) == FOUND[name]


def test_unknown_gene_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no known gene table"):
        read_gene_list(tmp_path / "x.csv")


def test_vocabulary_keeps_panels_first_within_universe_and_cap(tmp_path):
    for name, genes in (("p", ["B", "A", "OUT"]), ("q", ["A", "C"])):
        frame = pd.DataFrame({"gene": genes, "rank": range(len(genes)), "score": 0.0, "source": "test"})
        write_table(frame.iloc[::-1], tmp_path / f"{name}.parquet", GENES)
    (tmp_path / "extra.txt").write_text("A\nE\nD\n")
    universe = {gene: index for index, gene in enumerate("ABCDE")}
    (tmp_path / "universe.json").write_text(json.dumps(universe))
    panels = [tmp_path / "p.parquet", tmp_path / "q.parquet"]
    build_vocabulary(panels, [tmp_path / "extra.txt"], tmp_path / "universe.json", 4, tmp_path / "v.json")
    vocab = json.loads((tmp_path / "v.json").read_text())
    assert list(vocab) == ["B", "A", "C", "E", "<pad>", "<cls>", "<eoc>"]
    assert list(vocab.values()) == list(range(7))
    with pytest.raises(InputError, match="panels hold 3 genes"):
        build_vocabulary(panels, [], tmp_path / "universe.json", 2, tmp_path / "v.json")

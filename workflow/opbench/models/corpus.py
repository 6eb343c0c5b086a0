"""Corpus cells over a model's vocabulary, and the cells that validate masked-value prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from opbench.io.errors import InputError
from opbench.io.provenance import sha256_of
from opbench.io.seeds import derive_seed
from opbench.models.coverage import naming
from opbench.panels.build import log1p_cp10k
from opbench.panels.reading import open_h5ad

#: One cell in so many validates; the rest train.
VALIDATION_SHARE = 10


@dataclass(frozen=True)
class Corpus:
    """n corpus cells over `genes`: `log1p` (n, G) float32 log1p(CP10k) of the full library."""

    path: Path
    cell_ids: NDArray[np.str_]
    genes: list[str]
    log1p: csr_matrix

    def take(self, rows: NDArray) -> "Corpus":
        """The same corpus with the cells `rows` alone, in that order."""
        return Corpus(self.path, self.cell_ids[rows], self.genes, self.log1p[rows])

    @property
    def digest(self) -> str:
        """The sha256 of the file."""
        return sha256_of(self.path)


def read_corpus(corpus_h5ad: str | Path, genes: list[str] | None = None) -> Corpus:
    """Read a corpus file (X counts, obs library_size), over `genes` in their order when given.

    Genes that the file lacks become empty columns; normalisation uses the full library in `obs`.
    """
    import anndata

    with open_h5ad(corpus_h5ad):
        pass
    adata = anndata.read_h5ad(corpus_h5ad)
    if "library_size" not in adata.obs or not (adata.obs["library_size"] > 0).all():
        raise InputError(f"{corpus_h5ad}: obs column 'library_size' is missing or not positive; rebuild it.")
    log1p = log1p_cp10k(csr_matrix(adata.X), adata.obs["library_size"].to_numpy(np.float64))
    held = adata.var_names.astype(str).tolist()
    if genes is not None:
        log1p = _columns(log1p, held, genes)
    log1p.eliminate_zeros()
    log1p.sort_indices()
    return Corpus(Path(corpus_h5ad), adata.obs_names.to_numpy(dtype=str), genes or held, log1p)


def known_corpus(corpus_h5ad: str | Path, vocab: Mapping[str, int]) -> tuple[Corpus, NDArray[np.int64]]:
    """The corpus over the genes that `vocab` knows, and their ids; none known is an InputError."""
    corpus = read_corpus(corpus_h5ad)
    known = np.array([index for index, gene in enumerate(corpus.genes) if gene in vocab], dtype=np.int64)
    if not len(known):
        raise InputError(f"{corpus_h5ad}: the model knows none of its genes; {naming(corpus.genes, vocab)}.")
    genes = [corpus.genes[index] for index in known]
    corpus = Corpus(corpus.path, corpus.cell_ids, genes, corpus.log1p[:, known])
    corpus.log1p.sort_indices()
    return corpus, np.array([vocab[gene] for gene in genes], dtype=np.int64)


def is_validation(cell_ids: NDArray[np.str_]) -> NDArray[np.bool_]:
    """A fixed tenth of the cells, by a hash of the cell id alone; `pretrain` never trains on them (others may have)."""
    return np.array([derive_seed("validation", cell) % VALIDATION_SHARE == 0 for cell in cell_ids], dtype=bool)


def _columns(matrix: csr_matrix, held: list[str], wanted: list[str]) -> csr_matrix:
    position = {gene: index for index, gene in enumerate(wanted)}
    target = np.array([position.get(gene, -1) for gene in held], dtype=np.int64)
    moved = matrix.tocoo()
    columns = target[moved.col]
    kept = columns >= 0
    parts = (moved.data[kept], (moved.row[kept], columns[kept]))
    return csr_matrix(parts, shape=(matrix.shape[0], len(wanted)))

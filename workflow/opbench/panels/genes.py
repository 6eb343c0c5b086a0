"""Fixed gene lists of panels; the benchmarked cells never take part in choosing them."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.config.data import Dataset, Panel
from opbench.io.errors import InputError
from opbench.io.tables import CELLS, GENES, read_table, write_table
from opbench.panels.reading import read_counts, read_genes, read_vocabulary

log = logging.getLogger("opbench.panels")

#: A dataset's file, its configuration and its CELLS table.
Source = tuple[str | Path, Dataset, str | Path]


def select_genes(
    panel_name: str,
    panel: Panel,
    sources: dict[str, Source],
    vocabulary: str | Path | None,
    output: str | Path,
) -> None:
    """Write the GENES table of a panel: its list in rank order.

    `hvg`: the n genes of highest normalised variance (seurat_v3; Stuart et al. 2019, Cell 177:1888) in the
    corpus cells of `genes.corpus`, ties by symbol, among the genes of the vocabulary. `shared`: all genes
    common to the panel's datasets and the vocabulary, alphabetically. `file`: the list as given.
    Raises InputError when there are fewer genes than asked for.
    """
    known = None if vocabulary is None else set(read_vocabulary(vocabulary))
    if panel.genes.kind == "hvg":
        frame = _variable(panel_name, panel, sources, known)
    elif panel.genes.kind == "shared":
        frame = _shared(panel_name, panel, sources, known)
    else:
        frame = listed_genes(panel, known, vocabulary)
    frame.insert(1, "rank", np.arange(len(frame)))
    write_table(frame, output, GENES)
    log.info("panel %s: %d genes (%s)", panel_name, len(frame), panel.genes.kind)


def _variable(name: str, panel: Panel, sources: dict[str, Source], known: set[str] | None) -> pd.DataFrame:
    corpus = str(panel.genes.corpus)
    path, dataset, cells_path = sources[corpus]
    cells = read_table(cells_path, CELLS)
    rows = cells["row"].to_numpy()[cells["role"] == "corpus"]
    if not len(rows):
        raise InputError(
            f"panels.{name}.genes: dataset '{corpus}' has no corpus cells to rank genes by; "
            f"set datasets.{corpus}.corpus."
        )
    # Alphabetical columns make the stable sort below break ties by symbol. All genes enter the variance trend, so
    # that a gene's rank does not depend on which other genes a model happens to know.
    genes = np.array(sorted(set(read_genes(path, dataset))))
    score = hvg_scores(read_counts(path, dataset, rows, list(genes)))
    if known is not None:
        kept = np.isin(genes, list(known))
        genes, score = genes[kept], score[kept]
    wanted = panel.genes.n
    if (usable := int((score > 0).sum())) < wanted:
        raise InputError(
            f"panels.{name}.genes.n: asks for {wanted} genes but only {usable} that the model knows vary in "
            f"the corpus of '{corpus}'; lower n."
        )
    order = np.argsort(-score, kind="stable")[:wanted]
    return pd.DataFrame({"gene": genes[order], "score": score[order], "source": f"hvg:{corpus}"})


def hvg_scores(counts: csr_matrix) -> np.ndarray:
    """Return (genes,) normalised variances of the seurat_v3 flavour; constant genes score 0."""
    import scanpy
    from anndata import AnnData

    varies = np.flatnonzero(np.asarray(counts.max(axis=0).todense()).ravel() > 0)
    adata = AnnData(counts[:, varies].astype(np.float32))
    try:
        table = scanpy.pp.highly_variable_genes(
            adata, flavor="seurat_v3", n_top_genes=len(varies), inplace=False, check_values=False
        )
    except ValueError as error:  # the loess fit needs more cells and genes than there are
        raise InputError(f"gene selection: the variance trend cannot be fitted ({error}); use more cells.") from error
    score = np.zeros(counts.shape[1])
    score[varies] = table["variances_norm"].to_numpy()
    return np.nan_to_num(score)


def _shared(name: str, panel: Panel, sources: dict[str, Source], known: set[str] | None) -> pd.DataFrame:
    common = set.intersection(*(set(read_genes(*sources[key][:2])) for key in panel.datasets))
    genes = sorted(common if known is None else common & known)
    if not genes:
        raise InputError(
            f"panels.{name}.genes: the datasets {panel.datasets} and the model share no gene; "
            "check that all 'columns.gene' give symbols."
        )
    return pd.DataFrame({"gene": genes, "score": np.nan, "source": "shared"})


def listed_genes(panel: Panel, known: set[str] | None, vocabulary: str | Path | None) -> pd.DataFrame:
    """Return the GENES of a list of kind `file`; InputError when it is unreadable or repeats or invents a gene."""
    path = Path(str(panel.genes.file))
    try:
        genes = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: is not a readable gene list ({error}); check the path.") from error
    if not genes:
        raise InputError(f"{path}: lists no gene; give one symbol a line.")
    if repeated := pd.Series(genes)[pd.Series(genes).duplicated()].tolist():
        raise InputError(f"{path}: gene '{repeated[0]}' is listed twice; keep one line.")
    if known is not None and (unknown := [gene for gene in genes if gene not in known]):
        raise InputError(
            f"{path}: {len(unknown)} genes, '{unknown[0]}' the first, are not in {vocabulary}; remove them."
        )
    return pd.DataFrame({"gene": genes, "score": np.nan, "source": f"file:{path.name}"})

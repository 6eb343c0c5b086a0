"""Data files, label maps, gene lists and knowledge tables that must be refused."""

import copy
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import yaml
from anndata import AnnData
from case import Case

from opbench.config import parse_config
from opbench.config.data import Dataset, Panel
from opbench.geometry.knowledge import read_gene_sets
from opbench.geometry.study import read_knowledge
from opbench.panels.build import build_panel
from opbench.panels.cells import select_cells
from opbench.panels.genes import select_genes

TINY = yaml.safe_load((Path(__file__).parents[1] / "workflow" / "tiny.yaml").read_text())
ONTOLOGY = Path(__file__).parents[2] / "resources" / "ontology"
LABELS = "label\tstages\nT\tNaive_CD4\nNK\tNK\n"
Edit = Callable[[AnnData], object]


def cohort() -> AnnData:
    """120 cells of 4 donors and 2 types x 60 genes; half of the cells are corpus."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"donor": [f"D{i % 4}" for i in range(120)], "cell_type": ["T", "NK"] * 60,
                        "part": ["e"] * 60 + ["c"] * 60}, index=[f"c{i}" for i in range(120)])  # fmt: skip
    counts = sp.csr_matrix(rng.poisson(rng.gamma(0.5, 3, 60), (120, 60)).astype(np.float32))
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{i}" for i in range(60)]))


def knowing(content: str, **fields: object) -> Callable[[Path], object]:
    """Read a table of regulatory edges with this text, its entry with these fields."""

    def meet(folder: Path) -> object:
        (folder / "edges.tsv").write_text(content)
        raw = copy.deepcopy(TINY)
        raw["knowledge"]["regulation"] |= {"path": str(folder / "edges.tsv")} | fields
        return read_knowledge(parse_config(raw), "edges", folder / "edges.tsv")

    return meet


def knowing_sets(content: str) -> Callable[[Path], object]:
    """Read a file of gene sets with this text."""

    def meet(folder: Path) -> object:
        (folder / "sets.gmt").write_text(content)
        return read_gene_sets(folder / "sets.gmt")

    return meet


def met(edit: Edit | None = None, harm: Callable[[Path], object] | None = None, map_text: str = LABELS,
        genes: dict | None = None, known: str | None = None, listed: str | None = None, **fields: object):  # fmt: skip
    """Write the cohort after `edit`, `harm` the file, and run what a panel needs with these dataset fields."""

    def meet(folder: Path) -> None:
        adata, path = cohort(), folder / "my cells; 'a'.h5ad"
        if edit:
            edit(adata)
        adata.write_h5ad(path)
        if harm:
            harm(path)
        (folder / "map.tsv").write_text(map_text)
        (folder / "genes.txt").write_text(listed or "")
        (folder / "vocab.json").write_text(known or "{}")
        columns = {"tissue": None, "condition": None} | dict(fields.pop("columns", {}))  # type: ignore[arg-type]
        entry = {"path": str(path), "labels": str(folder / "map.tsv"), "evaluation": "part == 'e'",
                 "corpus": "part == 'c'", "columns": columns} | fields  # fmt: skip
        dataset = Dataset.model_validate(entry)
        cells = folder / "cells.parquet"
        select_cells("mine", path, dataset, ONTOLOGY, cells)
        chosen = genes or {"kind": "hvg", "n": 20, "corpus": "mine"}
        if chosen["kind"] == "file":
            chosen = chosen | {"file": str(folder / "genes.txt")}
        panel = Panel.model_validate({"datasets": ["mine"], "genes": chosen})
        sources = {"mine": (path, dataset, cells)}
        vocabulary = folder / "vocab.json" if known is not None else None
        select_genes("p", panel, sources, vocabulary, folder / "genes.parquet")
        build_panel("p", panel, sources, folder / "genes.parquet", folder / "panel.h5ad")

    return meet


def values(change: Callable[[np.ndarray], object]) -> Edit:
    """An edit of the stored counts."""
    return lambda adata: change(adata.X.data)


def column(name: str, new: object) -> Edit:
    """An edit of an obs column."""
    return lambda adata: adata.obs.__setitem__(name, new)


def cut(path: Path) -> None:
    """Truncate the file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def inside(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    """Damage the file's content."""

    def harm(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return harm


def set_values(key: str, at: int, value: float) -> Callable[[Path], None]:
    """Overwrite one number of a dataset."""
    return inside(lambda file: file[key].__setitem__(at, value))


def link_out(file: h5py.File) -> None:
    """Let the matrix's values point to another file."""
    del file["X/data"]
    file["X/data"] = h5py.ExternalLink("/etc/passwd", "/data")


FILE = "my cells; 'a'.h5ad"
LISTED = {"kind": "file"}
DATA = [
    Case("a truncated h5ad", met(harm=cut), (FILE, "readable")),
    Case("a text file named h5ad", met(harm=lambda path: path.write_text("cells")), (FILE, "readable")),
    Case("a fractional count", met(values(lambda v: v.__setitem__(3, 2.5))), (FILE, "X", "2.5", "counts")),
    Case("a negative count", met(values(lambda v: v.__setitem__(3, -1))), (FILE, "X", "-1", "counts")),
    Case("a count that is NaN", met(values(lambda v: v.__setitem__(3, np.nan))), (FILE, "X", "nan", "counts")),
    Case("an infinite count", met(values(lambda v: v.__setitem__(3, np.inf))), (FILE, "X", "inf", "counts")),
    Case("log-normalised values given as counts", met(lambda a: setattr(a, "X", a.X.log1p())), (FILE, "X", "log", "counts")),
    Case("a matrix that is not there", met(counts="layers/raw"), (FILE, "layers/raw")),
    Case("a matrix name that is none", met(counts="Y"), (FILE, "'Y'", "layers/NAME")),
    Case("raw/X without raw", met(counts="raw/X"), (FILE, "raw/X")),
    Case("a missing donor column", met(columns={"donor": "patient"}), (FILE, "'patient'", "columns.donor")),
    Case("a missing label column", met(columns={"cell_type": "celltype"}), (FILE, "'celltype'", "'cell_type'")),
    Case("a missing gene column", met(columns={"gene": "symbol"}), (FILE, "'symbol'", "columns.gene")),
    Case("duplicated cell ids", met(lambda a: setattr(a, "obs_names", ["c0", "c0", *a.obs_names[2:]])), (FILE, "'c0'", "twice")),
    Case("duplicated genes that are an error", met(lambda a: setattr(a, "var_names", ["G", "G", *a.var_names[2:]]), duplicates="error"),
         (FILE, "'G'", "duplicates")),
    Case("Ensembl ids without a table", met(lambda a: setattr(a, "var_names", [f"ENSG{i:011d}" for i in range(60)])),
         (FILE, "Ensembl", "symbols")),
    Case("a label that the map lacks", met(column("cell_type", ["T", "B cell; 'x'"] * 60)), ("map.tsv", "B cell; 'x'", "add")),
    Case("a label map without its columns", met(map_text="type\tstage\nT\tNK\n"), ("map.tsv", "label")),
    Case("a label mapped to an unknown stage", met(map_text="label\tstages\nT\tNaive\nNK\tNK\n"), ("map.tsv", "Naive")),
    Case("a label mapped to two branches", met(map_text="label\tstages\nT\tHSC|NK\nNK\tNK\n"), ("map.tsv", "branch")),
    Case("a label listed twice", met(map_text="label\tstages\nT\tNK\nT\tNK\nNK\tNK\n"), ("map.tsv", "'T'")),
    Case("a missing label map", met(labels="nowhere/map.tsv"), ("nowhere/map.tsv",)),
    Case("a filter that keeps nothing", met(evaluation="part == 'zz'"), (FILE, "evaluation", "keeps no cell")),
    Case("one donor", met(column("donor", "D0")), (FILE, "1 donor", "'donor'")),
    Case("a cell without donor", met(column("donor", [None, *["D1", "D2", "D3"] * 39, "D1", "D2"])), (FILE, "'c0'", "donor")),
    Case("a filter that is no expression", met(evaluation="part = = 'e'"), (FILE, "evaluation", "part = = 'e'")),
    Case("a filter on a missing column", met(corpus="cohort == 'c'"), (FILE, "corpus", "cohort")),
    Case("a filter that is no condition", met(evaluation="part"), (FILE, "evaluation", "true or false")),
    Case("a filter that calls code", met(evaluation="@__import__('os').system('true')"), (FILE, "evaluation")),
    Case("filters that share cells", met(corpus="part in ['c', 'e']"), (FILE, "corpus", "evaluation")),
    Case("a benchmarked cell without counts", met(lambda a: a.X.data.__setitem__(slice(0, a.X.indptr[1]), 0)), (FILE, "'c0'", "no counts")),
    Case("a gene index beyond the columns", met(harm=set_values("X/indices", 5, 99)), (FILE, "X")),
    Case("row pointers that go back", met(harm=set_values("X/indptr", 5, 10**6)), (FILE, "X")),
    Case("fewer cells in obs than rows", met(harm=inside(lambda f: f["X"].attrs.__setitem__("shape", [130, 60]))), (FILE, "X")),
    Case("a link to another file", met(harm=inside(link_out)), (FILE, "X/data", "/etc/passwd")),
    Case("a wrong sha256", met(sha256="0" * 64), (FILE, "sha256", "0000")),
    Case("a knowledge table with a wrong sha256", knowing("PAX5\tCD19\tActivation\t1\n", sha256="0" * 64),
         ("edges.tsv", "sha256", "0000")),
    Case("a table of regulatory edges that is cut off", knowing("PAX5\tCD19\tActivation\t1\nPAX5\tBLK\tActi"),
         ("edges.tsv", "line 2", "3 of 4", "fetch it again")),
    Case("gene sets that hold no symbols", knowing_sets("PAX5\tCD19\tActivation\t1014\nPAX5\tBLK\tActivation\t7;9\n"),
         ("sets.gmt", "no gene symbols", "'1", "by symbol")),
    Case("a regulatory edge of no sign", knowing("PAX5\tCD19\tUp\t1\n"), ("edges.tsv", "column 3", "'Up'", "TRRUST")),
    Case("more genes than vary", met(genes={"kind": "hvg", "n": 500, "corpus": "mine"}), ("panels.p.genes.n", "500", "lower")),
    Case("no corpus cells to rank genes", met(corpus=None), ("corpus", "datasets.mine.corpus")),
    Case("a vocabulary that knows no gene", met(genes={"kind": "shared"}, known='{"<pad>": 0, "<cls>": 1, "XYZ": 2}'), ("share no gene", "symbol")),
    Case("a vocabulary that is no JSON", met(genes={"kind": "shared"}, known="{GENE1: 0"), ("vocab.json",)),
    Case("an empty gene list", met(genes=LISTED), ("genes.txt", "no gene")),
    Case("a gene listed twice", met(genes=LISTED, listed="GENE1\nGENE2\nGENE1\n"), ("genes.txt", "'GENE1'", "twice")),
    Case("a listed gene that the model lacks", met(genes=LISTED, listed="GENE1\nODD\n", known='{"<pad>": 0, "<cls>": 1, "GENE1": 2}'),
         ("genes.txt", "'ODD'")),
    Case("a panel whose genes the file lacks", met(genes=LISTED, listed="GENE1\nAA\nBB\nCC\n"), (FILE, "1 of the 4 genes", "min_present")),
]  # fmt: skip

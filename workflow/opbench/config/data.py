"""Datasets and gene panels."""

import re
from typing import Literal

from pydantic import Field, model_validator

from opbench.config.base import Digest, Name, Section, Url, check_download_name


class Simulation(Section):
    """A simulated multi-donor hematopoiesis cohort, drawn along the stage graph."""

    donors: int = Field(12, ge=2, description="Evaluation donors.")
    corpus_donors: int = Field(6, ge=1, description="Further donors, for pre-training and gene selection only.")
    cells_per_donor: int = Field(220, ge=30, description="Cells drawn per evaluation donor.")
    corpus_cells_per_donor: int = Field(500, ge=30, description="Cells drawn per corpus donor.")
    genes: int = Field(1000, ge=50, description="Genes of the simulated transcriptome.")
    seed: int = Field(1, description="Seed of the simulation.")


class Columns(Section):
    """Which columns of the file hold what."""

    donor: str = Field("donor", description="`obs` column of the donor.")
    cell_type: str = Field("cell_type", description="`obs` column of the author's label.")
    tissue: str | None = Field("tissue", description="`obs` column of the tissue; null when there is one tissue.")
    condition: str | None = Field("condition", description="`obs` column of the condition (healthy, disease).")
    gene: str = Field("index", description="`var` column of the gene symbol (or Ensembl id), or `index`.")


class Dataset(Section):
    """One file of donor-labelled cells."""

    path: str | None = Field(
        None, description="File name; looked for first in `$OPBENCH_DATA`, then as a path from the working folder."
    )
    url: Url | None = Field(None, description="Where to download it from (http or https) when it is found nowhere.")
    cellxgene: str | None = Field(
        None,
        description="CELLxGENE dataset id: when the file is found nowhere its current version is resolved, downloaded "
        "and written down.",
    )
    sha256: Digest | None = Field(None, description="Digest of the file; required with `url`, checked when given.")
    source: str = Field("", description="Public source and citation, for provenance.")
    simulate: Simulation | None = Field(None, description="Simulate the dataset instead of reading a file.")
    counts: str = Field("X", description="Matrix that holds integer counts: `X`, `raw/X` or `layers/NAME`.")
    columns: Columns = Field(Columns(), description="Column names.")
    symbols: str | None = Field(
        None,
        description="TSV or CSV from Ensembl id to symbol (HGNC's set, or columns `ensembl_gene_id`, `symbol`), "
        "for a file that holds Ensembl ids only; looked for like datasets.",
    )
    duplicates: Literal["sum", "error"] = Field(
        "sum", description="A gene that occurs in several columns: their counts are summed (logged), or it is an error."
    )
    evaluation: str | None = Field(
        None, description="Filter (a pandas query over `obs`) of the cells that are benchmarked; null keeps all."
    )
    corpus: str | None = Field(
        None, description="Filter of the cells of the pre-training corpus, which are never tested; null: none."
    )
    corpus_cells: int | None = Field(
        None, ge=1, description="Most corpus cells, drawn by `corpus_seed` evenly over donors; null takes all."
    )
    corpus_seed: int = Field(0, description="Seed of that draw.")
    labels: str | None = Field(
        None, description="TSV from label to stages (columns `label`, `stages`, the stages joined by `|`)."
    )
    library_is_partial: bool = Field(
        False, description="Set when the file holds only some genes, so that CP10k totals are flagged."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Dataset":
        if (self.simulate is None) == (self.path is None):
            raise ValueError("give either 'path' or 'simulate'")
        if self.url and not self.sha256:
            raise ValueError("'url' needs 'sha256'")
        if self.url and self.cellxgene:
            raise ValueError("give either 'url' (one fixed version) or 'cellxgene' (the current one)")
        if self.cellxgene and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", self.cellxgene):
            raise ValueError(f"'cellxgene' is '{self.cellxgene}', which is no dataset id (a UUID); correct it")
        if self.url or self.cellxgene:
            if self.path is None:
                raise ValueError("a download needs 'path', the name that the file gets")
            check_download_name(self.path, "path")
        if self.simulate is None and self.labels is None:
            raise ValueError("'labels' names no TSV from label to stages")
        return self


class GeneSelection(Section):
    """How a panel's fixed gene list is made; test donors' benchmarked cells never take part."""

    kind: Literal["hvg", "shared", "file"] = Field(
        "hvg",
        description="`hvg`: highly variable genes (seurat_v3) of the corpus that the model knows; "
        "`shared`: all genes common to the panel's datasets and the model; `file`: a list, one symbol a line.",
    )
    n: int = Field(1200, ge=10, description="Number of genes for `hvg`.")
    corpus: Name | None = Field(None, description="Dataset whose corpus cells rank the genes for `hvg`.")
    file: str | None = Field(None, description="Path for `file`.")

    @model_validator(mode="after")
    def _complete(self) -> "GeneSelection":
        if self.kind == "hvg" and self.corpus is None:
            raise ValueError("'hvg' needs 'corpus', the dataset whose corpus cells rank the genes")
        if self.kind == "file" and self.file is None:
            raise ValueError("'file' needs the path of a gene list")
        return self


class Panel(Section):
    """A fixed gene list over the evaluation cells of one or more datasets."""

    datasets: list[Name] = Field(description="Datasets of the panel.", min_length=1)
    genes: GeneSelection = Field(description="The gene list.")
    min_present: float = Field(
        0.6, ge=0, le=1, description="Least share of the list that each dataset must hold; fewer is refused."
    )

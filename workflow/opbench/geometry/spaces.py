"""Stages: the gene representations of each space, over the same cells and genes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from opbench.config import Config
from opbench.geometry.extract import draw_cells, extract_coexpression, extract_tensor
from opbench.geometry.study import Absent, named_by, read_knowledge
from opbench.geometry.tensor import expression_facts, read_tensor
from opbench.models.checkpoint import read_vocab
from opbench.models.corpus import Corpus, known_corpus

log = logging.getLogger("opbench.extract_space")


def chosen_genes(corpus: Corpus, count: int | None, named: set[str]) -> list[str]:
    """The `count` genes of a corpus with the largest variance of log1p, and those that are `named`, in its order."""
    if count is None:
        return list(corpus.genes)
    variance = expression_facts(corpus.log1p)["variance"]
    first = set(np.argsort(-variance, kind="stable")[:count].tolist())
    return [gene for place, gene in enumerate(corpus.genes) if place in first or gene in named]


def _named(config: Config, knowledge: Mapping[str, str | Path | None], uses: Sequence[str]) -> set[str]:
    """Symbols that the tables which are there name."""
    out: set[str] = set()
    for use in uses:
        try:
            out |= named_by(use, read_knowledge(config, use, knowledge.get(use)))
        except Absent as reason:
            log.warning("%s", reason)
    return out


def extract_space(
    config: Config,
    space: str,
    checkpoint: str | Path,
    corpus: str | Path,
    knowledge: Mapping[str, str | Path | None],
    output: str | Path,
) -> None:
    """Write the gene representations of the model, or of a freshly drawn one (`random`), over the declared cells.

    Attention is kept among the genes of the interaction table: maps of all genes do not fit in memory.
    """
    s = config.geometry
    held = draw_cells(known_corpus(corpus, read_vocab(Path(checkpoint) / "vocab.json"))[0], s.cells, s.seed)
    genes = chosen_genes(held, s.genes, _named(config, knowledge, ("edges", "interactions", "markers")))
    among = _named(config, knowledge, ("interactions",))
    attention = [gene for gene in genes if gene in among]
    log.info("%s: %d cells, %d genes, attention among %d", space, s.cells, len(genes), len(attention))
    extract_tensor(
        checkpoint, corpus, output, s.cells, s.max_genes, s.convention, s.seed, genes, attention,
        s.random_draw if space == "random" else None, config.model.device,
    )  # fmt: skip


def extract_reference(tensor: str | Path, corpus: str | Path, output: str | Path) -> None:
    """Write the co-expression SVD of the cells and genes of the model's representations."""
    extract_coexpression(read_tensor(tensor), corpus, output)

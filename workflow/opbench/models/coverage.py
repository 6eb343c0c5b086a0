"""Which genes a model knows, and when it knows too few of them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from opbench.io.errors import InputError
from opbench.models.checkpoint import PAD
from opbench.panels.gene_ids import ENSEMBL

#: Least share of a panel's genes that the model must know: below it the operator is mostly zero rows and says little
#: about the model. It is the share of a panel's genes that a dataset must hold (decision 7 of the design).
KNOWN_SHARE = 0.60


def gene_ids(
    genes: Sequence[str], vocab: Mapping[str, int], source: str = "gene list"
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Vocabulary id of each gene (`<pad>` where unknown) and whether it is known, both (G,).

    Raises InputError naming `source` when less than `KNOWN_SHARE` of the genes are known.
    """
    known = np.array([gene in vocab for gene in genes], dtype=bool)
    share = known.mean() if len(known) else 0.0
    if share < KNOWN_SHARE:
        raise InputError(
            f"{source}: the model knows {known.sum() or 'none'} of the {len(known)} genes ({share:.0%}, at least "
            f"{KNOWN_SHARE:.0%} are needed); {naming(genes, vocab)}."
        )
    return np.array([vocab.get(gene, vocab[PAD]) for gene in genes], dtype=np.int64), known


def naming(genes: Iterable[str], vocab: Iterable[str]) -> str:
    """What to do about genes that a model does not know; the end of an error's sentence."""
    ours, theirs = _is_ensembl(genes), _is_ensembl(vocab)
    if theirs and not ours:
        return "its vocab.json holds Ensembl ids, so use a vocabulary of symbols"
    if ours and not theirs:
        return "they are Ensembl ids, so name genes by symbol (columns.gene)"
    return "name genes by symbol, or choose genes of its vocab.json"


def _is_ensembl(names: Iterable[str]) -> bool:
    """Whether most names, special tokens aside, are Ensembl gene ids."""
    plain = [name for name in names if not name.startswith("<")]
    return 2 * sum(bool(ENSEMBL.fullmatch(name)) for name in plain) > len(plain)

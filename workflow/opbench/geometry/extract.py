"""One pass of an scGPT-format model over declared cells: gene representations, and attention among named genes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from opbench.geometry.tensor import GeneTensor, check_tensor, coexpression_svd, expression_facts, write_tensor
from opbench.io.errors import InputError
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.models.checkpoint import CLS, read_args, read_checkpoint, read_vocab
from opbench.models.corpus import Corpus, known_corpus, read_corpus
from opbench.models.coverage import gene_ids
from opbench.models.device import choose_device
from opbench.models.tokens import Convention, Packed, TokenTable, in_gene_order, packed, tokenise_cells
from opbench.models.transformer import Mixer, ScGPT, cellwise_mixer, load_model

log = logging.getLogger("opbench.geometry")

#: Tokens run through the encoder at once; all layers' states of a batch are held.
BATCH_TOKENS = 2400


class NamedAttention:
    """Attention among named genes, summed over cells and averaged over heads, layer by layer: (L, g, g).

    Maps of all genes and heads do not fit in memory; a cell's are made, reduced and dropped.
    """

    def __init__(self, model: ScGPT, columns: NDArray[np.int64], n_genes: int) -> None:
        """Make empty sums over the gene columns `columns` (g,) of `n_genes`."""
        self.model, self.named = model, torch.full((n_genes + 1,), -1, dtype=torch.int64)
        self.named[torch.as_tensor(columns)] = torch.arange(len(columns))
        self.sums = torch.zeros(model.layers, len(columns), len(columns), device=model.device)
        self.counts = torch.zeros(len(columns), len(columns), dtype=torch.int64)

    def mixer(self, batch: Packed) -> Mixer:
        """A mixer for `batch` that adds its attention; co-tokenised counts are added at once."""
        places = []
        for span in batch.spans:
            named = self.named[torch.as_tensor(batch.columns[span].astype(np.int64))]
            held = torch.nonzero(named >= 0).squeeze(1)
            self.counts[named[held][:, None], named[held]] += 1
            places.append((span, held.to(self.sums.device), named[held].to(self.sums.device)))

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            mixed = torch.empty_like(v)
            for span, held, named in places:
                scores = (q[0, :, span] * q.shape[-1] ** -0.5) @ k[0, :, span].transpose(1, 2)
                weights = scores.softmax(dim=-1)
                mixed[0, :, span] = weights @ v[0, :, span]
                # Positions are distinct within a cell, so that the sum is the same in any order.
                self.sums[layer, named[:, None], named] += weights[:, held][:, :, held].mean(dim=0)
            return mixed

        return mix


@torch.no_grad()
def gene_representations(
    model: ScGPT,
    vocab: Mapping[str, int],
    log1p: csr_matrix,
    genes: Sequence[str],
    cell_ids: Sequence[str],
    convention: Convention = "operator",
    max_genes: int = 512,
    seed: int = 0,
    n_bins: int = 51,
    attention_genes: Sequence[str] = (),
) -> GeneTensor:
    """Mean token vector of each gene after each block, and before the first, over the cells of `log1p` (n, G).

    Tokens are a cell's expressed genes, the `max_genes` highest, without `<cls>`, by log1p value (`operator`) or bin
    (`operator_binned`). Genes that the model does not know are no tokens. `attention_genes` that are among `genes` get
    their attention summed on the way. Too few known genes are an InputError.
    """
    if convention == "embedding":
        raise InputError("geometry: convention 'embedding' has a <cls> token; use 'operator' or 'operator_binned'.")
    ids, known = gene_ids(genes, vocab)
    facts = expression_facts(log1p)
    shown = log1p if known.all() else log1p.multiply(known).tocsr().astype(np.float32)
    table = in_gene_order(tokenise_cells(shown, cell_ids, convention, max_genes, seed, n_bins))
    place = {gene: column for column, gene in enumerate(genes)}
    named = [gene for gene in dict.fromkeys(attention_genes) if gene in place]
    attention = NamedAttention(model, np.array([place[g] for g in named], np.int64), len(genes)) if named else None
    sums = _summed_states(model, table, ids, vocab[CLS], len(genes), attention)
    count = np.bincount(table.columns, minlength=len(genes)).astype(np.int64)
    sums /= np.maximum(count, 1)[:, None].astype(np.float32)
    kept = {"attention": attention.sums.cpu().numpy(), "cotokenised": attention.counts.numpy()} if attention else {}
    metadata = {"kind": "model", "convention": convention, "max_genes": max_genes, "seed": seed, "n_bins": n_bins}
    metadata["cells"] = len(cell_ids)
    layers = list(range(-1, model.layers))
    tensor = GeneTensor(sums, count, genes=list(genes), layers=layers, attention_genes=named, metadata=metadata,
                        **facts, **kept)  # fmt: skip
    return check_tensor(tensor)


def _summed_states(
    model: ScGPT, table: TokenTable, ids: NDArray, cls_id: int, n_genes: int, attention: NamedAttention | None
) -> NDArray[np.float32]:
    """Sums of token vectors (L + 1, G, d) float32, cell by cell."""
    width = model.encoder.embedding.embedding_dim
    sums = torch.zeros(model.layers + 1, n_genes, width, device=model.device)
    for batch in packed(table, ids, cls_id, BATCH_TOKENS):
        gene, value = (torch.as_tensor(a, device=model.device)[None] for a in (batch.gene_ids, batch.values))
        mixer = attention.mixer(batch) if attention else cellwise_mixer(batch.lengths.tolist())
        states = model.encode(gene, value, hidden=True, mixer=mixer)[:, 0]
        columns = torch.as_tensor(batch.columns.astype(np.int64), device=model.device)
        for span in batch.spans:
            # A cell's genes are distinct: the same bits on a GPU, where a scattered sum has no order.
            sums[:, columns[span]] += states[:, span]
    return sums.cpu().numpy()


def draw_cells(corpus: Corpus, cells: int, seed: int) -> Corpus:
    """`cells` corpus cells drawn by `seed` without replacement; too few are an InputError."""
    total = len(corpus.cell_ids)
    if total < cells:
        raise InputError(f"{corpus.path}: has {total} cells but geometry.cells is {cells}; lower it.")
    return corpus.take(np.sort(keyed_rng(seed, "geometry-cells").choice(total, cells, replace=False)))


def extract_tensor(
    checkpoint_dir: str | Path,
    corpus_h5ad: str | Path,
    output: str | Path,
    cells: int = 256,
    max_genes: int = 512,
    convention: Convention = "operator",
    seed: int = 0,
    genes: Sequence[str] | None = None,
    attention_genes: Sequence[str] = (),
    random_draw: int | None = None,
    device: str = "cpu",
) -> None:
    """Stage: write the gene representations of a checkpoint over `cells` corpus cells drawn by `seed`.

    `genes` (None: all corpus genes that the model knows) are looked up by symbol. With `random_draw` the weights are
    drawn afresh in the checkpoint's shape, as for a model about to be trained; its own are not read.
    """
    chosen, folder = choose_device(device), Path(checkpoint_dir)
    if random_draw is None:
        checkpoint = read_checkpoint(folder)
        model, vocab, args = load_model(checkpoint, chosen), checkpoint.vocab, checkpoint.args
        digest = checkpoint.digest
    else:
        args, vocab, digest = read_args(folder / "args.json"), read_vocab(folder / "vocab.json"), ""
        weights = derive_seed(seed, "random_model", random_draw)
        model = ScGPT(args, max(vocab.values()) + 1).initialise(weights).eval().requires_grad_(False).to(chosen)
    corpus = known_corpus(corpus_h5ad, vocab)[0] if genes is None else read_corpus(corpus_h5ad, list(genes))
    corpus = draw_cells(corpus, cells, seed)
    made = gene_representations(
        model, vocab, corpus.log1p, corpus.genes, corpus.cell_ids.tolist(), convention, max_genes, seed,
        args.get("n_bins", 51), attention_genes,
    )  # fmt: skip
    made.metadata.update(model_digest=digest, corpus_digest=corpus.digest, random_draw=random_draw, device=device)
    write_tensor(made, output)
    log.info("%d of %d genes were never among a cell's %d", (made.count == 0).sum(), len(made.genes), max_genes)


def extract_coexpression(
    tensor: GeneTensor, corpus_h5ad: str | Path, output: str | Path, width: int | None = None
) -> None:
    """Stage: write the co-expression SVD of the cells and genes of a model's tensor, `width` axes (None: as wide)."""
    corpus = draw_cells(read_corpus(corpus_h5ad, tensor.genes), tensor.metadata["cells"], tensor.metadata["seed"])
    made = coexpression_svd(corpus.log1p, tensor.genes, tensor.count, width or tensor.tensor.shape[2])
    made.metadata.update(seed=tensor.metadata["seed"], corpus_digest=corpus.digest)
    write_tensor(made, output)

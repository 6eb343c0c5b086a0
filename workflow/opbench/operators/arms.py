"""Control arms by name: what each is made of. docs/evidence.md says what each keeps and destroys."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from opbench.io.errors import InputError
from opbench.io.seeds import keyed_rng
from opbench.models.attention_file import AttentionSums, load_attention
from opbench.operators import coexpression, controls
from opbench.operators.drift import block_means, drift_halves, row_stochastic_means
from opbench.operators.names import needs, parse_name
from opbench.operators.operator import Operator, from_blocks

#: Width of a label's random vector, and sd of the noise that each cell adds to it (spec K, arm e).
LOOKUP_WIDTH, LOOKUP_NOISE = 64, 0.5


@dataclass(frozen=True)
class Sources:
    """Files that some arms need besides a panel's attention: a checkpoint's folder, a random model's sums, a panel."""

    checkpoint: str | Path | None = None
    random_attention: str | Path | None = None
    panel: str | Path | None = None


@dataclass(frozen=True)
class Material:
    """What the arms of a panel are made of; read when one asks for it."""

    attention: AttentionSums
    seed: int
    sources: Sources

    @property
    def support(self) -> np.ndarray:
        """Entries whose genes were tokenised together, (G, G)."""
        return self.attention.cotokenised > 0

    @cached_property
    def blocks(self) -> np.ndarray:
        """Early, mid and late attention, (3, G, G)."""
        return block_means(self.attention.sums)

    @property
    def halves(self) -> list[np.ndarray]:
        """The real operator."""
        return drift_halves(self.blocks)

    def order(self, arm: str, draw: int) -> np.ndarray:
        """A random order of the tokenised genes, (G,)."""
        return controls.gene_order(self.attention.tokenised > 0, self.seed, arm, draw)

    def circuits(self, kind: str, order: np.ndarray | None = None) -> list[np.ndarray]:
        """An operator of the checkpoint's weights."""
        from opbench.operators.weights import GeneCircuits

        return [GeneCircuits.read(self.sources.checkpoint, self.attention).operator(kind, order)]  # type: ignore[arg-type]

    def random_halves(self) -> list[np.ndarray]:
        """The drift of the random model's sums, which must be over the same cells and genes."""
        random = load_attention(self.sources.random_attention, stored=True)  # type: ignore[arg-type]
        if (random.cells, random.genes) != (self.attention.cells, self.attention.genes):
            raise InputError(
                f"{self.sources.random_attention}: is over other cells or genes than the attention file; delete it "
                "and run again."
            )
        return drift_halves(block_means(random.sums))


def _per_count(made: Material) -> list[np.ndarray]:
    return [half / np.maximum(made.attention.cotokenised, 1) for half in made.halves]


def _identity(made: Material) -> list[np.ndarray]:
    return [np.eye(len(made.attention.genes))]


Build = Callable[[Material, int], list[np.ndarray]]
#: Arm -> its construction in a line, and its blocks from the material and the draw.
ARMS: dict[str, tuple[str, Build]] = {
    "shuffle": (
        "each drift half's values permuted over the support",
        lambda made, draw: controls.shuffle(made.halves, made.support, made.seed, draw),
    ),
    "spectrum": (
        "tokenised genes permuted on both sides of the drift",
        lambda made, draw: controls.permute_genes(made.halves, made.order("spectrum", draw)),
    ),
    "row_permuted": (
        "tokenised genes permuted on the reading side of the drift",
        lambda made, draw: controls.permute_rows(made.halves, made.order("row_permuted", draw)),
    ),
    "dense": (
        "N(0, 1) in every entry of two blocks",
        lambda made, draw: controls.dense(2, len(made.attention.genes), made.seed, draw),
    ),
    "random_model": (
        "drift of a randomly initialised model's attention over the same cells",
        lambda made, _: made.random_halves(),
    ),
    "pooled": ("attention sums, mean over all layers and heads", lambda made, _: [made.blocks.mean(0)]),
    "counts": ("attention sums divided by co-tokenisation counts, then drift", lambda made, _: _per_count(made)),
    "row_stochastic": (
        "each head's rows divided by their sums, then drift",
        lambda made, _: drift_halves(row_stochastic_means(made.attention.sums)),
    ),
    "uniform": (
        "sum over cells of 1[i, j tokenised] / tokens of the cell",
        lambda made, _: [coexpression.uniform(made.attention)],
    ),
    "coexpression": (
        "Pearson correlation of log1p over the corpus cells",
        lambda made, _: [coexpression.coexpression(made.attention)],
    ),
    "ppmi": (
        "positive pointwise mutual information of co-tokenisation",
        lambda made, _: [coexpression.ppmi(made.attention.cotokenised, len(made.attention.cells))],
    ),
    "gram": ("E Eᵀ of the gene-token embedding", lambda made, _: made.circuits("gram")),
    "qk": ("mean over heads of (E W_Q)(E W_K)ᵀ / sqrt(d_head)", lambda made, _: made.circuits("qk")),
    "ov": ("mean over heads of E W_V W_O Eᵀ", lambda made, _: made.circuits("ov")),
    "gram_permuted": (
        "gram with the rows of E permuted among tokenised genes",
        lambda made, draw: made.circuits("gram", made.order("gram_permuted", draw)),
    ),
    "qk_permuted": (
        "qk with the rows of E permuted among tokenised genes",
        lambda made, draw: made.circuits("qk", made.order("qk_permuted", draw)),
    ),
    "ov_permuted": (
        "ov with the rows of E permuted among tokenised genes",
        lambda made, draw: made.circuits("ov", made.order("ov_permuted", draw)),
    ),
    "identity": ("the identity over all genes", lambda made, _: _identity(made)),
    "token_bag": (
        "the identity over ranks: weight 1 - r / n of the n expressed genes",
        lambda made, _: _identity(made),
    ),
}
ENCODINGS = {"token_bag": "rank"}


def build_arm(made: Material, name: str, **record: object) -> Operator:
    """Build the control operator `name`; a file that its arm needs and `sources` lacks is an InputError."""
    arm, draw = parse_name(name)
    if (need := needs(name)) and getattr(made.sources, need) is None:
        raise InputError(f"operator '{name}': is not made from attention alone; give its {need}.")
    record |= {"arm": arm, "draw": draw, "seed": made.seed}
    if arm == "label_lookup":
        return _lookup(made, draw, record)
    construction, build = ARMS[arm]
    blocks = build(made, draw)
    support = np.any([block != 0 for block in blocks], axis=0)
    record |= {"construction": construction, "encoding": ENCODINGS.get(arm, "log1p")}
    return from_blocks(blocks, support, tuple(made.attention.genes), **record)


def _lookup(made: Material, draw: int, record: dict[str, object]) -> Operator:
    """One random vector a label, (labels, 64): a map that reads labels and no gene."""
    from opbench.panels.panel import read_panel_obs

    obs = read_panel_obs(made.sources.panel)  # type: ignore[arg-type]
    labels = sorted(set(obs["dataset"].astype(str) + ":" + obs["label"].astype(str)))
    vectors = [keyed_rng(made.seed, "label_lookup", draw, label).standard_normal(LOOKUP_WIDTH) for label in labels]
    record |= {
        "construction": f"one random {LOOKUP_WIDTH}-vector a label, and noise of sd {LOOKUP_NOISE} a cell",
        "encoding": "label",
        "labels": labels,
        "noise_sd": LOOKUP_NOISE,
    }
    genes = tuple(made.attention.genes)
    return Operator(np.stack(vectors).astype(np.float32), np.zeros((len(genes),) * 2, bool), genes, record)

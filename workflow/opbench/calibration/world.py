"""A population of donors and cells in which every gene, class and donor effect is known.

Sizes are set once, beside each its reason; none was changed after a rate had been seen. They aim at what marrow shows
(config/marrow.yaml, leave-one-donor-out, Gaussian arm, T vs CTL AUROC and branch balanced accuracy): a mean near 0.8,
a standard deviation over donors of the difference of two draws of 0.02 to 0.08, and over draws of their mean of 0.004
to 0.02.
"""

from dataclasses import dataclass

import numpy as np

from opbench.io.seeds import keyed_rng

#: Genes: enough for a support with holes, few enough for thousands of closed-form fits.
GENES = 60
#: Two pairs of close classes; the endpoint is the AUROC of the first pair, like T vs CTL among other cells.
CLASSES, POSITIVE, NEGATIVE = 4, 1, 0
#: Test cells of a class in a donor: marrow's median for T and CTL.
CELLS = 30
#: Detection rates, log-uniform: with 600 corpus cells about half of the pairs are then tokenised together (decision 2).
RAREST, COMMONEST = 0.02, 0.6
#: Standard deviations, in units of a cell's own noise: between the two pairs of classes, within a pair, of a donor's
#: genes, of a donor's genes within a class, and of the response to a module of co-expressed genes.
PAIR, CLOSE, DONOR, DONOR_CLASS, MODULE = 1.0, 0.35, 0.5, 0.25, 0.7
#: Gene modules, as in `panels.simulate`.
MODULES = 8
#: Corpus: the cells and donors of decision 3 in small.
CORPUS_CELLS, CORPUS_DONORS = 600, 6


@dataclass(frozen=True)
class World:
    """One population: means (K, G) of the classes, loadings (M, G) of the modules, thresholds (G,) of detection."""

    means: np.ndarray
    loadings: np.ndarray
    threshold: np.ndarray

    def cells(self, rng: np.random.Generator, donors: int, per_class: int) -> np.ndarray:
        """Expression (donors, K, cells, G) float32 of new donors: what exceeds a gene's threshold."""
        shape = (donors, CLASSES, per_class)
        x = rng.standard_normal((*shape, GENES), dtype=np.float32)
        x += rng.standard_normal((*shape, MODULES), dtype=np.float32) @ self.loadings
        x += (
            self.means[None, :, None]
            + DONOR * _normal(rng, donors, 1, 1)
            + DONOR_CLASS * _normal(rng, donors, CLASSES, 1)
        )
        return np.maximum(x - self.threshold, 0)

    def hidden(self, rng: np.random.Generator, donors: int, per_class: int) -> np.ndarray:
        """A variable (donors, K, cells, 1) that varies like a gene and tells no classes apart."""
        shift = DONOR * rng.standard_normal((donors, 1, 1, 1)) + DONOR_CLASS * rng.standard_normal(
            (donors, CLASSES, 1, 1)
        )
        return (shift + rng.standard_normal((donors, CLASSES, per_class, 1))).astype(np.float32)

    def corpus(self, rng: np.random.Generator) -> np.ndarray:
        """Expression (cells, G) of a corpus of its own donors."""
        return self.cells(rng, CORPUS_DONORS, CORPUS_CELLS // (CORPUS_DONORS * CLASSES)).reshape(-1, GENES)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal((*shape, GENES), dtype=np.float32)


def draw_world(*key: object) -> World:
    """A population by key."""
    rng = keyed_rng("calibration", "world", *key)
    means = PAIR * np.repeat(_normal(rng, CLASSES // 2), 2, axis=0) + CLOSE * _normal(rng, CLASSES)
    module = rng.integers(MODULES, size=GENES)
    loadings = np.zeros((MODULES, GENES), dtype=np.float32)
    loadings[module, np.arange(GENES)] = MODULE * 2 * rng.random(GENES)
    rate = np.exp(rng.uniform(np.log(RAREST), np.log(COMMONEST), GENES))
    world = World(means, loadings, np.full(GENES, -np.inf, dtype=np.float32))
    # The threshold is a quantile of what cells of many donors would show without one.
    many = World(means, loadings, np.full(GENES, -1e3, dtype=np.float32)).cells(rng, 40, 25).reshape(-1, GENES) - 1e3
    threshold = np.array([np.quantile(column, 1 - share) for column, share in zip(many.T, rate, strict=True)])
    return World(world.means, world.loadings, threshold.astype(np.float32))

"""Trustworthiness of a latent (Venna & Kaski 2001), and that of random projections of as many anchors.

It compares features with their own projection and never sees the ruler; it depends on the number of anchors, on k and
on scaling (spec E), so that it is read against a reference of the same size alone.
"""

import numpy as np

from opbench.io.seeds import keyed_rng

#: Random projections of the reference.
REFERENCES = 20


class Trust:
    """Neighbourhoods of a part's anchors in the operator's features, standardised as the head standardises them."""

    def __init__(self, features: np.ndarray, mean: np.ndarray, scale: np.ndarray, neighbours: int, seed: int) -> None:
        """features (a, F); mean and scale (F,) of training anchors; k is `neighbours`, of few anchors (a - 1) // 2."""
        from sklearn.metrics import pairwise_distances

        self.x = ((features - mean) / scale).astype(np.float32)
        self.neighbours, self.seed = min(neighbours, (len(features) - 1) // 2), seed
        self._distance = pairwise_distances(self.x.astype(np.float64))
        self._references: dict[int, np.ndarray] = {}

    def of(self, z: np.ndarray) -> float:
        """Trustworthiness of a latent (a, d), Euclidean on both sides; NaN for fewer than 3 anchors."""
        from sklearn.manifold import trustworthiness

        if self.neighbours < 1:
            return float("nan")
        return float(trustworthiness(self._distance, z, n_neighbors=self.neighbours, metric="precomputed"))

    def reference(self, width: int) -> np.ndarray:
        """The same of random Gaussian projections of these very anchors to (a, width), (REFERENCES,): equal n, k and d.

        Anchors of the internal part drawn down to as many would be another reference, but there are parts with more
        anchors than that one.
        """
        if width not in self._references:
            rng = keyed_rng(self.seed, "random-projection", width, self.x.shape[1])
            size = (REFERENCES, self.x.shape[1], width)
            made = [self.of(self.x @ weight) for weight in rng.standard_normal(size, dtype=np.float32)]
            self._references[width] = np.array(made)
        return self._references[width]

"""Values of an operator with only some of its factors left, the probes as they are or trained again (spec H.3).

A latent is the sum of what the factors add: z = Σ_k u_k c_k, u_k (n,) the cells' reading of factor k and c_k (d,) what
the adaptor makes of its writing. Probes are linear in z, so that with fixed ones a subset's scores are a partial sum;
leaving out one factor is an update of rank 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opbench.discovery.bench import Bench, Fitted, Fold
from opbench.discovery.reduce import Reduced
from opbench.readouts.probes import Probed

#: Masks whose latents are held at once; probes of each are trained on their own.
BLOCK = 4


@dataclass(frozen=True)
class Ablation:
    """One fold: what the training and test cells read (n, r), what factors write into the latent (r, d), the probe."""

    bench: Bench
    fold: Fold
    train: np.ndarray
    test: np.ndarray
    writes: np.ndarray
    fitted: Fitted

    @classmethod
    def of(cls, bench: Bench, fold: Fold, reduced: Reduced, fitted: Fitted) -> "Ablation":
        """Factors of a reduced operator under the head that was fitted on its whole."""
        assert reduced.left is not None and reduced.right is not None
        rows = fold.truth.train, fold.truth.test
        train, test = (np.asarray(bench.data.log1p[cells] @ reduced.left) for cells in rows)
        writes = reduced.right.astype(np.float64) @ fitted.encoder
        return cls(bench, fold, train, test, writes, fitted)

    def fixed(self, kept: np.ndarray) -> np.ndarray:
        """Endpoints with the probes as they are, (masks, donors, endpoints); kept (masks, r) bool."""
        probe, out = self.fitted.probe, []
        steps = {task: self.writes / probe.scale @ weights for task, weights in probe.weights.items()}
        base = {task: probe.bias[task] - probe.mean / probe.scale @ weights for task, weights in probe.weights.items()}
        for mask in kept:
            scores = {task: self.test[:, mask] @ steps[task][mask] + base[task] for task in steps}
            two = {
                task: value[:, 0] if probe.probed.scores[task].ndim == 1 else value for task, value in scores.items()
            }
            out.append(self.bench.score(Probed(two, None, probe.probed.unfinished), self.fold))
        return np.stack(out)

    def retrained(self, kept: np.ndarray) -> np.ndarray:
        """The same with probes trained again on what is left; the adaptor stays."""
        blocks = np.array_split(kept, -(-len(kept) // BLOCK))
        return np.stack([self.bench.score(found, self.fold) for block in blocks for found in self._probed(block)])

    def _probed(self, kept: np.ndarray) -> list[Probed]:
        """Probes of a block of masks, whose latents alone are held at once."""
        reads = self.train, self.test
        pairs = [tuple((read[:, mask] @ self.writes[mask]).astype(np.float32) for read in reads) for mask in kept]
        return self.bench.probe_all(pairs, self.fold)  # type: ignore[arg-type]


def evaluate(
    bench: Bench, reduced: Reduced, fitted: Sequence[Fitted], fixed: np.ndarray, retrained: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Endpoints of all tested donors, (masks, donors, endpoints), for masks (masks, r) of factors that are kept."""
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for fold, one in zip(bench.folds, fitted, strict=True):
        ablation = Ablation.of(bench, fold, reduced, one)
        parts[0].append(ablation.fixed(fixed))
        if len(retrained):
            parts[1].append(ablation.retrained(retrained))
    empty = np.zeros((0, len(bench.donors), len(bench.endpoints)))
    first, second = (np.concatenate(part, axis=1) if part else empty for part in parts)
    return first, second

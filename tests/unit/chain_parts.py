"""Parts made up for tests of the chain: a ruler that few genes know, and donors that shift the others."""

import numpy as np
import pandas as pd

from opbench.discovery.parts import Part, Parts

LABELS, GENES, KNOWING = 6, 40, 6
RULER = np.abs(np.subtract.outer(np.arange(LABELS), np.arange(LABELS))).astype(float)
#: What labels look like in the first genes.
SIGNAL = np.random.default_rng(99).normal(size=(LABELS, KNOWING)).cumsum(0)
DONORS = {"internal": 6, "external": 6, "zero_shot": 2}


def expression(label: np.ndarray, donor: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expression (n, GENES) of labels and donors: noise, donors' own shifts, and the signal in the first genes."""
    x = 3 * rng.normal(size=(len(label), GENES))
    x[:, :KNOWING] = SIGNAL[label] + 0.3 * rng.normal(size=(len(label), KNOWING))
    shifts = np.random.default_rng(5).normal(size=(100, GENES)) * (np.arange(GENES) >= KNOWING)
    return (x + shifts[donor]).astype(np.float32)


def make_parts(**changes: int) -> Parts:
    """Parts with one anchor of each label and donor; changes: donors of a part, 0 for none."""
    rng, parts, obs, first = np.random.default_rng(0), {}, [], 0
    for name, count in (DONORS | changes).items():
        label, donor = np.tile(np.arange(LABELS), count), first + np.repeat(np.arange(count), LABELS)
        first += 20
        if not count:
            continue
        names, n = np.array([f"d{code}" for code in donor]), len(label)
        ids = np.array([f"{name}|{d}:{code}" for d, code in zip(names, label, strict=True)])
        x, tissue = expression(label, donor, rng), np.full(n, "marrow")
        parts[name] = Part(name, ids, x, label, label // 2, names, tissue, label.astype(float), np.full(n, 9))
        obs.append(pd.DataFrame({"part": name, "dataset": "a", "donor": names}, index=ids))
    labels = tuple(f"a:{code}" for code in range(LABELS))
    genes = tuple(f"g{i}" for i in range(GENES))
    return Parts("p", genes, labels, ("x", "y", "z"), RULER, parts, pd.concat(obs))

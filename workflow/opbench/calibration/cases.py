"""Cases of the calibration: what the real operator of a campaign is, and so whether it deserves a verdict."""

from dataclasses import dataclass

import numpy as np

from opbench.calibration.operators import random_arm, with_noise

NULL, PLANTED = "null", "planted"
#: The rule's controls: those that are random, and those that have one operator.
RANDOM, FIXED = ("gaussian", "shuffle", "row_permuted"), ("uniform", "coexpression")
#: "Co-expression + noise": noise on the support in shares of the entries' standard deviation.
NOISE = 0.5


@dataclass(frozen=True)
class Case:
    """The real operator is exchangeable with `control` (null), or ahead of all controls by `effect` in AUROC (planted).

    strength: difference between the endpoint's classes of a hidden variable that the real operator alone sees, in
    units of a cell's noise; noise: that both the real operator and the control carry on their entries.
    """

    name: str
    control: str
    effect: float = 0.0
    strength: float = 0.0
    noise: float = 0.0


#: The real operator follows each control's law in turn. What the law of a control with one operator leaves open is the
#: corpus: the real operator has another one, drawn alike. In the last case both carry noise of their own besides.
NULLS = (
    *(Case(NULL, control) for control in (*RANDOM, *FIXED)),
    Case("null with noise", "coexpression", noise=NOISE),
)


def planted(effect: float, strength: float) -> Case:
    """Co-expression that also sees what no gene shows; where a test takes one control, it is the Gaussian."""
    return Case(PLANTED, "gaussian", effect, strength)


def real_operator(case: Case, base: dict[str, np.ndarray], support: np.ndarray, seed: int) -> np.ndarray:
    """A real operator (G, G) of a case; base: `uniform` and `coexpression` of a corpus that no control has seen."""
    operator = base["uniform" if case.control == "uniform" else "coexpression"]
    if case.name != PLANTED and case.control in RANDOM:
        return random_arm(case.control, operator, support, seed, 1)[0]
    return with_noise(operator, support, case.noise, seed)


def blind(operators: np.ndarray) -> np.ndarray:
    """Operators (O, G, G) on genes and the hidden variable, (O, G + 1, G): they do not see it."""
    return np.concatenate([operators, np.zeros_like(operators[:, :1])], axis=1)


def seeing(operator: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An operator (G, G) that writes the hidden variable onto the genes with a row as long as its own, (G + 1, G)."""
    row = rng.standard_normal(operator.shape[1], dtype=np.float32)
    row *= np.sqrt((operator**2).sum(axis=1).mean()) / np.linalg.norm(row)
    return np.concatenate([operator, row[None]])

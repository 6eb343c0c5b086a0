"""Arms in figures: their printed names and order, how each is drawn, and what its draws are."""

import pandas as pd

from opbench.config.evidence import FIXED_ARMS
from opbench.figures.style import GREY, INK, OKABE_ITO

#: Arm -> printed name, in the order of rows: what the rule names first, then the rest by how much they destroy.
ARMS = {
    "real": "Real operator",
    "gaussian": "Gaussian on support",
    "gaussian_halves": "Gaussian on support",
    "gaussian_blocks": "Gaussian on support, blocks",
    "shuffle": "Own values shuffled",
    "row_permuted": "Rows permuted",
    "uniform": "Uniform attention",
    "coexpression": "Co-expression",
    "spectrum": "Spectrum, genes permuted",
    "random_model": "Untrained model",
    "counts": "Divided by counts",
    "row_stochastic": "Row-stochastic",
    "pooled": "Attention sum",
    "ppmi": "PPMI",
    "gram": "Embedding gram",
    "gram_permuted": "Embedding gram, permuted",
    "qk": "QK",
    "qk_permuted": "QK, permuted",
    "ov": "OV",
    "ov_permuted": "OV, permuted",
    "dense": "Dense Gaussian",
    "identity": "No operator",
    "token_bag": "Token bag",
    "label_lookup": "Label lookup (reads labels)",
    "random_labels": "Random stages per type",
}
RANDOM, FIXED, REAL = OKABE_ITO["sky"], OKABE_ITO["orange"], OKABE_ITO["blue"]
#: Arm -> colour, marker and line, where arms share an axis; others are black diamonds. Markers are full shapes, so
#: that a white edge leaves them visible.
LOOKS = {
    "real": (REAL, "o", "-"),
    "gaussian": (GREY, "D", "-"),
    "gaussian_halves": (GREY, "D", "-"),
    "gaussian_blocks": (GREY, "d", "-"),
    "shuffle": (OKABE_ITO["orange"], "p", "-"),
    "row_permuted": (OKABE_ITO["purple"], "v", ":"),
    "uniform": (OKABE_ITO["green"], "s", "--"),
    "coexpression": (OKABE_ITO["vermillion"], "^", "-."),
    "identity": ("#7F4F24", "<", "--"),
    "label_lookup": (INK, ">", ":"),
}
OTHER = (INK, "d", ":")
#: Arms whose draws are a band, where arms share an axis.
BANDS = ("gaussian_halves", "gaussian_blocks", "shuffle")
#: Outcome of an arm -> (colour, marker): shape and colour say the same.
OUTCOMES = {
    "beats": (OKABE_ITO["blue"], "o"),
    "equivalent": (OKABE_ITO["green"], "s"),
    "not_separable": (INK, "o"),
    "loses": (OKABE_ITO["vermillion"], "v"),
    "not_testable": ("#8C8C8C", "x"),
}


def arm_name(arm: str) -> str:
    """The printed name of an arm."""
    return ARMS.get(arm, arm.replace("_", " "))


def arm_order(arms: list[str]) -> list[str]:
    """Known arms in the house's order, others by name after them."""
    known = list(ARMS)
    return sorted(set(arms), key=lambda arm: (known.index(arm) if arm in known else len(known), arm))


def is_random(arm: str) -> bool:
    """Whether an arm's `draw` counts draws of its matrix; else it counts head seeds."""
    return arm != "real" and arm not in FIXED_ARMS


def arm_colour(arm: str) -> str:
    """Blue for the real operator, and one colour each for arms with draws and with head seeds."""
    return REAL if arm == "real" else RANDOM if is_random(arm) else FIXED


def arms_in(rows: pd.DataFrame) -> list[str]:
    """The real operator, where there is one, then the controls in the house's order."""
    return arm_order(list(rows["arm"]))


def controls_of(rows: pd.DataFrame) -> list[str]:
    """Control arms of a table in the house's order."""
    return [arm for arm in arms_in(rows) if arm != "real"]


def repeats(rows: pd.DataFrame) -> str:
    """How often one arm was repeated, and by what: draws of its matrix, or seeds of the head on one matrix."""
    n, kind = rows["draw"].nunique(), "draw" if is_random(str(rows["arm"].iloc[0])) else "seed"
    return f"{n} {kind}{'s' * (n != 1)}"

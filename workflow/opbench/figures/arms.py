"""Control arms in figures: their printed names and order, and which of them the rule names."""

from opbench.figures.style import INK, OKABE_ITO

#: Arm -> printed name, in the order of rows: what the rule names first, then the rest by how much they destroy.
ARMS = {
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

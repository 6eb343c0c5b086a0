"""Scores and evidence of a made-up battery of control arms whose outcome is known."""

from functools import lru_cache

import numpy as np
import pandas as pd

from opbench.config.benchmark import Binary, Endpoints, Statistics
from opbench.config.evidence import Evidence
from opbench.io.tables import SCORES
from opbench.statistics.evidence import judge_arms

DONORS = [f"D{i:02d}" for i in range(12)]
ENDPOINTS = ("branch_balanced_accuracy", "gmp_vs_mono_auroc")


def rows(method, arm, shift, draws=1, seeds=1, width=10, budget="plateau"):
    """Scores of one arm: donors differ, draws differ a little, and the arm is off by `shift`."""
    rng = np.random.default_rng([width, draws, seeds, *map(ord, arm)])
    for draw in range(draws):
        for seed in range(seeds):
            own = rng.normal(0, 0.004)
            for endpoint in ENDPOINTS:
                for i, donor in enumerate(DONORS):
                    yield {
                        "run": "r", "panel": "p", "campaign": "evidence", "split": i % 4, "donor": donor, "n": 90,
                        "method": method, "protocol": "inductive", "model": "m", "operator": arm, "arm": arm,
                        "draw": draw if draws > 1 else -1, "width": width, "budget": budget, "seed": seed,
                        "endpoint": endpoint, "value": 0.6 + 0.02 * i + shift + own + rng.normal(0, 0.003),
                        "status": "ok", "reason": "", "condition": "healthy" if i < 3 else "disease",
                        "pretraining_overlap": False, "leaking": False,
                    }  # fmt: skip


@lru_cache(maxsize=1)
def battery() -> dict[str, pd.DataFrame]:
    """The Gaussian arm is beaten, the shuffled one equal, uniform attention ahead."""
    made = [
        *rows("extracted_head", "real", 0.0, seeds=4),
        *rows("gaussian_head", "gaussian_halves", -0.08, draws=6),
        *rows("control_head", "shuffle", 0.0, draws=6),
        *rows("control_head", "uniform", 0.08, seeds=4),
        *rows("operator_probe", "real", 0.0, width=0, budget=""),
        *rows("operator_probe", "shuffle", 0.0, draws=6, width=0, budget=""),
    ]
    scores = pd.DataFrame(made)[SCORES.names]
    endpoints = Endpoints(binary={"gmp_vs_mono": Binary(positive={"d": ["a"]}, negative={"d": ["b"]})}, min_donors=8)
    evidence = judge_arms(scores, endpoints, Statistics(bootstraps=300), Evidence())
    return {"scores": scores, "evidence": evidence}

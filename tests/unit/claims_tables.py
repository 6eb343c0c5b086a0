"""Result tables of a made-up run: every method is a constant above a donor's own level, so that numbers are known."""

from functools import lru_cache
from pathlib import Path

import pandas as pd

from opbench.claims.evaluate import Run, evaluate_claims
from opbench.claims.read import read_claims
from opbench.claims.views import Tables
from opbench.config.claims import ClaimFile
from opbench.config.root import Config, parse_config
from opbench.io import tables as contracts
from opbench.statistics.compare import compare_methods
from opbench.statistics.evidence import judge_arms
from opbench.statistics.summarise import summarise_scores

DONORS = [f"d{i:02d}" for i in range(10)]
AUROC = ("t_vs_ctl_auroc", "mono_vs_dc_auroc")
ENDPOINTS = (
    "branch_balanced_accuracy", "stage_balanced_accuracy", "branch_macro_f1", "stage_macro_f1", *AUROC,
    "t_vs_ctl_balanced_accuracy", "mono_vs_dc_balanced_accuracy", "pseudotime_spearman", "pseudotime_spearman_abs",
    "depth_ridge_spearman",
)  # fmt: skip
#: method, arm, budgets -> height above the donor's level; random arms spread by draw.
METHODS = {
    ("extracted_head", "real", ("fixed", "plateau")): 0.10, ("extracted_mlp2", "real", ("fixed", "plateau")): 0.12,
    ("gaussian_mlp2", "gaussian_halves", ("plateau",)): 0.11, ("frozen_embedding_mlp", "mean", ("plateau",)): 0.05,
    ("frozen_embedding", "cls", ("",)): 0.02, ("frozen_embedding", "mean", ("",)): 0.03, ("rp512", "", ("",)): 0.06,
    ("direct_mlp", "64", ("plateau",)): 0.04, ("direct_mlp", "128-64", ("plateau",)): 0.07, ("pca10", "", ("",)): 0.08,
    ("raw_log1p", "", ("",)): 0.09, ("random_projection", "", ("",)): 0.01, ("rp_embedding", "", ("",)): 0.055,
    ("svd10", "", ("",)): 0.08, ("scvi", "", ("",)): 0.0, ("dpt", "", ("",)): 0.0, ("palantir", "", ("",)): 0.0,
}  # fmt: skip
#: Operator arms of the evidence campaign, and of Gaussian ones everywhere: height, draws (0: two adaptor seeds).
ARMS = {
    "gaussian_halves": (0.07, 5), "shuffle": (0.06, 5), "row_permuted": (0.05, 5), "gram_permuted": (0.03, 5),
    "uniform": (0.04, 0), "coexpression": (0.03, 0), "gram": (0.031, 0), "identity": (0.01, 0),
}  # fmt: skip
STEP = 0.001


def config(**sections: object) -> Config:
    """A run with a leave-one-donor-out campaign of many methods and one of donor folds with all arms."""
    data = {"path": "x.h5ad", "labels": "x.tsv", "evaluation": "a", "corpus": "b", "source": "s", "counts": "X",
            "columns": {"donor": "d", "cell_type": "c", "tissue": "t", "condition": "k", "gene": "index"}}  # fmt: skip
    campaign = {"panel": "p", "train": "cells", "test": "cells"}
    sides = {"positive": {"cells": ["a"]}, "negative": {"cells": ["b"]}}
    raw = {
        "run": "r", "datasets": {"cells": data}, "model": {"name": "m", "corpus": "cells"},
        "panels": {"p": {"datasets": ["cells"], "genes": {"kind": "hvg", "n": 10, "corpus": "cells"}}},
        "campaigns": {
            "lodo": campaign | {"design": "leave_one_donor_out", "splits": 10},
            "arms": campaign | {"design": "folds", "splits": 5},
        },
        "endpoints": {"binary": {"t_vs_ctl": sides, "mono_vs_dc": sides}},
        "statistics": {"bootstraps": 200},
    }  # fmt: skip
    return parse_config(raw | sections)


def _arm_rows(campaign: str, arms: dict[str, tuple[float, int]]) -> list[tuple]:
    rows = []
    for arm, (height, draws) in arms.items():
        method = "gaussian_head" if arm == "gaussian_halves" else "control_head"
        for budget in ("fixed", "plateau"):
            for number in range(draws or 2):
                shift = (number - (draws - 1) / 2) * STEP if draws else 0.0
                draw, seed = (number, 0) if draws else (-1, number)
                rows.append((campaign, method, arm, budget, draw, seed, height + shift))
    return rows


def make_scores(lead: float = 0.0) -> pd.DataFrame:
    """Scores; `lead` is added to the real operator's methods."""
    rows = []
    for (method, arm, budgets), height in METHODS.items():
        height += lead if arm == "real" else 0.0
        draws = range(3) if method in ("rp512", "rp_embedding", "random_projection", "gaussian_mlp2") else [-1]
        rows += [("lodo", method, arm, b, draw, 0, height + max(draw, 0) * 0.0) for b in budgets for draw in draws]
    rows += _arm_rows("lodo", {"gaussian_halves": ARMS["gaussian_halves"]}) + _arm_rows("arms", ARMS)
    real = METHODS["extracted_head", "real", ("fixed", "plateau")] + lead
    rows += [("arms", "extracted_head", "real", b, -1, s, real) for b in ("fixed", "plateau") for s in (0, 1)]
    columns = ["campaign", "method", "arm", "budget", "draw", "seed", "height"]
    frame = pd.DataFrame(rows, columns=columns).merge(pd.DataFrame({"endpoint": ENDPOINTS}), how="cross")
    frame = frame.merge(pd.DataFrame({"donor": DONORS}), how="cross")
    number = frame["donor"].str[1:].astype(int)
    frame["split"] = number.where(frame["campaign"] == "lodo", number % 5)
    frame["value"] = 0.5 + 0.02 * number + frame["height"]
    frame["operator"] = frame["arm"] + "-" + frame["draw"].astype(str)
    frame["width"] = frame["method"].isin(["extracted_head", "gaussian_head", "control_head"]) * 10
    return frame.assign(run="r", panel="p", protocol="inductive", model="m", n=50, status="ok", reason="",
                        condition="AML", pretraining_overlap=False, leaking=False)[contracts.SCORES.names]  # fmt: skip


def make_sweeps() -> pd.DataFrame:
    """Anchor heads: controls are above the real one but for 2,000 epochs; single heads score against accuracy.

    Gaussian draws lie `STEP` apart, symmetrically about their arm's height.
    """
    rows = []
    arms = [("real", "real", -1, 0.0), ("shuffle", "shuffle-0", 0, 0.02), ("uniform", "uniform", -1, 0.03)]
    arms += [("gaussian_halves", f"gaussian-{draw}", draw, 0.01 + (draw - 2) * STEP) for draw in range(5)]
    for arm, operator, draw, height in arms:
        for donor, name in enumerate(DONORS):
            for width in (10, 20, 50, 100):
                at = ("plateau", name, "branch_balanced_accuracy")
                rows.append(("width", arm, operator, draw, width, *at, height + donor))
        for budget, sign in (("220", 1), ("2000", -1)):
            rows.append(("budget", arm, operator, draw, 10, budget, "", "selection_score", 0.7 + sign * height))
    for head in range(8):
        of = ("heads", "head", f"head-L0H{head}", -1, 10, "plateau")
        for name in DONORS:
            rows.append((*of, name, "stage_balanced_accuracy", -head))
            rows.append((*of, name, "t_vs_ctl_auroc", head % 2))
        rows.append((*of, "", "selection_score", head))
    names = ["sweep", "arm", "operator", "draw", "width", "budget", "donor", "endpoint", "value"]
    frame = pd.DataFrame(rows, columns=names).assign(run="r", panel="p", head="let", seed=0, split=0, n=50)
    frame = frame.assign(convention="operator", learning_rate=5e-3, status="ok", reason="")
    return frame[contracts.SWEEPS.names].astype({"value": float})


def make_facts() -> pd.DataFrame:
    """The attention of 1,200 genes, 580 of them never tokens, and its drift."""
    own = {"run": "r", "panel": "p", "convention": "operator", "width": 64, "genes": 1200, "zero_rows": 580,
           "untokenised": 580, "support_share": 0.2, "nonzero_share": 0.2, "rank": 600,
           "square_parameters": 0}  # fmt: skip
    sums = {"operator": "attention", "arm": "real", "row_sum_error": 2e-6, "row_sum_correlation": 1.0}
    drift = {"operator": "drift", "arm": "real", "half_sum": 3e-7}
    return pd.DataFrame([own | sums, own | drift]).reindex(columns=contracts.OPERATOR_FACTS.names)


def make_repeat() -> pd.DataFrame:
    rows = [("r", "p", "cls", "same", 300, 0.0, 1.0, 1.0), ("r", "p", "cls", "other", 300, 1.0, 0.99, 0.97)]
    return pd.DataFrame(rows, columns=contracts.EMBEDDING_REPEAT.names)


def make_costs() -> pd.DataFrame:
    base = {"run": "r", "panel": "p", "campaign": "lodo", "draw": -1, "chunk": 0, "splits": 10, "fits": 10, "probes": 1,
            "reused": 0, "wall_s": 1.0, "saved_s": 0.0, "cpu_s": 1.0, "gpu_s": 0.0, "peak_mb": 100.0,
            "status": "ok"}  # fmt: skip
    methods = [("extracted_head", "real", "fixed", 24010), ("frozen_embedding_mlp", "mean", "plateau", 2879)]
    rows = [base | dict(zip(("method", "arm", "budget", "parameters"), one, strict=True)) for one in methods]
    return pd.DataFrame(rows)[contracts.COSTS.names]


def make_ratio() -> pd.DataFrame:
    rows = [("r", "p", "lodo", "extracted head", 1.0, 9.0, 1.0, 13.0, 22.0, 20.0, 8.0),
            ("r", "p", "lodo", "raw genes, linear probe", 0.0, 0.0, 1.0, 12.0, 12.0, 21.7, 21.7)]  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.RATIO.names)


def make_splits() -> pd.DataFrame:
    rows = [("r", "p", name, design, 0, 0, "test", "cells", donor, "AML", 100, False)
            for name, design in (("lodo", "leave_one_donor_out"), ("arms", "folds")) for donor in DONORS]  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.SPLITS.names)


@lru_cache(maxsize=4)
def world(lead: float = 0.0) -> dict[str, pd.DataFrame]:
    """All tables that today's claims read."""
    run, scores = config(), make_scores(lead)
    nulls = [("r", "p", "lodo", "random_value_per_cell_type", 500, 10, 0.29, 0.45)]
    return {
        "scores": scores, "summary": summarise_scores(scores, run.endpoints, run.statistics),
        "comparisons": compare_methods(scores, run.endpoints, run.statistics),
        "evidence": judge_arms(scores, run.endpoints, run.statistics, run.evidence), "splits": make_splits(),
        "nulls": pd.DataFrame(nulls, columns=contracts.NULLS.names), "sweeps": make_sweeps(), "costs": make_costs(),
        "ratio": make_ratio(), "operator_facts": make_facts(), "embedding_repeat": make_repeat(),
    }  # fmt: skip


def chain(name: str, records: list[dict], **about: object) -> pd.DataFrame:
    """Rows of a table of the discovery chain as its contract wants them; what is not given is empty, and counts."""
    schema = getattr(contracts, name.upper())
    empty = {contracts.TEXT: "", contracts.INT: 0, contracts.REAL: float("nan"), contracts.FLAG: False}
    usual = {"run": "r", "panel": "p", "arm": "real", "n": len(DONORS), "budget": "plateau", "status": "ok"}
    usual = {field.name: usual.get(field.name, empty[field.type]) for field in schema}
    frame = pd.DataFrame([usual | about | row for row in records])[schema.names]
    contracts.to_table(frame, schema, name)
    return frame


MODEL = {"name": "m", "digest": "0" * 64, "published": False}
CLAIMS = read_claims(Path(__file__).resolve().parents[2] / "config" / "claims.yaml")


def only(*numbers: int, **changes: object) -> ClaimFile:
    """Some of the shipped claims, changed."""
    chosen = [claim.model_copy(update=changes) for claim in CLAIMS.claims if claim.id in numbers]
    return CLAIMS.model_copy(update={"claims": chosen})


def found(tables: dict[str, pd.DataFrame] | None = None, claims=CLAIMS, run=None, model=MODEL, genes=None):
    """The table of claims, checked against its contract."""
    run = Run(run or config(), Tables(world() if tables is None else tables), model, genes or {})
    table = evaluate_claims(claims, run)
    contracts.to_table(table, contracts.CLAIMS, "claims")
    return table


def rows(table: pd.DataFrame, number: int, case: str = "") -> pd.DataFrame:
    return table[(table["claim"] == number) & table["case"].str.startswith(case)]


def one(table: pd.DataFrame, number: int, case: str = "") -> pd.Series:
    return rows(table, number, case).iloc[0]


def changed(name: str, where: dict[str, object], **values: object) -> dict[str, pd.DataFrame]:
    """All tables, with some columns of some rows of one table set."""
    frame = world()[name].copy()
    hit = pd.Series(True, frame.index)
    for column, wanted in where.items():
        hit &= frame[column].isin(wanted if isinstance(wanted, list) else [wanted])
    assert hit.any()
    for column, value in values.items():
        frame.loc[hit, column] = value
    return world() | {name: frame}


def without(name: str, **where: object) -> dict[str, pd.DataFrame]:
    """All tables, with some rows of one table left out."""
    frame = world()[name]
    hit = pd.Series(True, frame.index)
    for column, wanted in where.items():
        hit &= frame[column].isin(wanted if isinstance(wanted, list) else [wanted])
    assert hit.any()
    return world() | {name: frame[~hit]}

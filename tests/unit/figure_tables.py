"""Result tables of a made-up run, in the shapes and sizes of a real one, for tests of figures and landing page."""

from functools import lru_cache
from pathlib import Path

import claims_tables
import discovery_tables
import numpy as np
import pandas as pd
from discovery_tables_b import chain_tables
from evidence_tables import battery
from geometry_tables import geometry_table, with_headlines

from opbench.claims.evaluate import Run, evaluate_claims
from opbench.claims.read import read_claims
from opbench.claims.views import Tables
from opbench.config.benchmark import Endpoints, Statistics
from opbench.figures.catalog import FIGURES
from opbench.io import tables as contracts
from opbench.io.seeds import keyed_rng
from opbench.statistics.compare import compare_methods
from opbench.statistics.summarise import summarise_scores

LABELS = {
    "HSC": ("stem_progenitor", 0.0), "Prog": ("stem_progenitor", 1.5), "GMP": ("stem_progenitor", 3.0),
    "ProMono": ("mono_dc", 4.0), "Mono": ("mono_dc", 5.5), "cDC": ("mono_dc", 5.0), "pDC": ("mono_dc", 5.0),
    "earlyEry": ("erythroid_mk", 4.0), "lateEry": ("erythroid_mk", 5.0), "ProB": ("b_plasma", 3.0),
    "B": ("b_plasma", 5.5), "Plasma": ("b_plasma", 7.0), "T": ("t", 6.0), "CTL": ("t", 7.0), "NK": ("nk_ilc", 4.0),
}  # fmt: skip
BLOOD = {"CD4 T cells": ("t", 6.0), "CD14+ Monocytes": ("mono_dc", 5.0),
         "FCGR3A+ Monocytes": ("mono_dc", 5.0), "Dendritic cells": ("mono_dc", 5.0),
         "Megakaryocytes": ("erythroid_mk", 5.0), "NK cells": ("nk_ilc", 4.0)}  # fmt: skip
#: method -> (protocol, budgets, draws, quality)
METHODS = {
    "extracted_head": ("inductive", ("fixed", "plateau"), (-1,), 0.62),
    "gaussian_head": ("inductive", ("fixed", "plateau"), (0, 1), 0.60),
    "leaking_head": ("leaking", ("fixed", "plateau"), (-1,), 0.70),
    "raw_log1p": ("inductive", ("",), (-1,), 0.66), "pca10": ("inductive", ("",), (-1,), 0.58),
    "svd10": ("transductive", ("",), (-1,), 0.57), "random_projection": ("inductive", ("",), (-1,), 0.35),
    "oracle": ("oracle", ("",), (-1,), 1.0), "chance": ("chance", ("",), (-1,), 0.0),
}  # fmt: skip
BINARY = ("t_vs_ctl", "gmp_vs_mono", "hscprog_vs_gmp", "mono_vs_dc")
ENDPOINTS = (
    "branch_balanced_accuracy", "branch_macro_f1", "stage_balanced_accuracy", "stage_macro_f1",
    *(f"{name}_{what}" for name in BINARY for what in ("auroc", "balanced_accuracy")), "cd4_vs_cd8_auroc",
    "pseudotime_spearman", "pseudotime_spearman_abs", "pseudotime_within_lineage", "depth_ridge_spearman",
    *(f"pseudotime_null_{kind}_{what}" for kind in ("permuted", "random", "cells") for what in ("mean", "q95")),
)  # fmt: skip
NULL_MEANS = {
    "permuted_mean": 0.28,
    "permuted_q95": 0.52,
    "random_mean": 0.29,
    "random_q95": 0.55,
    "cells_mean": 0.03,
    "cells_q95": 0.06,
}
SETTINGS = Endpoints(binary={name: {"positive": {}, "negative": {}} for name in BINARY})
FEW = {"gmp_vs_mono": 9, "t_vs_ctl": 11, "hscprog_vs_gmp": 10, "mono_vs_dc": 6}


def donor_names(n: int) -> list[str]:
    return [f"BM{i + 1}" for i in range(min(4, n))] + [f"AML{i}A" for i in range(328, 328 + max(0, n - 4))]


def one_value(endpoint: str, method: str, donor: int, draw_: int, split: int) -> tuple[float, str]:
    """A score that depends on its keys alone, and its status."""
    quality = METHODS[method][3]
    rng = keyed_rng("test", endpoint, method, donor, draw_, split)
    shift = 0.08 * keyed_rng("donor", endpoint, donor).standard_normal()
    task = endpoint.rsplit("_", 1)[0].removesuffix("_balanced")
    if method == "random_projection":
        return np.nan, "failed"
    if endpoint == "cd4_vs_cd8_auroc" or donor >= FEW.get(task, 99) or (method == "svd10" and donor > 11):
        return np.nan, "not_applicable"
    if endpoint.startswith(("pseudotime", "depth")) and method in ("oracle", "chance"):
        return (1.0, "ok") if method == "oracle" and "null" not in endpoint else (np.nan, "not_applicable")
    for kind, mean in NULL_MEANS.items():
        if endpoint.endswith(f"null_{kind}"):
            return mean + 0.03 * rng.standard_normal(), "ok"
    floor = 0.5 if "auroc" in endpoint or task in BINARY else 0.14
    noise = 0.0 if method == "oracle" else shift + 0.03 * rng.standard_normal()
    value = floor + (1 - floor) * quality + noise
    return (abs(value - 0.25) if "pseudotime" in endpoint else min(value, 1.0)), "ok"


def make_scores(campaign: str, n_donors: int, group: int = 1) -> pd.DataFrame:
    donors, rows = donor_names(n_donors), []
    for split in range(n_donors):
        for donor in {(split + k) % n_donors for k in range(group)}:
            for method, (protocol, budgets, draws, _) in METHODS.items():
                for budget in budgets:
                    for draw_ in draws:
                        for endpoint in ENDPOINTS:
                            value, status = one_value(endpoint, method, donor, (draw_, budget), split)  # type: ignore[arg-type]
                            rows.append((campaign, split, donors[donor], method, protocol, draw_, budget, endpoint,
                                         value, status, "healthy" if donor < 4 else "AML",
                                         protocol == "leaking"))  # fmt: skip
    names = [
        "campaign",
        "split",
        "donor",
        "method",
        "protocol",
        "draw",
        "budget",
        "endpoint",
        "value",
        "status",
        "condition",
        "leaking",
    ]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(run="demo", panel="marrow", model="nano", operator="", arm="", width=10, seed=0, n=50,
                        reason="", pretraining_overlap=False)[contracts.SCORES.names]  # fmt: skip


def make_panels() -> pd.DataFrame:
    rows = []
    for dataset, labels, donors in (
        ("vangalen", LABELS, donor_names(21)),
        ("kang", BLOOD, [str(100 + k) for k in range(8)]),
    ):
        for index, donor in enumerate(donors):
            for label, (branch, depth) in labels.items():
                n = int(keyed_rng("cells", donor, label).lognormal(2.2, 1.6)) * int(
                    keyed_rng(donor, label).random() > 0.2
                )
                if n:
                    condition = "normal" if dataset == "kang" else ("healthy" if index < 4 else "AML_D0")
                    rows.append(
                        (
                            "demo",
                            "marrow",
                            dataset,
                            donor,
                            condition,
                            "bone marrow",
                            label,
                            label,
                            branch,
                            depth,
                            n,
                            7 if dataset == "kang" else 0,
                            dataset == "kang",
                        )
                    )
    return pd.DataFrame(rows, columns=contracts.PANELS.names)


def make_roles() -> pd.DataFrame:
    rows = [("demo", "vangalen", "evaluation", "HSC", 500), ("demo", "vangalen", "dropped", "", 51)]
    rows += [("demo", "vangalen", "dropped", label, 10 + k) for k, label in enumerate(list(LABELS)[:6])]
    return pd.DataFrame([*rows, ("demo", "kang", "evaluation", "B", 9)], columns=contracts.ROLES.names)


def make_splits(campaign: str, n_donors: int) -> pd.DataFrame:
    donors = donor_names(n_donors)
    rows = [("demo", "marrow", campaign, "leave_one_donor_out", split, split, "test" if d == split else "train",
             "vangalen", donor, "healthy" if d < 4 else "AML", 100, d >= 4) for split in range(n_donors - 2)
            for d, donor in enumerate(donors)]  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.SPLITS.names)


def make_latent() -> pd.DataFrame:
    rows = []
    for method in ("extracted_head [fixed]", "extracted_head [plateau]", "gaussian_head [fixed]", "pca10", "svd10"):
        for index in range(900):
            label = list(LABELS)[index % 15]
            branch, depth = LABELS[label]
            centre = keyed_rng("centre", method, label).standard_normal(3) * 3
            x, y, z = centre + keyed_rng(method, index).standard_normal(3)
            donor = donor_names(14)[index % 14]
            rows.append(("marrow", "lodo", 0, method, f"c{index}", "test" if donor == "BM3" else "train", donor, "AML",
                         label, branch, depth, x, y, z))  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.LATENT.names)


def make_costs() -> pd.DataFrame:
    rows = []
    for campaign, scale in (("lodo", 1.0), ("grouped", 0.6)):
        for rank, (method, (_, budgets, draws, _)) in enumerate(METHODS.items()):
            for budget in budgets:
                for draw_ in draws:
                    for chunk in range(2):
                        failed = method == "random_projection"
                        wall = scale * {"fixed": 40, "plateau": 300, "": 5 / (rank + 1)}[budget]
                        counts = (7, 0 if failed else 7, 42, 3)
                        times = (wall, wall / 10, wall, 0.0, 400.0 + 50 * rank)
                        rows.append(("demo", "marrow", campaign, method, "", budget, draw_, chunk, *counts, *times,
                                     0 if budget == "" else 24170, "failed" if failed else "ok"))  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.COSTS.names)


def make_claims() -> pd.DataFrame:
    """The shipped claims on the made-up run of `claims_tables`."""
    claims = read_claims(Path(__file__).resolve().parents[2] / "config" / "claims.yaml")
    return evaluate_claims(claims, Run(claims_tables.config(), Tables(claims_tables.world()), claims_tables.MODEL, {}))


def make_sweeps() -> pd.DataFrame:
    """A swept panel: four Gaussian draws of which two are swept over width, and two arms without draws."""
    values = [("budget", "let", 10, budget) for budget in ("50", "220", "2000", "plateau")]
    wide = [("width", "let", width, "plateau") for width in (3, 10)]
    wide += [*(("width", "closed_form", width, "") for width in (3, 10)), ("width", "none", 0, "")]
    donors, rows = donor_names(14), []
    for arm, draw_ in (("real", -1), *(("gaussian_halves", i) for i in range(4)), ("uniform", -1)):
        for sweep, head, width, budget in [*values, *(wide if draw_ < 2 else [])]:
            point = (arm, draw_, head, width, budget)
            for endpoint in ("branch_balanced_accuracy", "stage_balanced_accuracy", "gmp_vs_mono_auroc"):
                for index, donor in enumerate(donors[: FEW["gmp_vs_mono"] if "gmp" in endpoint else 14]):
                    value = 0.6 + 0.1 * keyed_rng("sweep", endpoint, donor, *point).random()
                    rows.append((sweep, *point, index % 5, donor, endpoint, value))
            if head != "none":
                rows += [(sweep, *point, fold, "", "selection_score", 0.4 + 0.02 * fold) for fold in range(5)]
    names = ["sweep", "arm", "draw", "head", "width", "budget", "split", "donor", "endpoint", "value"]
    frame = pd.DataFrame(rows, columns=names)
    frame["operator"] = frame["arm"] + "-" + frame["draw"].astype(str)
    return frame.assign(
        run="demo", panel="marrow", seed=0, convention="operator", learning_rate=5e-3, n=50, status="ok", reason=""
    )[contracts.SWEEPS.names]


@lru_cache(maxsize=4)
def world(n_donors: int = 14) -> dict[str, pd.DataFrame]:
    """Tables of a run with a leave-one-donor-out and a grouped campaign, or of one donor."""
    parts = [make_scores("lodo", n_donors)] + ([make_scores("grouped", n_donors, 3)] if n_donors > 3 else [])
    scores = pd.concat(parts, ignore_index=True)
    inference = Statistics(bootstraps=200)
    nulls = pd.DataFrame(
        [("demo", "marrow", "lodo", "random_value_per_cell_type", 500, n_donors, 0.29, 0.41)],
        columns=contracts.NULLS.names,
    )
    return {
        "scores": pd.concat([scores, battery()["scores"]], ignore_index=True),
        "summary": summarise_scores(scores, SETTINGS, inference, ("grouped",)),
        "comparisons": compare_methods(scores, SETTINGS, inference, ("grouped",)), "costs": make_costs(),
        "latent": make_latent(),
        "panels": make_panels(), "splits": pd.concat([make_splits("lodo", 14), make_splits("grouped", 12)]),
        "nulls": nulls, "roles": make_roles(), "claims": make_claims(), "sweeps": make_sweeps(),
        "evidence": battery()["evidence"],
        **discovery_tables.world(), **chain_tables(), **with_headlines(geometry_table()),
    }  # fmt: skip


def write_world(tables: dict[str, pd.DataFrame], folder: Path) -> dict[str, list[Path]]:
    for name, table in tables.items():
        contracts.write_table(table, folder / f"{name}.parquet", getattr(contracts, name.upper()))
    return {name: [folder / f"{name}.parquet"] for name in tables}


def scope_of(name: str) -> str:
    """A scope of this world for a figure, by the kind that the catalogue gives it."""
    kinds = {"campaign": "lodo", "pseudotime": "lodo", "battery": "evidence", "run": "demo", "geometry": "demo"}
    return kinds.get(FIGURES[name][2], "marrow")

"""Small made-up tables of the chain: latent findings, compaction, factors, programs, second manifold, running time."""

from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from opbench.io import tables as contracts
from opbench.io.seeds import keyed_rng

#: Arm -> (operators, head seeds), as a run of the chain has them.
ARMS = {
    "real": (1, 3), "gaussian_halves": (6, 1), "shuffle": (4, 1), "row_permuted": (3, 1), "uniform": (1, 3),
    "coexpression": (1, 3), "identity": (1, 3), "label_lookup": (2, 1),
}  # fmt: skip
MATRICES = [arm for arm in ARMS if arm != "label_lookup"]
ENDPOINTS = (
    "branch_balanced_accuracy", "branch_macro_f1", "stage_balanced_accuracy", "stage_macro_f1",
    "gmp_vs_mono_auroc", "hscprog_vs_gmp_auroc", "mono_vs_dc_auroc", "t_vs_ctl_auroc",
)  # fmt: skip
SELECTION = "L2H5 selected on internal donors; 6 of 14 tested donors took part"
SIZES = {"full": 17_500_000, "top1": 5_900_000, "rank64": 730_000, "rank32": 370_000, "rank16": 185_000,
         "rank8": 92_000, "sparse": 120_000}  # fmt: skip
PARTS = {"internal": 69, "external": 89, "zero_shot": 63}
FACTORS = 24
#: Components -> their correlation with the second ruler.
COMPONENTS = {width: 0.7 + 0.02 * width for width in range(2, 7)}
GENES = (
    "CSF3R", "IL7R", "HLA-DRA", "LGALS3", "LYZ", "ALPL", "S100A8", "S100A9", "HBB", "HBA1", "MPO", "ELANE", "CD79A",
    "IGKC", "NKG7", "GNLY",
)  # fmt: skip


def operators(arms: list[str]) -> list[dict]:
    """run, panel, arm, operator, draw and seed of every job."""
    out = []
    for arm in arms:
        n, seeds = ARMS[arm]
        for draw in range(max(n, seeds)):
            name = {"real": "drift", "gaussian_halves": "gaussian"}.get(arm, arm) + (f"-{draw}" if n > 1 else "")
            out.append({"run": "demo", "panel": "marrow", "arm": arm, "operator": name, "draw": draw,
                        "seed": 15052 + (0 if n > 1 else draw)})  # fmt: skip
    return out


def noise(*key: object) -> float:
    return float(keyed_rng("discovery-b", *key).standard_normal())


def fill(rows: list[dict], schema) -> pd.DataFrame:
    """A frame of `schema`; columns that a row leaves out are empty."""
    frame = pd.DataFrame(rows).reindex(columns=schema.names)
    for name in schema.names:
        kind = str(schema.field(name).type)
        blank = {"string": "", "int64": -1, "bool": False}.get(kind, np.nan)
        frame[name] = frame[name].astype(object).where(frame[name].notna(), blank)
    return contracts.to_table(frame, schema, "made-up table").to_pandas()


def make_findings() -> pd.DataFrame:
    rows = []
    for job in operators(list(ARMS)):
        key, good = (job["arm"], job["draw"]), job["arm"] == "real"
        for part, n in PARTS.items():
            base = job | {"part": part, "head": "let", "width": 10, "n": n, "status": "ok"}
            axes = np.clip(keyed_rng("axes", *key, part).normal(0, 0.5, (10, 10)), -0.98, 0.98)
            for i, j in combinations(range(10), 2):
                rows.append(
                    base | {"finding": "axis_correlation", "quantity": "r", "i": i, "j": j, "value": axes[i, j]}
                )
            mean = np.abs(axes[np.triu_indices(10, 1)]).mean()
            test = {"p": 1 / 301 if good else 0.2, "p_floor": 1 / 301}
            rows.append(base | {"finding": "axis_correlation", "quantity": "mean_abs_r", "value": mean,
                                "null_mean": 0.12, "null_q95": 0.15} | test)  # fmt: skip
            for quantity, value, null in (("plane_share", 0.97 + 0.01 * noise(*key, part), 0.8),
                                          ("ripple_r2", 0.1 + 0.07 * good + 0.03 * noise(*key, part), 0.06),
                                          ("significant_axes", 5.0 if good else 1.0, np.nan)):  # fmt: skip
                rows.append(base | {"finding": "plane", "quantity": quantity, "value": value,
                                    "null_mean": null * 0.8, "null_q95": null} | test)  # fmt: skip
            for quantity, value in (("view3", 0.7), ("lens", 0.86), ("best_axis", 0.82), ("full", 0.9)):
                missing = part == "zero_shot" and quantity == "lens"
                row = {"finding": "t_lens", "quantity": quantity, "value": value + 0.04 * noise(*key, part, quantity),
                       "null_mean": 0.62, "null_q95": 0.75} | test  # fmt: skip
                if missing:
                    row |= {"value": np.nan, "status": "not_testable", "reason": "Too few T-cell anchors."}
                rows.append(base | row)
    return fill(rows, contracts.LATENT_FINDINGS)


def make_compaction() -> pd.DataFrame:
    rows = []
    for job in [job for job in operators(MATRICES) if job["draw"] < 4]:
        levels: dict[tuple[str, str], float] = {}
        for step, (variant, size) in enumerate(SIZES.items()):
            reference = "" if variant == "full" else "full" if variant == "top1" else "top1"
            mine = []
            for endpoint in ENDPOINTS:
                value = (
                    0.8
                    - 0.02 * step
                    - 0.1 * (variant == "sparse")
                    + 0.02 * noise(job["arm"], job["draw"], variant, endpoint)
                )
                levels[variant, endpoint] = value
                row = job | {"campaign": "evidence", "variant": variant, "reference": reference, "bytes": size,
                             "selection": SELECTION, "endpoint": endpoint, "value": value, "n": 14, "margin": 0.01,
                             "endpoints": len(ENDPOINTS), "status": "ok"}  # fmt: skip
                if reference:
                    effect = value - levels[reference, endpoint]
                    row |= {"effect": effect, "ci_low": effect - 0.03, "ci_high": effect + 0.03, "p_floor": 2**-13,
                            "q": 0.01 if effect < -0.03 else 0.4, "p": 0.005 if effect < -0.03 else 0.3,
                            "p_noninferiority": 0.01 if effect > 0.02 else 0.5,
                            "outcome": "loss" if effect < -0.03 else ["undecided", "non_inferior"][effect > 0.02],
                            }  # fmt: skip
                mine.append(row)
            lost = sum(row.get("outcome") == "loss" for row in mine)
            rows += [row | {"losses": float(lost) if reference else np.nan} for row in mine]
    return fill(rows, contracts.COMPACTION)


def make_factors() -> pd.DataFrame:
    rows = []
    for job in [job for job in operators(MATRICES) if job["draw"] < 3]:
        base = job | {"campaign": "evidence", "form": "rank64", "n": 14, "status": "ok", "factor": -1}
        key = (job["arm"], job["draw"])
        intact = {endpoint: 0.8 + 0.02 * noise(*key, endpoint) for endpoint in ENDPOINTS}
        for probes in ("fixed", "retrained"):
            here = base | {"probes": probes}
            rows += [here | {"quantity": "intact", "endpoint": e, "value": v} for e, v in intact.items()]
            decay = 0.55 if job["arm"] == "real" else 0.85
            impact = np.array([decay**k * abs(1 + 0.3 * noise(*key, probes, k)) for k in range(FACTORS)])
            impact *= (0.4 if probes == "fixed" else 0.15) / impact.max()
            orders = {"share": impact.cumsum() / impact.sum(),
                      "share_by_impact": np.sort(impact)[::-1].cumsum() / impact.sum()}  # fmt: skip
            for factor in range(FACTORS):
                mine = here | {"factor": factor, "endpoint": "pooled", "n": 0}
                rows.append(mine | {"quantity": "impact", "value": impact[factor]})
                rows += [mine | {"quantity": name, "value": curve[factor]} for name, curve in orders.items()]
                rows += [
                    mine | {"quantity": "drop", "n": 14, "endpoint": e, "value": impact[factor] / 8}
                    for e in ENDPOINTS[:2]
                ]
        here = base | {"probes": "fixed"}
        core = [subset for size in (1, 2, 3, 4) for subset in combinations(range(4), size)]
        for subset in core:
            for endpoint, whole in intact.items():
                share = min(0.35 + 0.14 * len(subset) + 0.05 * noise(*key, subset, endpoint), 1.05)
                name = "+".join(map(str, subset))
                rows.append(here | {"quantity": "subset", "endpoint": endpoint, "subset": name, "value": share * whole})
                rows.append(here | {"quantity": "subset_share", "endpoint": endpoint, "subset": name, "value": share})
        for index in range(12):
            drawn = sorted(keyed_rng("cores", index).choice(np.arange(4, FACTORS), 4, replace=False))
            for endpoint, whole in intact.items():
                value = whole * (0.55 + 0.06 * noise(*key, "random", index, endpoint))
                rows.append(here | {"quantity": "random_core", "endpoint": endpoint, "value": value,
                                    "subset": "+".join(map(str, drawn))})  # fmt: skip
                rows.append(rows[-1] | {"probes": "retrained", "value": 1.1 * value})
    return fill(rows, contracts.FACTORS)


def make_programs() -> pd.DataFrame:
    rows = []
    for job in [job for job in operators(["real", "gaussian_halves", "coexpression"]) if job["draw"] < 2]:
        for factor in range(16):
            for side in ("read", "write"):
                genes = keyed_rng("genes", job["operator"], factor, side).permutation(GENES)
                about = job | {"factor": factor, "singular_value": 30.0 / (factor + 1), "side": side}
                for rank, gene in enumerate(genes[:10], 1):
                    rows.append(about | {"rank": rank, "gene": gene, "weight": 0.4 / rank})
    return fill(rows, contracts.PROGRAMS)


def make_enrichment() -> pd.DataFrame:
    rows = []
    names = ("HALLMARK_INFLAMMATORY_RESPONSE", "GOBP_NEUTROPHIL_DEGRANULATION_AND_LEUKOCYTE_ACTIVATION_IN_IMMUNITY")
    for job in [job for job in operators(["real", "gaussian_halves"]) if job["draw"] < 2]:
        for factor in range(8):
            for side in ("read", "write"):
                for index, name in enumerate(names):
                    q = 10 ** (-8.0 + factor + index) if job["arm"] == "real" else 0.02 * (1 + factor + index)
                    rows.append({key: job[key] for key in ("run", "panel", "arm", "operator", "draw")} | {
                        "factor": factor, "side": side, "collection": "hallmark", "gene_set": name,
                        "overlap": 9 - factor,
                        "set_size": 43, "listed": 30, "background": 1200, "fold": 4.0, "p": q / 10, "q": min(q, 1.0),
                        "genes": "LYZ,MPO", "status": "ok"})  # fmt: skip
    return fill(rows, contracts.ENRICHMENT)


def make_manifold2() -> pd.DataFrame:
    rows = []
    jobs = [job for job in operators(["real", "gaussian_halves", "identity"]) if job["draw"] < 3]
    shuffled = [jobs[0] | {"arm": "shuffled_path", "draw": draw} for draw in range(40)]
    for job in [*jobs, *shuffled]:
        null, key = job["arm"] == "shuffled_path", (job["arm"], job["draw"])
        settings = (
            [("geodesic_mds", 10)] if null else [(m, k) for m in ("geodesic_mds", "isomap") for k in (10, 15, 20)]
        )
        for method, k in settings:
            chosen = (method, k) == ("geodesic_mds", 10)
            base = job | {"method": method, "neighbours": k, "chosen": chosen, "status": "ok"}
            level = (0.1 if null else 0.8) + 0.04 * noise(*key, method, k)
            rows.append(base | {"part": "internal", "quantity": "correlation", "value": level, "n": 69})
            rows.append(base | {"part": "internal", "quantity": "trust", "value": 0.9, "n": 69})
            if not chosen:
                continue
            level -= 0.05
            rows.append(base | {"part": "external", "quantity": "correlation", "value": level, "low": level - 0.05,
                                "high": level + 0.05, "p": 0.005, "p_floor": 0.005, "n": 89})  # fmt: skip
            for width in range(2, 7):
                value = level - COMPONENTS[width]
                rows.append(base | {"part": "external", "quantity": f"margin_pca{width}", "value": value,
                                    "low": value - 0.04, "high": value + 0.04, "n": 89})  # fmt: skip
    for width, value in COMPONENTS.items():
        rows.append(jobs[0] | {"arm": "pca", "operator": f"pca{width}", "method": "pca", "neighbours": 0, "n": 89,
                               "part": "external", "quantity": "correlation", "value": value, "low": value - 0.06,
                               "high": value + 0.06, "chosen": False, "status": "ok"})  # fmt: skip
    return fill(rows, contracts.MANIFOLD2)


def make_ratio() -> pd.DataFrame:
    rows = []
    for campaign, scale in (("grouped", 1.0), ("lodo", 1.4)):
        whole = {"frozen embedding + MLP": (5163.8, 0.0, 159.2 * scale), "extracted head": (99.5, 900.0, 8.8),
                 "raw genes, linear probe": (0.0, 0.0, 5.0)}  # fmt: skip
        frozen = [5163.8 + 12 * 159.2 * scale] * 2
        for system, (once, forward, split) in whole.items():
            total = once + 12 * split
            rows.append({"run": "demo", "panel": "marrow", "campaign": campaign, "system": system, "once_s": once,
                         "forward_s": forward, "split_s": split, "campaign_s": total,
                         "campaign_whole_s": total + forward, "ratio": frozen[0] / total,
                         "ratio_whole": frozen[1] / (total + forward)})  # fmt: skip
    return fill(rows, contracts.RATIO)


@lru_cache(maxsize=1)
def chain_tables() -> dict[str, pd.DataFrame]:
    """All tables by name, of panel `marrow` of run `demo`."""
    return {
        "latent_findings": make_findings(), "compaction": make_compaction(), "factors": make_factors(),
        "programs": make_programs(), "enrichment": make_enrichment(), "manifold2": make_manifold2(),
        "ratio": make_ratio(),
    }  # fmt: skip

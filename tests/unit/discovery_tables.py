"""Made-up tables of the discovery chain, in the shapes of a real run: parts, gates, head scan, views."""

import itertools

import numpy as np
import pandas as pd

from opbench.io import tables as contracts
from opbench.io.seeds import keyed_rng

#: Panel with everything; of `EMPTY` no gate, head or view could be tested.
PANEL, EMPTY = "marrow", "none"
LABELS = {
    "HSC": ("stem_progenitor", 0.0), "Prog": ("stem_progenitor", 1.5), "GMP": ("stem_progenitor", 3.0),
    "ProMono": ("mono_dc", 4.0), "Mono": ("mono_dc", 5.5), "cDC": ("mono_dc", 5.0), "lateEry": ("erythroid_mk", 5.0),
    "ProB": ("b_plasma", 3.0), "B": ("b_plasma", 5.5), "T": ("t", 6.0), "CTL": ("t", 7.0), "NK": ("nk_ilc", 4.0),
}  # fmt: skip
#: Part -> (dataset, donors, labels).
PARTS = {
    "internal": ("vangalen", 8, list(LABELS)), "external": ("vangalen", 9, list(LABELS)),
    "zero_shot": ("kang", 8, ["Mono", "cDC", "B", "T", "CTL", "NK"]),
}  # fmt: skip
#: Arm -> draws; `real` and fixed arms have head seeds in their place.
ARMS = {"real": 3, "gaussian_halves": 6, "shuffle": 6, "row_permuted": 4, "uniform": 3, "identity": 3,
        "label_lookup": 3}  # fmt: skip
RANDOM = ("gaussian_halves", "shuffle", "row_permuted", "label_lookup")
GATES = {"trustworthiness": 0.9, "geodesic": 0.7, "correlation": 0.5, "residualised": 0.45, "random": 0.5, "donor": 0.5,
         "branch": 0.25}  # fmt: skip
HELD, NULLS = ("random", "donor", "branch"), ("null_branch", "null_labels")
LAYERS, INDEXES = 6, 4
WHY = "6 anchors, fewer than 20"


def make_parts() -> pd.DataFrame:
    rows = []
    for part, (dataset, donors, labels) in PARTS.items():
        for donor, label in itertools.product(range(donors), labels):
            name = f"{part[0].upper()}{donor}"
            n = 5 + int(keyed_rng("cells", name, label).exponential(20))
            tissue = "bone marrow" if dataset == "vangalen" else "blood"
            branch, depth = LABELS[label]
            facts = (dataset, name, tissue, "healthy", label, label, branch, depth, n)
            rows.append((PANEL, part, f"{part}|{dataset}:{name}:{label}", *facts))
    return pd.DataFrame([("demo", *row) for row in rows], columns=contracts.PARTS.names)


def make_part_overlap() -> pd.DataFrame:
    rows = [("demo", PANEL, a, b, 1700, 2300, 0, PARTS[a][1], PARTS[b][1], 0, 0)
            for a, b in itertools.combinations(PARTS, 2)]  # fmt: skip
    return pd.DataFrame(rows, columns=contracts.PART_OVERLAP.names)


def _units() -> list[tuple[str, int, str, int]]:
    """(arm, draw, operator, seed) of every head."""
    out = []
    for arm, n in ARMS.items():
        operator = {"real": "drift", "gaussian_halves": "gaussian"}.get(arm, arm)
        random = arm in RANDOM
        out += [(arm, i, f"{operator}-{i}" if random else operator, 15052 + (0 if random else i)) for i in range(n)]
    return out


def _gate(value: float, gate: str, n: int = 96) -> dict:
    """Columns of one gate, as the chain writes them."""
    null = (
        (0.1, 0.18) if gate == "blocked_permutation" else (0.85, 0.88) if gate == "trustworthiness" else (np.nan,) * 2
    )
    threshold = {"trustworthiness": 0.8, "blocked_permutation": 0.001}.get(gate, 0.2 if gate in HELD else np.nan)
    p = 1 / 2001 if gate == "blocked_permutation" else np.nan
    passed = p <= threshold if gate == "blocked_permutation" else value >= threshold
    return {"gate": gate, "value": value, "p": p, "p_floor": p, "null_mean": null[0], "null_q95": null[1],
            "threshold": threshold, "passed": bool(passed), "n": 20 if gate in HELD else n}  # fmt: skip


def _part_gates(part: str, place: int, arm: str, draw: int, budget: str) -> list[dict]:
    """Gates of a head on a part: what lies deeper in the chain is worse, and null rulers leave nothing but trust."""
    out = []
    for gate, level in GATES.items():
        noise = keyed_rng("gate", arm, draw, budget, part, gate).standard_normal()
        lead = {"real": 0.02, "label_lookup": 0.2, "identity": -0.3}.get(arm, 0.0) - 0.04 * place
        value = min(level + lead + 0.03 * noise, 1.0)
        value = 0.05 * noise if part in NULLS and gate != "trustworthiness" else value
        out.append(_gate(value, gate))
        if gate == "correlation":
            out += [_gate(value, "blocked_permutation"), _gate(value - 0.15, "correlation_between")]
        if gate == "branch":
            out += [_gate(value - 0.1, "branch_weighted"), _gate(value - 0.15, "branch_between")]
    return [*out, _gate(0.85, "trust_reference")]


def make_gates() -> pd.DataFrame:
    rows = []
    for (arm, draw, operator, seed), budget in itertools.product(_units(), ("fixed", "plateau")):
        about = {"head": "let", "width": 10, "budget": budget, "learning_rate": 0.005, "arm": arm,
                 "operator": operator, "draw": draw,
                 "seed": seed, "status": "cap" if draw == 1 else "ok", "reason": ""}  # fmt: skip
        for place, part in enumerate(PARTS):
            rows += [about | {"part": part} | gate for gate in _part_gates(part, place, arm, draw, budget)]
        for part, ruler in itertools.product(NULLS, range(4)) if (arm, draw) == ("real", 0) else []:
            rows += [about | {"part": part, "draw": ruler} | gate for gate in _part_gates(part, 0, arm, ruler, budget)]
        for width in (3, 6, 10):
            noise = 0.02 * keyed_rng("objective", arm, draw, width, budget).standard_normal()
            for gate, value in (("objective", 0.4 + 0.05 * np.log(width)), ("trust", 0.85 + 0.03 * np.log(width))):
                rows.append(about | {"part": "dimension", "width": width} | _gate(value + noise, f"{gate}_{width}"))
    none = {"part": "control", "status": "not_testable", "reason": WHY}
    rows.append(rows[0] | none | _gate(np.nan, "trustworthiness", 6))
    whole = pd.DataFrame(rows).assign(run="demo", panel=PANEL)
    return pd.concat([whole, whole.tail(1).assign(panel=EMPTY)], ignore_index=True)[contracts.GATES.names]


def make_heads() -> pd.DataFrame:
    rows = []
    for part in ("internal", "external"):
        for seed in range(2):
            scores = {
                (layer, index): 0.4 + 0.1 * keyed_rng("head", part, layer, index).standard_normal() + 0.01 * seed
                for layer, index in itertools.product(range(LAYERS), range(INDEXES))
            }
            order = sorted(scores, key=scores.__getitem__, reverse=True)
            for place, value in scores.items():
                rows.append((part, "real", "heads", seed, 15052 + seed, f"L{place[0]}H{place[1]}", *place,
                             order.index(place) + 1, value, place == (2, 1)))  # fmt: skip
            rows.append((part, "real", "heads", seed, 15052 + seed, "best", -1, -1, 1.0, scores[order[0]], False))
        for draw in range(5):
            best = 0.6 + 0.02 * keyed_rng("maximum", part, draw).standard_normal()
            for head, layer, value in (("best", 1, best), ("L0H0", 0, best - 0.2), ("L1H0", 1, best)):
                rows.append((part, "gaussian", f"gaussian-{draw}", draw, 15052, head, layer, 0, 1.0, value, False))
    names = ["part", "arm", "operator", "draw", "seed", "head", "layer", "index", "rank", "residualised", "chosen"]
    heads = pd.DataFrame(rows, columns=names).assign(run="demo", panel=PANEL, width=10, budget="plateau", status="ok")
    heads = heads.assign(key="residualised", correlation=0.6, trust=0.9, auroc3=0.7, n=96, reason="")
    none = heads.head(1).assign(panel=EMPTY, residualised=np.nan, chosen=False, status="not_testable", reason=WHY)
    return pd.concat([heads, none], ignore_index=True)[contracts.HEADS.names]


def make_part_views() -> pd.DataFrame:
    anchors = make_parts().drop(columns=["dataset", "tissue", "condition"])
    out = []
    for arm in ("real", "gaussian_halves"):
        centre = {label: 3 * keyed_rng("centre", arm, label).standard_normal(3) for label in LABELS}
        noise = keyed_rng("noise", arm).standard_normal((len(anchors), 3))
        place = np.array([centre[label] for label in anchors["label"]]) + noise
        out.append(anchors.assign(head="let", arm=arm, x=place[:, 0], y=place[:, 1], z=place[:, 2]))
    return pd.concat(out, ignore_index=True)[contracts.PART_VIEWS.names]


def world() -> dict[str, pd.DataFrame]:
    """The tables by name, each within its contract."""
    return {
        "parts": make_parts(), "part_overlap": make_part_overlap(), "gates": make_gates(), "heads": make_heads(),
        "part_views": make_part_views(),
    }  # fmt: skip

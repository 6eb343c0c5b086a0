"""A GEOMETRY table of a made-up run, in the shapes of a real one: 12 blocks and the input, three spaces, two scopes."""

from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

from opbench.geometry import planted
from opbench.geometry.attention_geometry import attention_rows
from opbench.geometry.compartments import compartment_rows, order_rows
from opbench.geometry.convergence import convergence_rows
from opbench.geometry.edges import edge_rows
from opbench.geometry.family import headline_table
from opbench.geometry.markers import marker_rows
from opbench.geometry.pair_model import pair_model_rows
from opbench.geometry.ppi import copole_rows, gradient_rows, matched_rows
from opbench.geometry.rows import stack
from opbench.geometry.scopes import spectral_coordinates
from opbench.geometry.signs import sign_rows
from opbench.geometry.spectrum import spectrum_rows
from opbench.geometry.tf_target import tf_target_rows
from opbench.io import tables as contracts
from opbench.io.seeds import keyed_rng

LAYERS = [float(layer) for layer in range(-1, 12)]
SPACES = {"model": LAYERS, "random": LAYERS, "coexpression": [0.0]}
SCOPES = {"nonzero": 2039, "all_rows": 4941, "named_nonzero": 295}
AXES = [f"SV{axis}" for axis in range(1, 8)]
SUBSPACES = ["SV5-7", "SV2-4"]
TERMS = ["Secreted", "Endoplasmic reticulum", "Mitochondria", "Cytosol", "Nucleoplasm", "Plasma membrane"]
SEQUENCE = ["Mitochondria", "Endoplasmic reticulum", "Secreted"]
CHANNELS = ["combined", "experiments", "not_transcripts"]
TESTED = ["BATF", "BACH2", "PRDM1", "BCL6", "SPIB"]
PERMUTATIONS = 5000
#: Where the model stands above the null's middle, in standard deviations of the null.
LIFT = {"model": 3.0, "random": 0.6, "coexpression": 2.0}


class Rows:
    """Collects rows of one space and scope."""

    def __init__(self, space: str, scope: str) -> None:
        self.space, self.scope, self.layers, self.out = space, scope, SPACES[space], []

    def add(self, analysis, quantity, axes=("",), terms=("",), layers=None, centre=0.0, sd=0.0, half=np.nan,
            nulls=(("", ""),), lift=None, trend=0.0, floor=None, **columns) -> None:  # fmt: skip
        """Rows of every layer × axis × term under every null: values lie `lift` sds above `centre`, with ±`half`."""
        for layer, axis, term in product(self.layers if layers is None else layers, axes, terms):
            rng = keyed_rng(self.space, self.scope, analysis, quantity, axis, term, layer)
            shift = LIFT[self.space] if lift is None else lift
            depth = 0.0 if np.isnan(layer) else layer
            value = centre + sd * (shift + 0.7 * rng.standard_normal()) + trend * depth
            for null, side in nulls:
                own = centre + (0.8 * sd if null in ("targets", "strata", "tf_signs", "matched") else 0.0)
                z = (value - own) / (sd or 1) * (-1 if side == "less" else 1)
                b = PERMUTATIONS * np.exp(-(max(z, 0) ** 1.5))
                least = 1 / (1 + PERMUTATIONS) if floor is None else floor
                p = max(least, (1 + b) / (1 + PERMUTATIONS)) if null else np.nan
                row = {"layer": layer, "axis": axis, "term": term, "value": value, "ci_low": value - half,
                       "ci_high": value + half, "null": null, "side": side, "p": p,
                       "p_floor": least if null else np.nan,
                       "p_family": min(1.0, 40 * p) if null not in ("", "paper", "matched", "exact") else np.nan,
                       "p_opposite": 1.0 if null and side != "two-sided" else np.nan,
                       "permutations": PERMUTATIONS if null else 0,
                       "null_mean": own if null else np.nan, "null_sd": sd if null else np.nan,
                       "null_q95": own + 1.645 * sd if null else np.nan}  # fmt: skip
                given = {"analysis": analysis, "quantity": quantity, "n": SCOPES[self.scope]} | columns
                self.out.append(row | given | {"space": self.space, "scope": self.scope})


def _spectrum(rows: Rows) -> None:
    model = rows.space == "model"
    names = {"effective_rank": (200, -13), "participation_ratio": (85, -6), "sv1_share": (0.06, 0.01),
             "k90": (300, -16), "frobenius": (500, -25), "two_nn": (33, -1.1)}  # fmt: skip
    for quantity, (start, slope) in names.items():
        rows.add("spectrum", quantity, centre=start, trend=slope if model else slope / 8,
                 n=min(2000, SCOPES[rows.scope]) if quantity == "two_nn" else SCOPES[rows.scope])  # fmt: skip


def _compartments(rows: Rows) -> None:
    nulls = (("strata", "greater"), ("paper", "greater"))
    zero = 2.5 if rows.scope == "all_rows" else 1.0
    for index, term in enumerate(TERMS):
        rows.add("compartments", "odds_ratio", AXES, [term], centre=1.1, sd=0.3 * zero * (2 if index < 2 else 0.6),
                 half=0.5, nulls=nulls)  # fmt: skip
    rows.add("compartments", "peak_layer", ["SV1"], SEQUENCE, [np.nan], centre=4, sd=1)
    rows.add("compartments", "peaks_in_order", ["SV1"], [" < ".join(SEQUENCE)], [np.nan], centre=0.0, sd=0.25, n=3,
             nulls=(("strata", "greater"),))  # fmt: skip


def _ppi(rows: Rows) -> None:
    nulls = tuple((name, "greater") for name in ("degree", "strata", "paper"))
    for channel in CHANNELS:
        rows.add("ppi", "copole_rate", AXES, [channel], centre=0.122, sd=0.022, half=0.02, nulls=nulls, n=3364)
    rows.add("ppi", "copole_excess", AXES, CHANNELS[:1], centre=0.0, sd=0.02, half=0.02, n=3000)
    for index in range(5):
        rows.add("ppi", "bin_rate", ["SV2"], [f"Q{index + 1}"], centre=0.122, sd=0.022, n=673, nulls=nulls[1:],
                 lift=LIFT[rows.space] * (index + 1) / 3)  # fmt: skip
        rows.add("ppi", "bin_mean_z", ["SV2"], [f"Q{index + 1}"], [np.nan], sd=1.0, n=673,
                 lift=LIFT[rows.space] * (index + 1) / 3)  # fmt: skip
    rows.add("ppi", "gradient_spearman_published", ["SV2"], layers=[np.nan], sd=0.3, nulls=(("exact", "two-sided"),),
             floor=2 / 120, n=5)  # fmt: skip
    rows.add("ppi", "gradient_slope", ["SV2"], layers=[np.nan], sd=0.03, nulls=nulls[1:2], n=3364)
    for quantity, null in (("partial_r", "strata"), ("raw_r", "paper")):
        rows.add("ppi_model", quantity, ["SV2-7"], ["combined"], sd=0.02, half=0.03, nulls=((null, "two-sided"),))
    rows.add("ppi_model", "beta_score", ["SV2-7"], ["combined"], sd=0.02)


def _tf_target(rows: Rows) -> None:
    nulls = (("strata", "greater"), ("paper", "greater"))
    names, n = ["SV2-7", *SUBSPACES], {"n": 295}
    rows.add("tf_target", "auroc", names, centre=0.52, sd=0.05, half=0.05, nulls=nulls, trend=-0.005, **n)
    rows.add("tf_target", "auroc", names[:1], centre=0.52, sd=0.05, nulls=(("random_subspaces", "greater"),),
             trend=-0.005, **n)  # fmt: skip
    rows.add("tf_target", "auroc", ["all"], centre=0.75, sd=0.02, **n)
    rows.add("tf_target", "auroc", ["covariates"], layers=[np.nan], centre=0.66, **n)
    rows.add("tf_target", "auroc_grouped", names, centre=0.5, sd=0.05, trend=-0.005, **n)
    rows.add("tf_target", "delta_auroc", ["covariates+joint"], sd=0.02, nulls=nulls[:1], **n)
    rows.add("tf_target", "mean_auroc", names, layers=[np.nan], centre=0.52, sd=0.05, nulls=nulls, **n)


def _edges(rows: Rows) -> None:
    nulls, shared = (("targets", "greater"), ("strata", "greater")), {"terms": ["cosine"], "n": 589}
    rows.add("edges", "edge_auroc", SUBSPACES, centre=0.56, sd=0.02, half=0.03, nulls=nulls, trend=-0.008, **shared)
    rows.add("edges", "edge_auroc_published", SUBSPACES, centre=0.5, sd=0.02, nulls=(("paper", "greater"),), **shared)
    rows.add("edges", "edge_auroc_matched", SUBSPACES, centre=0.5, sd=0.02, half=0.03, **shared)
    rows.add("edges", "residual_r_rb", SUBSPACES, sd=0.03, half=0.05, nulls=nulls[:1], trend=-0.01, **shared)
    rows.add("edges", "layer_trend", SUBSPACES, layers=[np.nan], centre=-0.8, sd=0.2, nulls=(("targets", "less"),),
             **shared)  # fmt: skip


def _signs(rows: Rows) -> None:
    shared = {"axes": SUBSPACES, "terms": ["cosine", "distance"]}
    rows.add("signs", "auroc_activation", centre=0.52, sd=0.03, half=0.04, n=270, **shared)
    rows.add("signs", "auroc_repression", centre=0.53, sd=0.03, half=0.06, n=141, **shared)
    nulls = (("tf_signs", "two-sided"), ("paper", "two-sided"))
    rows.add("signs", "difference", sd=0.03, half=0.06, nulls=nulls, lift=0.5, n=411, **shared)
    rows.add("signs", "movable_share", layers=[np.nan], centre=0.6, n=411, nulls=(("tf_signs", ""),))


def _convergence(rows: Rows) -> None:
    if rows.space == "coexpression":
        return
    slope = -0.03 if rows.space == "model" else 0.0
    base = {"axes": ["PAX5"]}
    for gene in TESTED[:4]:
        rows.add("convergence", "scaled_distance", terms=[gene], centre=0.9, sd=0.01, trend=slope, **base)
        rows.add("convergence", "rank", terms=[gene], centre=700, sd=9, trend=-40, **base)
        for name, shift in (("mean", 0.0), ("low", -0.2), ("high", 0.2)):
            rows.add("convergence", f"scaled_distance_matched_{name}", terms=[gene], centre=0.95 + shift, trend=-0.005,
                     **base | {"n": 40})  # fmt: skip
        for quantity, sd in (("log_distance_change", 0.1), ("rank_change", 90.0), ("rank_trend", 0.2)):
            rows.add("convergence", quantity, terms=[gene], layers=[np.nan], sd=sd, lift=-LIFT[rows.space],
                     nulls=(("matched", "less"), ("paper", "less")), floor=1 / 41, **base | {"n": 40})  # fmt: skip
    rows.add("convergence", "mean_log_distance_change", terms=["all tested"], layers=[np.nan], sd=0.05,
             lift=-LIFT[rows.space], nulls=(("matched", "less"),), **base | {"n": 4})  # fmt: skip
    rows.add("convergence", "log_distance_change", terms=[TESTED[4]], layers=[np.nan], centre=np.nan,
             **base | {"n": 0, "status": "not_testable", "reason": f"{TESTED[4]} is not in this scope."})  # fmt: skip


def _markers(rows: Rows) -> None:
    nulls, n = (("labels", "greater"), ("pseudo_panel", "greater")), {"n": 17}
    rows.add("markers", "auroc", ["sphere"], centre=0.6, sd=0.08, half=0.06, nulls=nulls, **n)
    rows.add("markers", "auroc", ["sphere"], centre=0.6, sd=0.08, half=0.06, nulls=(("paper", "greater"),), **n)
    rows.add("markers", "mean_auroc", ["sphere"], layers=[np.nan], centre=0.6, sd=0.08, half=0.05, nulls=nulls, **n)
    rows.add("markers", "auroc", ["coexpression"], layers=[np.nan], centre=0.82, half=0.06, **n)
    rows.add("markers", "excess_auroc", ["coexpression"], layers=[np.nan], sd=0.02, half=0.06, **n)
    rows.add("markers", "layer_trend", ["sphere"], layers=[np.nan], sd=0.3, nulls=(("labels", "two-sided"),), **n)


def _attention(rows: Rows) -> None:
    if rows.space == "coexpression":
        return
    axes = ["attention", "geometry", "attention | geometry", "geometry | attention"]
    nulls, blocks = (("strata", "greater"), ("paper", "greater")), LAYERS[1:]
    for term in ("STRING", "TRRUST"):
        shared = {"terms": [term], "layers": blocks, "n": 900}
        rows.add("attention", "auroc", axes, centre=0.5, sd=0.02, half=0.03, nulls=nulls, **shared)
        rows.add("attention", "complement", ["both"], centre=0.5, sd=0.02, nulls=nulls[:1], **shared)


MAKERS = (_spectrum, _compartments, _ppi, _tf_target, _edges, _signs, _convergence, _markers, _attention)


@lru_cache(maxsize=1)
def geometry_table() -> pd.DataFrame:
    """The whole table; SPIB is not testable."""
    out = []
    for space, scope in product(SPACES, SCOPES):
        rows = Rows(space, scope)
        for make in MAKERS:
            make(rows)
        out += rows.out
    frame = pd.DataFrame(out)
    frame["status"] = frame["status"].fillna("ok") if "status" in frame else "ok"
    frame["reason"] = frame["reason"].fillna("") if "reason" in frame else ""
    frame.loc[frame["status"] == "not_testable", "value"] = np.nan
    frame = frame.assign(run="demo")
    return frame[contracts.GEOMETRY.names]


def with_headlines(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables that figures read."""
    return {"geometry": table, "geometry_headlines": headline_table(table, ["Secreted"])}


def planted_table() -> pd.DataFrame:
    """Rows that the analyses themselves write of a small planted tensor, so that no name is made up."""
    kept = {"permutations": 19, "bootstraps": 2}
    rng, n = keyed_rng("planted table"), planted.GENES
    tensor, large = planted.draw_tensor(rng), planted.draw_tensor(rng, n=2000)
    spectral = spectral_coordinates(tensor, "nonzero", axes=planted.WIDTH)
    strata, r = np.arange(n) // 40, np.corrcoef(rng.normal(size=(n, 30)))
    member = pd.DataFrame({name: np.arange(n) % size == 0 for size, name in enumerate(SEQUENCE, 3)}, tensor.genes).T
    pairs = planted.draw_graph(rng, tensor, 0.5)
    scores = rng.uniform(0.4, 1, len(pairs))
    table = planted.regulation(rng, tensor, True)
    table["sign"] = np.where(rng.random(len(table)) < 0.4, "repression", "activation")
    panel = {f"G{index:03d}": f"type{index % 4}" for index in range(20)}
    attended = replace(
        tensor, attention=rng.random((planted.LAYERS, n, n)).astype(np.float32),
        cotokenised=np.full((n, n), 9), attention_genes=tensor.genes,
    )  # fmt: skip
    classes, covariates = (np.arange(n) % 3 == 0).astype(np.int64), tensor.covariates(spectral.rows)
    rows = [
        spectrum_rows(tensor, spectral),
        compartment_rows(spectral, member, strata, **kept),
        order_rows(spectral, member, SEQUENCE, strata, permutations=19),
        copole_rows(spectral, pairs, strata, **kept),
        matched_rows(spectral, pairs, r, bootstraps=2),
        gradient_rows(spectral, pairs, scores, strata, permutations=19),
        pair_model_rows(spectral, pairs, scores, r, tensor.mean, strata, **kept),
        tf_target_rows(spectral, classes, covariates, strata, full=tensor.tensor, random_subspaces=9, **kept),
        edge_rows(spectral, table, r, tensor.mean, strata, **kept),
        sign_rows(spectral, table, **kept),
        convergence_rows(large, np.arange(2000), ["G003", "G010", "G020", "BATF"], ["G000"], permutations=19),
        marker_rows(tensor, spectral.rows, panel, r[:20, :20], strata, **kept),
        attention_rows(attended, spectral, pairs, strata, **kept),
    ]
    frame = stack(rows).assign(space="model", run="demo")
    return frame[contracts.GEOMETRY.names]


def geometry_claims() -> pd.DataFrame:
    """Two claims of the sister paper, one of them without rows, and one of another paper."""
    text = {field.name: "" for field in contracts.CLAIMS if str(field.type) == "string"}
    real = {field.name: np.nan for field in contracts.CLAIMS if str(field.type) == "double"}
    whole = {field.name: 0 for field in contracts.CLAIMS if str(field.type).startswith("int")}
    base = text | real | whole | {"run": "demo", "family": "geometry", "published": "not_testable", "readable": "-"}
    found = 'space == "model" and headline == "early_edges"'
    rows = [
        base | {"claim": 41, "title": "Early layers keep edges", "value": 0.6, "analogue": "not_separable",
                "source_table": "geometry_headlines", "where": found},
        base | {"claim": 42, "title": "Complement of attention", "analogue": "not_testable"},
        base | {"claim": 1, "title": "Operator", "family": "operator", "analogue": "holds"},
    ]  # fmt: skip
    return pd.DataFrame(rows)[contracts.CLAIMS.names]

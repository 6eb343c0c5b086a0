"""Planted truth: worlds in which it is known what an axis, a graph or a class has to do with the geometry.

In the empty cases nothing has, except that both the geometry and the labels follow how often a gene is a token
(planted_worlds.py). Each trial returns the p that an analysis would decide by, beside that of the paper's null and of
strata that leave the count out. Coverage of intervals is studied for two bootstraps alone (planted_intervals.py).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from opbench.geometry.attention_geometry import attention_rows
from opbench.geometry.compartments import compartment_rows, order_rows
from opbench.geometry.convergence import convergence_rows
from opbench.geometry.edges import edge_rows
from opbench.geometry.markers import marker_rows
from opbench.geometry.pair_model import pair_model_rows
from opbench.geometry.planted_worlds import (
    GENES,
    LAYERS,
    WIDTH,
    added,
    coordinates,
    count_of,
    detection_of,
    direction,
    draw_graph,
    draw_tensor,
    likely,
    regulation,
    replaced,
    strata_without_count,
)
from opbench.geometry.ppi import copole_rows, gradient_rows
from opbench.geometry.scopes import cosines
from opbench.geometry.signs import sign_rows
from opbench.geometry.tf_target import JOINT, tf_target_rows
from opbench.io.seeds import keyed_rng

__all__ = ["GENES", "LAYERS", "WIDTH", "detection_of", "draw_graph", "draw_tensor", "regulation"]

#: p by the name of its test.
Trial = dict[str, float]


def _p(rows: pd.DataFrame, null: str, quantity: str, column: str = "p_family", **where: object) -> float:
    """Smallest p of the rows of a null and quantity."""
    chosen = rows[(rows["null"] == null) & (rows["quantity"] == quantity)]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    return float(chosen[column].min()) if len(chosen) else float("nan")


def compartments(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Three terms that follow the token count; planted: the first lies along a direction."""
    tensor = draw_tensor(rng)
    terms = {f"T{index}": likely(rng, tensor, 1.0) for index in range(3)}
    if planted:
        tensor = added(tensor, 1.5 * np.outer(terms["T0"], direction(rng)))
    spectral, strata = coordinates(tensor)
    member = pd.DataFrame(terms, index=tensor.genes).T
    rows = compartment_rows(spectral, member, strata, (1, 2, 3), 0.25, permutations, 0, seed)
    old = compartment_rows(spectral, member, strata_without_count(tensor), (1, 2, 3), 0.25, permutations, 0, seed)
    one = {"column": "p", "layer": 0, "axis": "SV1", "term": "T0"}
    return {
        "strata, max-T": _p(rows, "strata", "odds_ratio"),
        "strata without count, max-T": _p(old, "strata", "odds_ratio"),
        "strata, one cell": _p(rows, "strata", "odds_ratio", **one),
        "paper, one cell": _p(rows, "paper", "odds_ratio", **one),
    }


def ppi(rng: np.random.Generator, planted: bool, permutations: int, seed: int, graph: str = "hubs") -> Trial:
    """Graphs of which the axes know nothing but token count; planted: neighbours share a direction of the tensor.

    `hubs`: degrees follow the count; `groups`: neighbours share a quality of their own, too; `alike`: genes of
    like count are neighbours, which rewiring does not answer.
    """
    tensor, latent = draw_tensor(rng), rng.normal(size=(GENES, 1))
    if planted:
        tensor = added(tensor, 1.2 * latent @ direction(rng)[None])
    if graph == "groups":  # as dense as STRING at 0.7 among the published genes
        edges = draw_graph(rng, tensor, 0.5, latent, 600, 30.0)
    elif graph == "alike":
        both = np.hstack([count_of(tensor)[:, None], latent]) if planted else count_of(tensor)[:, None]
        edges = draw_graph(rng, tensor, 0.0, both, 400, 1.0)
    else:
        edges = draw_graph(rng, tensor, 0.5, latent if planted else None)
    spectral, strata = coordinates(tensor)
    rows = copole_rows(spectral, edges, strata, (1, 2, 3), 0.25, permutations, 0, seed)
    old = copole_rows(spectral, edges, strata_without_count(tensor), (1, 2, 3), 0.25, permutations, 0, seed)
    found = {f"{null}, max-T": _p(rows, null, "copole_rate") for null in ("strata", "degree", "paper")}
    return found | {"strata without count, max-T": _p(old, "strata", "copole_rate")}


def gradient(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Scores on the edges that follow the token count; planted: higher where neighbours share a direction."""
    tensor, latent = draw_tensor(rng), rng.normal(size=GENES)
    if planted:
        tensor = added(tensor, 2.0 * np.outer(latent, direction(rng)))
    edges = draw_graph(rng, tensor, 0.3)
    near = -np.abs(latent[edges[:, 0]] - latent[edges[:, 1]])
    seen = count_of(tensor)[edges].sum(axis=1)
    scores = (near if planted else 0.5 * seen) + rng.normal(size=len(edges))
    spectral, strata = coordinates(tensor)
    rows = gradient_rows(spectral, edges, scores, strata, (1, 2), 0.25, 5, permutations, seed)
    return {"slope, strata, max-T": _p(rows, "strata", "gradient_slope")}


def pair_model(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Scores and cosine follow co-expression, and scores a similarity of their own; planted: so does the tensor."""
    programme, latent = (rng.normal(size=(GENES, c)) for c in (3, 2))
    tensor = added(draw_tensor(rng), 0.8 * programme @ np.stack([direction(rng) for _ in range(3)]))
    if planted:
        tensor = added(tensor, 0.8 * latent @ np.stack([direction(rng) for _ in range(2)]))
    r, own = cosines(programme), cosines(latent)
    i, j = np.triu_indices(GENES, 1)
    # Linear in co-expression, so that the model's covariates can take it out.
    scores = np.clip(0.45 + 0.15 * r + 0.1 * own + 0.08 * rng.normal(size=r.shape), 0.01, 1)[i, j]
    spectral, strata = coordinates(tensor)
    edges, spaces = np.column_stack([i, j]), {"SV1-6": (1, 6)}
    rows = pair_model_rows(spectral, edges, scores, r, tensor.mean, strata, spaces, permutations, 0, seed)
    return {"partial, strata, max-T": _p(rows, "strata", "partial_r"), "raw, paper": _p(rows, "paper", "raw_r")}


def tf_target(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Classes that follow the token count; planted: factors lie along a direction."""
    tensor = draw_tensor(rng)
    classes = likely(rng, tensor, -1.0).astype(np.int64)
    if planted:
        tensor = added(tensor, 1.2 * np.outer(classes, direction(rng)))
    spectral, strata = coordinates(tensor)
    covariates = tensor.covariates(spectral.rows)
    kept = ({"SV2-7": (1, 6)}, None, 5, 1, permutations, 0, 0, seed)
    rows = tf_target_rows(spectral, classes, covariates, strata, *kept)
    old = tf_target_rows(spectral, classes, covariates, strata_without_count(tensor), *kept)
    return {
        "strata, max-T": _p(rows, "strata", "auroc"),
        "strata, mean over layers": _p(rows, "strata", "mean_auroc"),
        "delta over covariates, max-T": _p(rows, "strata", "delta_auroc"),
        "strata without count, max-T": _p(old, "strata", "auroc"),
        "paper, max-T": _p(rows, "paper", "auroc"),
    }


def subspaces(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Classes that lie along all axes alike, a direction isotropic in U; planted: along the joint subspace's alone."""
    tensor = draw_tensor(rng, 0.0)
    spectral, strata = coordinates(tensor)
    weight = rng.normal(size=WIDTH)
    if planted:
        weight[[axis for axis in range(WIDTH) if not 1 <= axis <= 6]] = 0
    along = spectral.u[0] @ weight
    classes = (along / along.std() + rng.normal(size=GENES) > 0.5).astype(np.int64)
    covariates = tensor.covariates(spectral.rows)
    kept = ({JOINT: (2, 7)}, None, 5, 1, 1, permutations, 0, seed)
    rows = tf_target_rows(spectral, classes, covariates, strata, *kept)
    return {
        "random_subspaces, one layer": _p(rows, "random_subspaces", "auroc", "p", layer=0),
        "random_subspaces, max-T": _p(rows, "random_subspaces", "auroc"),
    }


def order(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """At each of six layers SV1 singles out another level of count, and each of four terms is of a level of its own.

    So the terms peak one after another by count alone. Planted: a term's genes lie along SV1 at its own layer, too.
    """
    tensor = draw_tensor(rng, 0.0, layers=6)
    level, at = count_of(tensor), np.linspace(-1.5, 1.5, 6)
    x = tensor.tensor.astype(np.float64)
    x[:, :, 0] += 2.5 * np.exp(-2 * (level - at[:, None]) ** 2)
    member = np.array([rng.random(GENES) < 0.1 + 0.4 * np.exp(-2 * (level - at[t]) ** 2) for t in (0, 2, 3, 5)])
    if planted:
        member = rng.random((4, GENES)) < 0.2
        for layer, genes in zip((0, 2, 3, 5), member, strict=True):
            x[layer, genes, 0] += 4
    spectral, strata = coordinates(replaced(tensor, x))
    terms = pd.DataFrame(member, index=list("ABCD"), columns=tensor.genes)
    groups = {"strata": strata, "strata without count": strata_without_count(tensor), "paper": np.zeros_like(strata)}
    made = {
        null: order_rows(spectral, terms, list("ABCD"), g, 1, 0.25, permutations, seed) for null, g in groups.items()
    }
    return {f"peaks in order, {null}": _p(rows, "strata", "peaks_in_order", "p") for null, rows in made.items()}


def edges(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Popular targets in one region; planted: each factor has its own."""
    tensor = draw_tensor(rng)
    table = regulation(rng, tensor, planted)
    spectral, strata = coordinates(tensor)
    spaces = {"SV1-4": (1, 4)}
    r = np.zeros((GENES, GENES))
    rows = edge_rows(spectral, table, r, tensor.mean, strata, spaces, permutations, 0, seed, "distance")
    return {
        "targets, max-T": _p(rows, "targets", "edge_auroc"),
        "residual, targets, max-T": _p(rows, "targets", "residual_r_rb"),
        "strata, max-T": _p(rows, "strata", "edge_auroc"),
        "paper, max-T": _p(rows, "paper", "edge_auroc_published"),
    }


def trend(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Over six layers genes lose their places, popular targets their region; planted: only a factor's targets."""
    tensor = draw_tensor(rng, layers=6)
    place = 1.5 * rng.normal(size=(GENES, WIDTH)) / np.sqrt(1 + np.arange(WIDTH))
    table = regulation(rng, tensor, planted, place, 0.0 if planted else 0.8)
    moved = added(tensor, np.linspace(1, 0, 6)[:, None, None] * place)
    spectral, strata = coordinates(moved)
    r = np.zeros((GENES, GENES))
    rows = edge_rows(spectral, table, r, tensor.mean, strata, {"SV1-4": (1, 4)}, permutations, 0, seed, "distance")
    return {"layer trend, targets": _p(rows, "targets", "layer_trend", "p")}


def signs(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Factors that repress more lie nearer to their targets; planted: within a factor, repressed targets are nearer."""
    tensor = draw_tensor(rng)
    table = regulation(rng, tensor, True)
    x = dict(zip(tensor.genes, tensor.tensor.mean(axis=0)[:, :4], strict=True))
    far = np.array([((x[s] - x[t]) ** 2).sum() for s, t in table[["source", "target"]].itertuples(index=False)])
    by_source = pd.Series(far).groupby(table["source"]).transform("mean").to_numpy()
    score = by_source if not planted else far
    represses = rng.random(len(far)) < 1 / (1 + np.exp(2.0 * (score - np.median(score)) / (score.std() + 1e-9)))
    table["sign"] = np.where(represses, "repression", "activation")
    spectral, _ = coordinates(tensor)
    rows = sign_rows(spectral, table, {"SV1-4": (1, 4)}, ("cosine", "distance"), permutations, 0, seed)
    return {
        "tf_signs, max-T": _p(rows, "tf_signs", "difference"),
        "all signs, max-T": _p(rows, "paper", "difference"),
    }


def convergence(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """In a space that contracts, genes that are often tokens keep nearer to all others, and the tested ones are such.

    Planted: the three tested genes drift to the anchor, too.
    """
    tensor = draw_tensor(rng, 0.0, 16 * GENES)
    x, n = tensor.tensor.astype(np.float64), 16 * GENES
    weight = np.exp(count_of(tensor)[1:])
    chosen = rng.choice(np.arange(1, n), 3, replace=False, p=weight / weight.sum())
    far = np.exp(-0.2 * count_of(tensor))[:, None]
    for layer in range(LAYERS):
        depth = layer / (LAYERS - 1)
        x[layer] = x[layer] * far**depth + 0.2 * depth * rng.normal(size=x[layer].shape) / np.sqrt(1 + np.arange(WIDTH))
        if planted:
            x[layer, chosen] += 0.5 * depth * (x[layer, 0] - x[layer, chosen])
        x[layer] *= 0.6**layer
    moved = replaced(tensor, x)
    names = [tensor.genes[index] for index in chosen]
    kept = {"permutations": permutations, "seed": seed}
    tests = {}
    for matching, by in {"count": tensor.count, "without count": tensor.detection}.items():
        rows = convergence_rows(moved, np.arange(n), names, (tensor.genes[0],), matching=by, **kept)
        one = {"column": "p", "term": names[0]}
        tests |= {
            f"three genes, matched {matching}": _p(rows, "matched", "mean_log_distance_change", "p"),
            f"one gene, matched {matching}": _p(rows, "matched", "log_distance_change", **one),
            "one gene, paper": _p(rows, "paper", "log_distance_change", **one),
        }
    return tests


def markers(
    rng: np.random.Generator, planted: bool, permutations: int, seed: int, layers: int = LAYERS, counted: bool = False
) -> Trial:
    """Twenty markers of four types; planted: a type's markers share a place, more so with depth.

    `counted`: a type's markers are of like token count, which permuted labels do not answer, and other panels do.
    """
    tensor = draw_tensor(rng, layers=layers)
    chosen = rng.choice(GENES, 20, replace=False)
    types = np.repeat(np.arange(4), 5)
    if counted:
        chosen = chosen[np.argsort(count_of(tensor)[chosen] + 0.3 * rng.normal(size=20))]
    if planted:
        shift = np.zeros((GENES, WIDTH))
        shift[chosen] = 0.9 * np.array([direction(rng) for _ in range(4)])[types]
        tensor = added(tensor, np.linspace(0.5, 1.5, layers)[:, None, None] * shift)
    panel = {tensor.genes[gene]: f"type{kind}" for gene, kind in zip(chosen, types, strict=True)}
    _, strata = coordinates(tensor)
    kept = ("nonzero", permutations, 2, seed)
    rows = marker_rows(tensor, np.arange(GENES), panel, None, strata, *kept)
    out = {
        "labels, mean over layers": _p(rows, "labels", "mean_auroc", "p"),
        "labels, max-T": _p(rows, "labels", "auroc"),
        "pseudo-panel, mean over layers": _p(rows, "pseudo_panel", "mean_auroc", "p"),
        "pseudo-panel, max-T": _p(rows, "pseudo_panel", "auroc"),
        "paper, one layer": _p(rows, "paper", "auroc", "p", layer=0),
    }
    if not counted:  # three layers give no p below 1/3
        out["labels, layer trend"] = _p(rows, "labels", "layer_trend", "p")
    else:
        old = marker_rows(tensor, np.arange(GENES), panel, None, strata_without_count(tensor), *kept)
        out["pseudo-panel without count, mean over layers"] = _p(old, "pseudo_panel", "mean_auroc", "p")
    return out


def attention(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Attention, geometry and edges that follow the token count; planted: edges are in both, by parts of their own."""
    tensor = draw_tensor(rng)
    latent = rng.normal(size=(GENES, 2))
    if planted:
        tensor = added(tensor, 1.2 * np.outer(latent[:, 0], direction(rng)))
    pairs = draw_graph(rng, tensor, 0.5, latent if planted else None)
    level = count_of(tensor)
    weight = np.exp(0.5 * (level[:, None] + level) + rng.normal(size=(LAYERS, GENES, GENES)))
    if planted:
        weight *= np.exp(-0.5 * (latent[:, [1]] - latent[:, 1]) ** 2)
    together = np.full((GENES, GENES), 10, dtype=np.int64)
    weight = (10 * weight).astype(np.float32)
    seen = replace(tensor, attention=weight, cotokenised=together, attention_genes=tensor.genes)
    spectral, strata = coordinates(seen)
    rows = attention_rows(seen, spectral, pairs, strata, (1, 6), permutations, 0, seed)
    old = attention_rows(seen, spectral, pairs, strata_without_count(tensor), (1, 6), permutations, 0, seed)
    return {
        "strata, max-T": _p(rows, "strata", "auroc"),
        "strata without count, max-T": _p(old, "strata", "auroc"),
        "complement, one block": _p(rows, "strata", "complement", "p", layer=0),
        "paper, max-T": _p(rows, "paper", "auroc"),
    }


#: Trial of each analysis by name.
TRIALS: dict[str, Callable[[np.random.Generator, bool, int, int], Trial]] = {
    "compartments": compartments,
    "ppi": ppi,
    "ppi, groups": partial(ppi, graph="groups"),
    "ppi, alike": partial(ppi, graph="alike"),
    "gradient": gradient,
    "pair model": pair_model,
    "tf_target": tf_target,
    "tf_target, subspaces": subspaces,
    "compartments, order": order,
    "edges": edges,
    "edges, trend": trend,
    "signs": signs,
    "convergence": convergence,
    "markers": partial(markers, layers=6),
    "markers, counted": partial(markers, counted=True),
    "attention": attention,
}


def trials(name: str, planted: bool, repeats: int, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """p of each test of an analysis (columns) over `repeats` worlds (rows)."""
    made = []
    for repeat in range(repeats):
        rng = keyed_rng(seed, "planted", name, planted, repeat)
        made.append(TRIALS[name](rng, planted, permutations, repeat))
    return pd.DataFrame(made)

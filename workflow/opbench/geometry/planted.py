"""Planted truth: tensors in which it is known what an axis, a graph or a class has to do with the geometry.

In the empty cases nothing has, except that both the geometry and the labels follow how often a gene is detected: the
confounding that the matched nulls are for. Each trial returns the p that an analysis would decide by.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opbench.geometry.attention_geometry import attention_rows
from opbench.geometry.compartments import compartment_rows
from opbench.geometry.convergence import convergence_rows
from opbench.geometry.edges import edge_rows
from opbench.geometry.markers import marker_rows
from opbench.geometry.nulls import make_strata
from opbench.geometry.pair_model import pair_model_rows
from opbench.geometry.ppi import copole_rows, gradient_rows
from opbench.geometry.scopes import Spectral, cosines, spectral_coordinates
from opbench.geometry.signs import sign_rows
from opbench.geometry.tensor import GeneTensor
from opbench.geometry.tf_target import tf_target_rows
from opbench.io.seeds import keyed_rng

#: Genes, layers and width of a planted tensor; cells that it is a mean over.
GENES, LAYERS, WIDTH, CELLS = 160, 3, 16, 256
#: Bins of detection that make its strata.
BINS = 10

#: p by the name of its test.
Trial = dict[str, float]


def draw_tensor(rng: np.random.Generator, confounding: float = 1.0, n: int = GENES) -> GeneTensor:
    """A tensor of `n` genes whose first two columns follow detection by `confounding`."""
    detection = np.clip(rng.beta(1, 2.5, n), 0.01, 1)
    follows = _standardised_rank(detection)
    spectrum = 1 / np.sqrt(1 + np.arange(WIDTH))
    base = rng.normal(size=(n, WIDTH))
    base[:, :2] += confounding * follows[:, None]
    tensor = (base + 0.4 * rng.normal(size=(LAYERS, n, WIDTH))) * spectrum
    mean = detection * rng.uniform(1.0, 1.2, n)
    count = np.maximum(1, np.round(CELLS * detection)).astype(np.int64)
    facts = [part.astype(np.float32) for part in (mean, mean * (1 - detection), detection)]
    genes = [f"G{index:03d}" for index in range(n)]
    return GeneTensor(tensor.astype(np.float32), count, *facts, genes, list(range(LAYERS)))


def _standardised_rank(values: NDArray) -> NDArray[np.float64]:
    return (values.argsort().argsort() / (len(values) - 1) - 0.5) * np.sqrt(12)


def detection_of(tensor: GeneTensor) -> NDArray[np.float64]:
    """Detection as a standardised rank, (n,)."""
    return _standardised_rank(tensor.detection)


def _spectral(tensor: GeneTensor) -> tuple[Spectral, NDArray]:
    spectral = spectral_coordinates(tensor, "nonzero", axes=WIDTH)
    return spectral, make_strata(tensor.detection[:, None].astype(float), BINS)


def _added(tensor: GeneTensor, shift: NDArray) -> GeneTensor:
    """The tensor with `shift` (n, d) added at every layer."""
    return _replaced(tensor, tensor.tensor + shift)


def _replaced(tensor: GeneTensor, values: NDArray) -> GeneTensor:
    return replace(tensor, tensor=np.asarray(values, dtype=np.float32))


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.normal(size=WIDTH)
    return vector / np.linalg.norm(vector)


def _p(rows: pd.DataFrame, null: str, quantity: str, column: str = "p_family", **where: object) -> float:
    """Smallest p of the rows of a null and quantity."""
    chosen = rows[(rows["null"] == null) & (rows["quantity"] == quantity)]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    return float(chosen[column].min()) if len(chosen) else float("nan")


def _likely(rng: np.random.Generator, tensor: GeneTensor, confounding: float, base: float = -1.0) -> NDArray[np.bool_]:
    """Genes drawn more often the more they are detected, (n,)."""
    return rng.random(GENES) < 1 / (1 + np.exp(-(base + confounding * detection_of(tensor))))


def compartments(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Three terms that follow detection; planted: the first lies along a direction."""
    tensor = draw_tensor(rng)
    terms = {f"T{index}": _likely(rng, tensor, 1.0) for index in range(3)}
    if planted:
        tensor = _added(tensor, 1.5 * np.outer(terms["T0"], _direction(rng)))
    spectral, strata = _spectral(tensor)
    member = pd.DataFrame(terms, index=tensor.genes).T
    rows = compartment_rows(spectral, member, strata, (1, 2, 3), 0.25, permutations, 0, seed)
    one = {"column": "p", "layer": 0, "axis": "SV1", "term": "T0"}
    return {
        "strata, max-T": _p(rows, "strata", "odds_ratio"),
        "strata, one cell": _p(rows, "strata", "odds_ratio", **one),
        "paper, one cell": _p(rows, "paper", "odds_ratio", **one),
    }


def draw_graph(
    rng: np.random.Generator,
    tensor: GeneTensor,
    confounding: float,
    latent: NDArray | None = None,
    edges: int = 400,
    sharpness: float = 1.5,
) -> NDArray[np.int64]:
    """Edges (E, 2), genes chosen by detection; near in `latent` (n, c) where given, the more the higher `sharpness`."""
    i, j = np.triu_indices(GENES, 1)
    score = confounding * (detection_of(tensor)[i] + detection_of(tensor)[j])
    if latent is not None:
        score = score - sharpness * ((latent[i] - latent[j]) ** 2).sum(axis=1)
    chosen = np.argsort(-(score + rng.gumbel(size=len(i))), kind="stable")[:edges]
    return np.column_stack([i, j])[chosen]


def ppi(rng: np.random.Generator, planted: bool, permutations: int, seed: int, graph: str = "hubs") -> Trial:
    """Graphs of which the axes know nothing but detection; planted: neighbours share a direction of the tensor.

    `hubs`: degrees follow detection; `groups`: neighbours share a quality of their own, too; `alike`: genes that are
    detected alike are neighbours, which rewiring does not answer.
    """
    tensor, latent = draw_tensor(rng), rng.normal(size=(GENES, 1))
    if planted:
        tensor = _added(tensor, 1.2 * latent @ _direction(rng)[None])
    if graph == "groups":  # as dense as STRING at 0.7 among the published genes
        edges = draw_graph(rng, tensor, 0.5, latent, 600, 30.0)
    elif graph == "alike":
        both = np.hstack([detection_of(tensor)[:, None], latent]) if planted else detection_of(tensor)[:, None]
        edges = draw_graph(rng, tensor, 0.0, both, 400, 1.0)
    else:
        edges = draw_graph(rng, tensor, 0.5, latent if planted else None)
    spectral, strata = _spectral(tensor)
    rows = copole_rows(spectral, edges, strata, (1, 2, 3), 0.25, permutations, 0, seed)
    return {f"{null}, max-T": _p(rows, null, "copole_rate") for null in ("strata", "degree", "paper")}


def gradient(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Scores on the edges that follow detection; planted: higher where neighbours share a direction."""
    tensor, latent = draw_tensor(rng), rng.normal(size=GENES)
    if planted:
        tensor = _added(tensor, 2.0 * np.outer(latent, _direction(rng)))
    edges = draw_graph(rng, tensor, 0.3)
    near = -np.abs(latent[edges[:, 0]] - latent[edges[:, 1]])
    detected = detection_of(tensor)[edges].sum(axis=1)
    scores = (near if planted else 0.5 * detected) + rng.normal(size=len(edges))
    spectral, strata = _spectral(tensor)
    rows = gradient_rows(spectral, edges, scores, strata, (1, 2), 0.25, 5, permutations, seed)
    return {"slope, strata, max-T": _p(rows, "strata", "gradient_slope")}


def pair_model(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Scores and cosine follow co-expression, and scores a similarity of their own; planted: so does the tensor."""
    programme, latent = (rng.normal(size=(GENES, c)) for c in (3, 2))
    tensor = _added(draw_tensor(rng), 0.8 * programme @ np.stack([_direction(rng) for _ in range(3)]))
    if planted:
        tensor = _added(tensor, 0.8 * latent @ np.stack([_direction(rng) for _ in range(2)]))
    r, own = cosines(programme), cosines(latent)
    i, j = np.triu_indices(GENES, 1)
    # Linear in co-expression, so that the model's covariates can take it out.
    scores = np.clip(0.45 + 0.15 * r + 0.1 * own + 0.08 * rng.normal(size=r.shape), 0.01, 1)[i, j]
    spectral, strata = _spectral(tensor)
    edges, spaces = np.column_stack([i, j]), {"SV1-6": (1, 6)}
    rows = pair_model_rows(spectral, edges, scores, r, tensor.mean, strata, spaces, permutations, 0, seed)
    return {"partial, strata, max-T": _p(rows, "strata", "partial_r"), "raw, paper": _p(rows, "paper", "raw_r")}


def tf_target(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Classes that follow detection; planted: factors lie along a direction."""
    tensor = draw_tensor(rng)
    classes = _likely(rng, tensor, -1.0).astype(np.int64)
    if planted:
        tensor = _added(tensor, 1.2 * np.outer(classes, _direction(rng)))
    spectral, strata = _spectral(tensor)
    covariates = tensor.covariates(spectral.rows)
    spaces = {"SV2-7": (1, 6)}
    rows = tf_target_rows(spectral, classes, covariates, strata, spaces, None, 5, 1, permutations, 0, 0, seed)
    return {
        "strata, max-T": _p(rows, "strata", "auroc"),
        "delta over covariates, max-T": _p(rows, "strata", "delta_auroc"),
        "paper, max-T": _p(rows, "paper", "auroc"),
    }


def regulation(rng: np.random.Generator, tensor: GeneTensor, planted: bool) -> pd.DataFrame:
    """Edges of 20 factors; popular targets lie near all factors; planted: a factor's targets lie near itself."""
    x = tensor.tensor.mean(axis=0)
    factors, targets = np.arange(20), np.arange(20, GENES)
    popular = -0.8 * ((x[targets] - x[factors].mean(axis=0)) ** 2).sum(axis=1)
    score = np.tile(popular, (len(factors), 1)) + rng.normal(0, 0.5, (len(factors), 1))
    if planted:
        score = score - 0.8 * ((x[factors][:, None] - x[targets]) ** 2).sum(axis=2)
    flat = (score + rng.gumbel(size=score.shape)).ravel()
    chosen = np.argsort(-flat, kind="stable")[:250]
    names = np.array(tensor.genes)
    source, target = names[factors[chosen // len(targets)]], names[targets[chosen % len(targets)]]
    return pd.DataFrame({"source": source, "target": target, "sign": "unknown"})


def edges(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Popular targets in one region; planted: each factor has its own."""
    tensor = draw_tensor(rng)
    table = regulation(rng, tensor, planted)
    spectral, strata = _spectral(tensor)
    spaces = {"SV1-4": (1, 4)}
    r = np.zeros((GENES, GENES))
    rows = edge_rows(spectral, table, r, tensor.mean, strata, spaces, permutations, 0, seed, "distance")
    return {
        "targets, max-T": _p(rows, "targets", "edge_auroc"),
        "residual, targets, max-T": _p(rows, "targets", "residual_r_rb"),
        "strata, max-T": _p(rows, "strata", "edge_auroc"),
        "paper, max-T": _p(rows, "paper", "edge_auroc_published"),
    }


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
    spectral, _ = _spectral(tensor)
    rows = sign_rows(spectral, table, {"SV1-4": (1, 4)}, ("cosine", "distance"), permutations, 0, seed)
    return {
        "tf_signs, max-T": _p(rows, "tf_signs", "difference"),
        "all signs, max-T": _p(rows, "paper", "difference"),
    }


def convergence(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """In a space that contracts, seldom detected genes drift farther; planted: three genes drift to the anchor."""
    tensor = draw_tensor(rng, 0.0, 16 * GENES)
    x, n = tensor.tensor.astype(np.float64), 16 * GENES
    chosen = rng.choice(np.arange(1, n), 3, replace=False)
    far = np.exp(-0.4 * detection_of(tensor))[:, None] / np.sqrt(1 + np.arange(WIDTH))
    for layer in range(LAYERS):
        x[layer] += 0.3 * layer * far * rng.normal(size=x[layer].shape)
        if planted:
            x[layer, chosen] += 0.5 * layer / (LAYERS - 1) * (x[layer, 0] - x[layer, chosen])
        x[layer] *= 0.6**layer
    moved = _replaced(tensor, x)
    names = [tensor.genes[index] for index in chosen]
    rows = convergence_rows(moved, np.arange(n), names, (tensor.genes[0],), permutations=permutations, seed=seed)
    one = rows[(rows["term"] == names[0]) & (rows["quantity"] == "log_distance_change")]
    p = {null: float(one.loc[one["null"] == null, "p"].min()) for null in ("matched", "paper")}
    together = _p(rows, "matched", "mean_log_distance_change", "p")
    return {"three genes, matched": together, "one gene, matched": p["matched"], "one gene, paper": p["paper"]}


def markers(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Twenty markers of four types; planted: a type's markers share a place."""
    tensor = draw_tensor(rng)
    chosen = rng.choice(GENES, 20, replace=False)
    types = np.repeat(np.arange(4), 5)
    if planted:
        shift = np.zeros((GENES, WIDTH))
        shift[chosen] = 0.9 * np.array([_direction(rng) for _ in range(4)])[types]
        tensor = _added(tensor, shift)
    panel = {tensor.genes[gene]: f"type{kind}" for gene, kind in zip(chosen, types, strict=True)}
    rows = marker_rows(tensor, np.arange(GENES), panel, None, None, "nonzero", permutations, 2, seed)
    return {
        "labels, mean over layers": _p(rows, "labels", "mean_auroc", "p"),
        "labels, max-T": _p(rows, "labels", "auroc"),
        "paper, one layer": _p(rows, "paper", "auroc", "p", layer=0),
    }


def attention(rng: np.random.Generator, planted: bool, permutations: int, seed: int) -> Trial:
    """Attention, geometry and edges that follow detection; planted: edges are in both, by parts of their own."""
    tensor = draw_tensor(rng)
    latent = rng.normal(size=(GENES, 2))
    if planted:
        tensor = _added(tensor, 1.2 * np.outer(latent[:, 0], _direction(rng)))
    pairs = draw_graph(rng, tensor, 0.5, latent if planted else None)
    level = detection_of(tensor)
    weight = np.exp(0.5 * (level[:, None] + level) + rng.normal(size=(LAYERS, GENES, GENES)))
    if planted:
        weight *= np.exp(-0.5 * (latent[:, [1]] - latent[:, 1]) ** 2)
    together = np.full((GENES, GENES), 10, dtype=np.int64)
    weight = (10 * weight).astype(np.float32)
    seen = replace(tensor, attention=weight, cotokenised=together, attention_genes=tensor.genes)
    spectral, strata = _spectral(seen)
    rows = attention_rows(seen, spectral, pairs, strata, (1, 6), permutations, 0, seed)
    return {
        "strata, max-T": _p(rows, "strata", "auroc"),
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
    "edges": edges,
    "signs": signs,
    "convergence": convergence,
    "markers": markers,
    "attention": attention,
}


def trials(name: str, planted: bool, repeats: int, permutations: int = 199, seed: int = 0) -> pd.DataFrame:
    """p of each test of an analysis (columns) over `repeats` worlds (rows)."""
    made = []
    for repeat in range(repeats):
        rng = keyed_rng(seed, "planted", name, planted, repeat)
        made.append(TRIALS[name](rng, planted, permutations, repeat))
    return pd.DataFrame(made)

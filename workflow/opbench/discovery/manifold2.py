"""Stage: the second manifold, of intercellular communication, with its baselines and controls (spec I, L 25).

An operator's features of the internal anchors are mapped into the plane by every method at every k. The pair of them
whose distances follow the internal ruler best is chosen, and is the only one whose external distances are looked at.
Neither the maps nor the principal components that they must beat see a ruler. Shuffled rulers go the same way, the
choice included.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from opbench.config import Config
from opbench.discovery.anchor_profiles import anchor_profiles, genes_of
from opbench.discovery.interactions import Interactions, communication_ruler, read_interactions
from opbench.discovery.pair_ranks import pair_weights, ranks, weighted_spearman
from opbench.discovery.parts import Parts, open_parts
from opbench.discovery.planar import PlanarMap, planar_maps
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.tables import MANIFOLD2, write_table
from opbench.operators.operator import read_operator
from opbench.panels.reading import check_sha256

log = logging.getLogger("opbench.map_interactions")
#: Parts with a ruler; a control part's cells are in no panel.
RULED = ("internal", "external", "zero_shot")
#: Bootstraps over donors, at most: each ranks all pairs anew.
BOOTSTRAPS = 2000
NAN = float("nan")
#: Arm of the rulers whose cell types are permuted; `draw` is the permutation.
SHUFFLED = "shuffled_path"


@dataclass(frozen=True)
class ManifoldFiles:
    """Files of a job: parts, the panel's cells over all genes (None: the panel's genes make the ruler), the ontology's
    folder, operators by arm, and the interaction table (None: there is none).
    """

    parts: str | Path
    all_genes: str | Path | None
    ontology: str | Path
    operators: Mapping[str, Sequence[str]]
    interactions: str | Path | None


@dataclass(frozen=True)
class Ruled:
    """A part's ruler by pair of anchors (condensed), with the ranks of its shuffles and the distances of baselines.

    shuffled (S, pairs) float32 ranks; pca: name, as `pca2` or `raw_pca2` -> distances by pair.
    """

    n: int
    donor: np.ndarray
    target: np.ndarray
    shuffled: np.ndarray
    pca: dict[str, np.ndarray]

    @cached_property
    def ranks(self) -> np.ndarray:
        """Ranks of the ruler."""
        return ranks(self.target)

    def correlation(self, distances: np.ndarray) -> tuple[float, np.ndarray]:
        """Spearman correlation with the ruler, and with each of its shuffles (S,)."""
        mine = ranks(distances)
        return float(self.ranks @ mine), self.shuffled @ mine.astype(np.float32)


def shuffled_types(parts: Parts, name: str, draws: int, seed: int) -> np.ndarray:
    """For each draw and anchor of a part, the anchor whose profile it gets, (draws, a).

    One permutation of cell types a draw, the same in all parts, where a type that a part lacks is passed over: anchors
    of one type still look alike. The profile is the same donor's where it has that type, else a random donor's.
    """
    part = parts.parts[name]
    present = np.unique(part.label)
    out = np.empty((draws, len(part)), int)
    for draw in range(draws):
        order = keyed_rng(seed, "shuffled-path", draw).permutation(len(parts.labels))
        rng = keyed_rng(seed, "shuffled-path", draw, name)
        for code in present:
            other = order[code]
            while other not in present:
                other = order[other]
            pool = np.flatnonzero(part.label == other)
            for anchor in np.flatnonzero(part.label == code):
                same = pool[part.donor[pool] == part.donor[anchor]]
                out[draw, anchor] = rng.choice(same if len(same) else pool)
    return out


class SecondManifold:
    """Parts with rulers, and the rows of operators on them; `sides` are the ligands and receptors that rulers read."""

    def __init__(
        self, config: Config, parts: Parts, table: Interactions, all_genes: str | Path | None,
        sides: tuple[list[str], list[str]],
    ) -> None:  # fmt: skip
        self.config, self.parts, self.settings = config, parts, config.discovery.manifold
        self.seed, self.sides = config.discovery.head_seed, sides
        least, wanted = config.discovery.gates.min_anchors, config.discovery.panels[parts.panel].zero_shot
        size = {name: len(parts.parts.get(name, ())) for name in RULED if name != "zero_shot" or wanted}
        self.missing = {
            name: f"part {name} has {n} anchors, fewer than {least}" for name, n in size.items() if n < least
        }
        if "internal" in self.missing:
            self.missing = dict.fromkeys(size, self.missing["internal"])
        names, steps = [name for name in size if name not in self.missing], table.path_steps(*sides)
        profiles = anchor_profiles(parts, names, all_genes, [*sides[0], *sides[1]])
        self.ruled = {
            name: self._rule(name, communication_ruler(*np.split(profiles[name], [len(sides[0])], axis=1), steps))
            for name in names
        }

    def _rule(self, name: str, ruler: np.ndarray) -> Ruled:
        part = self.parts.parts[name]
        drawn = shuffled_types(self.parts, name, self.settings.shuffles, self.seed)
        upper = np.triu_indices(len(part), 1)
        shuffled = np.empty((len(drawn), len(upper[0])), np.float32)
        for draw, anchor in enumerate(drawn):
            shuffled[draw] = ranks(ruler[anchor[upper[0]], anchor[upper[1]]])
        return Ruled(len(part), part.donor, ruler[upper], shuffled, self._principal(part.x))

    def _principal(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Distances by pair of anchors (a, G) in the first principal components of the internal anchors.

        `pca<c>` of log1p standardised by the internal anchors, as the maps standardise features; `raw_pca<c>` of log1p.
        """
        from sklearn.decomposition import PCA

        inside, out = self.parts.parts["internal"].x.astype(np.float64), dict[str, np.ndarray]()
        deviation = inside.std(0)
        for name, scale in (("pca", np.where(deviation > 0, deviation, 1)), ("raw_pca", 1.0)):
            axes = PCA(max(self.settings.baselines), svd_solver="full").fit(inside / scale)
            along = axes.transform(x / scale)
            out |= {f"{name}{c}": pdist(along[:, :c]) for c in self.settings.baselines}
        return out

    def bootstrap(self, name: str, distances: np.ndarray) -> np.ndarray:
        """Correlations with a part's ruler when its donors are drawn anew, always alike; none of one donor."""
        ruled = self.ruled[name]
        if len(np.unique(ruled.donor)) < 2:
            return np.empty(0)
        draws = min(self.config.statistics.bootstraps, BOOTSTRAPS)
        weights = pair_weights(ruled.donor, draws, self.config.statistics.seed)
        return np.concatenate([weighted_spearman(distances, ruled.target, weight) for weight in weights])

    @cached_property
    def _baseline_bootstraps(self) -> dict[tuple[str, str], np.ndarray]:
        return {
            (name, c): self.bootstrap(name, at) for name, ruled in self.ruled.items() for c, at in ruled.pca.items()
        }

    def _interval(self, values: np.ndarray) -> dict[str, float]:
        if not np.isfinite(values).any():
            return {}
        tail = (1 - self.config.statistics.level) / 2
        low, high = np.nanquantile(values, [tail, 1 - tail])
        return {"low": float(low), "high": float(high)}

    def rows(self, operator: str, file: str, arm: str) -> list[dict]:
        """Rows of one operator; of the real one also those of the shuffled rulers."""
        read = read_operator(file, self.parts.genes)
        features = {name: self.parts.features(read, name) for name in self.ruled}
        seed = derive_seed(self.seed, "geodesic-mds")
        maps = planar_maps(features, "internal", self.settings.neighbours, seed)
        draw = max(int(read.meta.get("draw", -1)), 0)  # type: ignore[call-overload]
        about = {"arm": "real" if arm == "drift" else str(read.meta["arm"]), "operator": operator, "draw": draw}
        inside = [self.ruled["internal"].correlation(each.distances("internal")) for each in maps]
        best = int(np.argmax([value for value, _ in inside]))
        best_shuffled = np.argmax([shuffled for _, shuffled in inside], axis=0)
        out = self._sweep(maps, [value for value, _ in inside], best, features["internal"])
        for name in self.ruled:
            out += self._part(name, maps, best, best_shuffled, features[name], arm == "drift")
        return [row if row["arm"] == SHUFFLED else row | about for row in out]

    def _sweep(self, maps: list[PlanarMap], correlations: list[float], best: int, features: np.ndarray) -> list[dict]:
        ruled, out = self.ruled["internal"], []
        for index, each in enumerate(maps):
            if index == best:  # its rows come with the other parts'
                continue
            quantities = {"correlation": correlations[index], "trust": self._trust(features, each.points["internal"])}
            out += [_row("internal", each, False, name, value, ruled.n) for name, value in quantities.items()]
        for each in {each.neighbours: each for each in maps}.values():
            value = float(ruled.ranks @ ranks(squareform(each.geodesics, checks=False)))
            out.append(
                _row("internal", each, each.neighbours == maps[best].neighbours, "geodesic_correlation", value, ruled.n)
            )
        return out

    def _part(
        self, name: str, maps: list[PlanarMap], best: int, best_shuffled: np.ndarray, features: np.ndarray, real: bool
    ) -> list[dict]:
        """The chosen map on one part: trust, correlation and margins, each against the shuffled rulers."""
        ruled, chosen = self.ruled[name], maps[best]
        found = [ruled.correlation(each.distances(name)) for each in maps]
        value = found[best][0]
        null = np.array([shuffled for _, shuffled in found])[best_shuffled, np.arange(len(best_shuffled))]
        pca = {c: ruled.correlation(distances) for c, distances in ruled.pca.items()}
        drawn = self.bootstrap(name, chosen.distances(name))
        values = {"correlation": (value, null, drawn)}
        for c, (theirs, shuffled) in pca.items():
            margins = drawn - self._baseline_bootstraps[name, c]
            values[f"margin_{c}"] = (value - theirs, null - shuffled, margins)
        floor = 1 / (len(null) + 1)
        out = [_row(name, chosen, True, "trust", self._trust(features, chosen.points[name]), ruled.n)]
        for quantity, (value, shuffled, drawn) in values.items():
            test = {"p": (1 + int((shuffled >= value).sum())) * floor, "p_floor": floor}
            out.append(_row(name, chosen, True, quantity, value, ruled.n, **test, **self._interval(drawn)))
            if real:
                for draw, one in enumerate(shuffled):
                    used = maps[best_shuffled[draw]]
                    row = _row(name, used, True, quantity, float(one), ruled.n)
                    out.append(row | {"arm": SHUFFLED, "draw": draw})
        return out

    def baselines(self) -> list[dict]:
        """Rows of the principal components, and of the genes that the ruler reads."""
        out = []
        for name, ruled in self.ruled.items():
            for c, distances in ruled.pca.items():
                found = self._interval(self._baseline_bootstraps[name, c])
                about = {"method": "pca", "neighbours": 0, "arm": "pca", "operator": c, "draw": 0}
                row = _row(name, None, False, "correlation", ruled.correlation(distances)[0], ruled.n, **found)
                out.append(row | about)
        for quantity, side in zip(("ligands", "receptors"), self.sides, strict=True):
            out.append(_row("internal", None, False, quantity, len(side), self.ruled["internal"].n))
        return out

    def _trust(self, features: np.ndarray, points: np.ndarray) -> float:
        from sklearn.manifold import trustworthiness

        k = min(self.config.discovery.gates.neighbours, (len(points) - 1) // 2)
        return float(trustworthiness(features, points, n_neighbors=k))


def _row(part: str, used: PlanarMap | None, chosen: bool, quantity: str, value: float, n: int, **more: float) -> dict:
    """A row of the real operator, which the caller's arm replaces."""
    where = {"method": used.method, "neighbours": used.neighbours} if used else {"method": "", "neighbours": 0}
    found = {"part": part, "chosen": chosen, "quantity": quantity, "value": value, "n": n, "status": "ok", "reason": ""}
    empty = dict.fromkeys(("low", "high", "p", "p_floor"), NAN)
    return {"arm": "real", "operator": "drift", "draw": 0} | where | empty | found | more


def _untested(part: str, reason: str) -> dict:
    return _row(part, None, True, "margin_pca2", NAN, 0) | {"status": "not_testable", "reason": reason}


def map_interactions(config: Config, panel: str, files: ManifoldFiles, output: str | Path) -> None:
    """Stage: write the second manifold of a panel's operators (contract `MANIFOLD2`).

    Without an interaction table, or with no ligand or receptor among the genes, one `not_testable` row says so; a part
    with too few anchors has one of its own.
    """
    records = _records(config, files)
    frame = pd.DataFrame(records).assign(run=config.run, panel=panel, seed=config.discovery.head_seed)
    write_table(frame[MANIFOLD2.names], output, MANIFOLD2)


def _records(config: Config, files: ManifoldFiles) -> list[dict]:
    name = config.discovery.manifold.interactions
    if files.interactions is None:
        wanted = f"'{config.knowledge[name].path}' (knowledge.{name}) was not found" if name else "none is configured"
        return [_untested("external", f"the ruler needs an interaction table, and {wanted}")]
    check_sha256(files.interactions, config.knowledge[name].sha256 if name else None)
    parts, table = open_parts(files.parts, files.ontology), read_interactions(files.interactions)
    sides = table.shared(genes_of(parts, files.all_genes))
    if not all(sides):
        counts = f"{len(sides[0])} ligands and {len(sides[1])} receptors"
        return [_untested("external", f"{files.interactions}: {counts} of it are among the genes")]
    manifold = SecondManifold(config, parts, table, files.all_genes, sides)
    records = [_untested(part, reason) for part, reason in manifold.missing.items()]
    if not manifold.ruled:
        return records
    records += manifold.baselines()
    start = time.perf_counter()
    for arm, operators in files.operators.items():
        for file in operators[: config.discovery.finding_draws]:
            records += manifold.rows(Path(file).stem, file, arm)
            log.info("%s: %s, %.0f s", arm, Path(file).stem, time.perf_counter() - start)
    return records

"""Gates of a latent (spec E): trustworthiness, holdout and whole-part correlations with the ruler, permutations."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from opbench.adaptors.let import angle_distances
from opbench.config import Config
from opbench.discovery.distances import Pairs, geodesic_distances, pair_covariates, residualised
from opbench.discovery.holdouts import KINDS, Holdout, Latent, holdout_gates, holdouts
from opbench.discovery.parts import Part
from opbench.discovery.permutations import blocked_permutation, blocks_of, movable
from opbench.discovery.trust import Trust
from opbench.io.seeds import keyed_rng

NAN, ALL = float("nan"), "all"
WHOLE_PART = (
    "trustworthiness", "trust_reference", "trust_margin", "correlation", "correlation_between", "residualised",
    "geodesic", "blocked_permutation",
)  # fmt: skip
HELD_OUT = (*KINDS, *(f"{kind}_between" for kind in KINDS), "branch_weighted")
GATES = (*WHOLE_PART, *HELD_OUT)
#: What rows say of gates on anchors that the head was fitted on, and of gates that hold nothing out.
IN_SAMPLE = "in sample: the head was fitted on these anchors"
NOTHING_HELD = {
    "random": "correlation inside random fifths: nothing is held out",
    "donor": "within-donor correlation: nothing is held out",
    "branch": "within-branch correlation: nothing is held out",
}
REFITTED = "held out of heads of their own"
ONE_VALUE = "distances or ruler have one value"


@dataclass(frozen=True)
class Gate:
    """A gate's value, of n anchors, or of n holdouts whose mean it is; columns as in `GATES` of the tables."""

    gate: str
    value: float
    n: int
    status: str = "ok"
    reason: str = ""
    p: float = NAN
    p_floor: float = NAN
    null_mean: float = NAN
    null_q95: float = NAN

    def row(self, config: Config) -> dict:
        """Columns with the threshold, and whether it is met; a gate without threshold has not passed anything."""
        gates = config.discovery.gates
        least = {"trustworthiness": gates.trust, ALL: 1.0} | dict.fromkeys(KINDS, gates.correlation)
        threshold = gates.p if self.gate == "blocked_permutation" else least.get(self.gate, NAN)
        passed = self.p <= threshold if self.gate == "blocked_permutation" else self.value >= threshold
        return self.__dict__ | {"threshold": threshold, "passed": bool(passed)}


def together(gates: Sequence[Gate], config: Config) -> Gate:
    """Gate `all`: the share that are passed of the gates with a threshold that have a value; all must be."""
    judged = [gate for gate in gates if np.isfinite(gate.row(config)["threshold"])]
    held = [gate for gate in judged if np.isfinite(gate.value)]
    if not held:
        return Gate(ALL, NAN, 0, "not_testable", judged[0].reason if judged else "no gate has a threshold")
    missing = [gate.gate for gate in judged if gate not in held]
    reason = f"without {', '.join(missing)}, which have no value" if missing else ""
    return Gate(ALL, float(np.mean([gate.row(config)["passed"] for gate in held])), len(held), reason=reason)


def unavailable(names: Iterable[str], reason: str, status: str = "not_testable", n: int = 0) -> list[Gate]:
    """Gates that could not be computed."""
    return [Gate(name, NAN, n, status, reason) for name in names]


def settled(gate: Gate, capped: int, heads: int, max_epochs: int) -> Gate:
    """Say so of a gate without value, which is not testable, and of one whose heads reached no plateau."""
    if not np.isfinite(gate.value):
        return replace(gate, status="not_testable", reason=gate.reason or ONE_VALUE)
    if not capped:
        return gate
    text = f"{capped} of {heads} heads reached no plateau within {max_epochs} epochs"
    return replace(gate, status="cap", reason="; ".join(filter(None, (gate.reason, text))))


class Anchors:
    """A part under a ruler (K, K), with what the gates of all its latents share."""

    def __init__(self, part: Part, ruler: np.ndarray, config: Config, holdouts: int | None = None) -> None:
        """holdouts: random ones, if not as many as configured."""
        self.holdouts = config.discovery.gates.holdouts if holdouts is None else holdouts
        self.part, self.ruler, self.settings, self.seed = part, ruler, config.discovery.gates, config.discovery.seed
        self.max_epochs = config.adaptor.max_epochs
        self.pairs = Pairs.of(part.label, ruler)

    @cached_property
    def held(self) -> list[Holdout]:
        """Holdouts of every kind."""
        return holdouts(self.part, self.holdouts, self.seed)

    @cached_property
    def covariates(self) -> np.ndarray:
        """What the residualised correlation regresses out."""
        return pair_covariates(self.part.donor, self.part.tissue)

    def residualised(self, distance: np.ndarray) -> float:
        """Partial Spearman of distances (a, a) with the ruler, donor and tissue regressed out."""
        return residualised(self.pairs, distance, self.covariates)

    def whole(self, z: np.ndarray, trust: Trust, note: str = "", capped: bool = False) -> list[Gate]:
        """Gates of one latent (a, d) over all anchors."""
        n, pairs, distance = len(self.part), self.pairs, angle_distances(z)
        reference = trust.reference(z.shape[1])
        null = {"null_mean": float(reference.mean()), "null_q95": float(np.quantile(reference, 0.95))}
        graph = geodesic_distances(distance, self.settings.graph_neighbours)
        # Spreads of features differ by operator, and trust with them: arms are compared by what is above their own.
        centred = {"null_mean": 0.0, "null_q95": null["null_q95"] - null["null_mean"]}
        margin = "; ".join(filter(None, (note, "less the mean of random projections of the same features")))
        trusted = Gate("trustworthiness", trust.of(z), n, reason=note, **null)
        random = f"mean of {len(reference)} random projections of the same features to {z.shape[1]} dimensions"
        found = [
            trusted,
            replace(trusted, gate="trust_margin", value=trusted.value - null["null_mean"], reason=margin, **centred),
            Gate("correlation", pairs.correlation(distance), n, reason=note),
            Gate("correlation_between", pairs.correlation(distance, between=True), n, reason=note),
            Gate("residualised", self.residualised(distance), n, reason=note),
            Gate("geodesic", pairs.correlation(graph), n, reason=note),
            self._blocked(distance, note),
        ]
        made = [settled(gate, int(capped), 1, self.max_epochs) for gate in found]
        return [*made, Gate("trust_reference", null["null_mean"], n, reason=random, **null)]

    def _blocked(self, distance: np.ndarray, note: str) -> Gate:
        part, count = self.part, self.settings.permutations
        block = blocks_of(part.donor, part.tissue)
        if not movable(part.label, block):
            reason = "no donor and tissue has two cell types to permute"
            return Gate("blocked_permutation", NAN, len(part), "not_testable", reason)
        rng = keyed_rng(self.seed, "blocked-permutation", part.name)
        found = blocked_permutation(distance, part.label, self.ruler, block, count, rng)
        q95 = float(np.quantile(found.null, 0.95))
        return Gate(
            "blocked_permutation", found.value, len(part), "ok", note, found.p, found.p_floor,
            float(found.null.mean()), q95,
        )  # fmt: skip

    def holdout_gates(self, latents: list[Latent], notes: dict[str, str] | None = None) -> Iterator[Gate]:
        """Gates over holdouts; notes say by kind what the values are where nothing is held out."""
        able = "trained without and ranked" if notes is None else "ranked"
        for name, mean in holdout_gates(self.part, self.ruler, latents).items():
            kind = name.split("_")[0]
            said = [REFITTED if notes is None else notes[kind]]
            if mean.n == 0:
                yield Gate(name, NAN, 0, "not_testable", f"none of {mean.total} can be {able}")
                continue
            if mean.n < mean.total:
                said.append(f"mean of the {mean.n} of {mean.total} that can be {able}")
            gate = Gate(name, mean.value, mean.n, reason="; ".join(said))
            yield settled(gate, mean.capped, mean.total, self.max_epochs)

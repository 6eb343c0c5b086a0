"""Stage: gates of the anchor heads of one arm's operators, on every part of a panel (spec C.1, E; decisions 15 to 21).

Heads are trained on internal anchors alone, which also give scaling and the donors that stop. On the internal part
every random fifth, donor and branch is held out of a head of its own; on the other parts the head is frozen.
Rows of `null_branch` and `null_labels` have the ruler's index as `draw`, those of arm `random_labels` the map's. The
real operator's internal correlations take their p from `null_branch`, its blocked permutation from its own labels.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.adaptors.cell_head import CellHead
from opbench.adaptors.let import angle_distances
from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.discovery.anchor_heads import BUDGETS, AnchorHeads, Division, divide, fit_heads
from opbench.discovery.gates import (
    ALL,
    GATES,
    HELD_OUT,
    IN_SAMPLE,
    NOTHING_HELD,
    Anchors,
    Gate,
    settled,
    together,
    unavailable,
)
from opbench.discovery.holdouts import frozen_latents, groups, rankable, refitted_latents
from opbench.discovery.parts import PARTS_OF_CHAIN, Parts, open_parts
from opbench.discovery.rulers import NULL_BRANCH, NULL_LABELS, null_rulers, random_maps
from opbench.discovery.trust import Trust
from opbench.io.tables import GATES as SCHEMA
from opbench.io.tables import write_table
from opbench.operators.operator import Operator, read_operator
from opbench.panels.ontology import Ontology

log = logging.getLogger("opbench.score_gates")
INTERNAL, EXTERNAL, CONTROL, DIMENSION = "internal", "external", "control", "dimension"
DRIFT, REAL, RANDOM_LABELS = "drift", "real", "random_labels"
#: Seconds of a head at both budgets, and of the gates of a latent (marrow, one thread).
FIT, LATENT = 0.1, 0.15
NONE = np.empty(0, int)
#: Gates under random maps, and gates whose p is that of the null rulers.
MAPPED = ("trustworthiness", "branch")
RULED = ("correlation", "correlation_between", "geodesic", *HELD_OUT)


@dataclass(frozen=True)
class GateFiles:
    """Files of a job: anchors of the parts, the ontology's folder, and the operators of one arm."""

    parts: str | Path
    ontology: str | Path
    operators: Sequence[str]


@dataclass(frozen=True)
class Item:
    """An operator with its features by part, and as rows name it; of an operator without draws, draw is -1."""

    name: str
    arm: str
    draw: int
    features: dict[str, np.ndarray]


class GateJob:
    """The operators of one arm on one panel; `arm` is `drift` or a control."""

    def __init__(self, config: Config, panel: str, arm: str, files: GateFiles) -> None:
        self.config, self.panel, self.arm, self.files = config, panel, arm, files
        self.parts: Parts = open_parts(files.parts, files.ontology)
        self.settings, self.width = config.discovery.gates, config.adaptor.width
        self.anchors = {name: Anchors(part, self.parts.ruler, config) for name, part in self.parts.parts.items()}
        self.division: Division = divide(self.parts.parts[INTERNAL], NONE, config)
        self._trust: dict[str, Trust] = {}

    @property
    def seeds(self) -> range:
        """Head seeds: a random arm has one, as its null floor comes from its draws (decision 18)."""
        count = self.config.discovery.seeds if self.arm in (DRIFT, *FIXED_ARMS) else 1
        return range(self.config.discovery.head_seed, self.config.discovery.head_seed + count)

    @property
    def _null_holdouts(self) -> int:
        """Random holdouts under a null ruler."""
        return min(max(self.settings.holdouts // 5, 2), self.settings.holdouts)

    def items(self) -> Iterator[Item]:
        """The operators, each with its features of all parts."""
        for file in self.files.operators:
            operator: Operator = read_operator(file, self.parts.genes)
            read = [part for part in self.parts.parts if self._reads(operator, part)]
            features = {part: self.parts.features(operator, part) for part in read}
            arm = REAL if self.arm == DRIFT else str(operator.meta["arm"])
            yield Item(Path(file).stem, arm, int(operator.meta.get("draw", -1)), features)  # type: ignore[call-overload]

    def _reads(self, operator: Operator, part: str) -> bool:
        """Whether an operator has features of a part; one on labels knows those of its panel alone."""
        used = {self.parts.labels[code] for code in self.parts.parts[part].label}
        return operator.encoding != "label" or used <= set(operator.rows)

    def run(self, item: Item) -> Iterator[dict]:
        """Rows of one operator."""
        self._trust = {}
        first = self.seeds[0]
        for seed in self.seeds:
            about = {"operator": item.name, "arm": item.arm, "seed": seed}
            about["draw"] = seed - first if self.arm in (DRIFT, *FIXED_ARMS) else item.draw
            if self.division.reason:
                for part in PARTS_OF_CHAIN:
                    reason = self._why(part, item) or self.division.reason
                    yield from self._rows(unavailable((*GATES, ALL), reason), part, about)
                yield from self._rows(self._no_dimension(self.division.reason), DIMENSION, about)
                if item.arm == REAL and seed == first:
                    yield from self._no_nulls(self.division.reason, about)
                continue
            by_width = {width: self._fit(item, width, seed) for width in {self.width, *self.settings.widths}}
            heads = by_width[self.width]
            yield from self._internal(item, heads, self.anchors[INTERNAL], INTERNAL, about)
            for part in PARTS_OF_CHAIN[1:]:
                yield from self._frozen(item, heads, part, about)
            yield from self._dimension(item, by_width, about)
            if item.arm == REAL and seed == first:
                yield from self._null_rulers(item, about)
                yield from self._random_maps(item, heads, about)

    def _fit(self, item: Item, width: int, seed: int) -> AnchorHeads:
        internal = self.parts.parts[INTERNAL]
        return fit_heads(item.features[INTERNAL], internal, self.parts.ruler, self.division, width, seed, self.config)

    def _rows(self, gates: Sequence[Gate], part: str, about: dict, budgets: Sequence[str] = BUDGETS) -> Iterator[dict]:
        fixed = {"run": self.config.run, "panel": self.panel, "part": part, "head": "let", "width": self.width}
        fixed["learning_rate"] = float("nan")
        for budget in budgets:
            yield from (fixed | about | gate.row(self.config) | {"budget": budget} for gate in gates)

    def _why(self, part: str, item: Item) -> str:
        """Why a part is not tested, '' when it is."""
        if part not in self.parts.parts:
            return f"the panel has no anchor of part {part}"
        if part not in item.features:
            return f"operator {item.name} is made of labels and has none of part {part}"
        n, fewest = len(self.parts.parts[part]), self.settings.min_anchors
        return f"{n} anchors, fewer than {fewest}" if n < fewest else ""

    def _trust_of(self, item: Item, part: str, head: CellHead) -> Trust:
        """One for all heads of an operator: they are trained on the same anchors, hence scale alike."""
        if part not in self._trust:
            k, seed = self.settings.neighbours, self.config.discovery.seed
            self._trust[part] = Trust(item.features[part], head.mean, head.scale, k, seed)
        return self._trust[part]

    def _internal(self, item: Item, heads: AnchorHeads, anchors: Anchors, name: str, about: dict) -> Iterator[dict]:
        """Gates where heads are trained: over all anchors in sample, and on what a head of its own never saw."""
        about = about | {"learning_rate": heads.learning_rate}
        features, seed = item.features[INTERNAL], int(about["seed"])
        latents = refitted_latents(features, anchors.part, anchors.ruler, anchors.held, seed, self.config)
        for budget, head in heads.items():
            trust = self._trust_of(item, INTERNAL, head)
            whole = anchors.whole(head.transform(features), trust, IN_SAMPLE, head.status == "cap")
            found = [*whole, *anchors.holdout_gates(latents[budget])]
            yield from self._rows([*found, together(found, self.config)], name, about, [budget])

    def _frozen(self, item: Item, heads: AnchorHeads, part: str, about: dict) -> Iterator[dict]:
        if reason := self._why(part, item):
            yield from self._rows(unavailable((*GATES, ALL), reason), part, about)
            return
        anchors, about = self.anchors[part], about | {"learning_rate": heads.learning_rate}
        for budget, head in heads.items():
            z = head.transform(item.features[part])
            found = anchors.whole(z, self._trust_of(item, part, head), capped=head.status == "cap")
            found += anchors.holdout_gates(frozen_latents(z, anchors.held), NOTHING_HELD)
            yield from self._rows([*found, together(found, self.config)], part, about, [budget])

    def _no_dimension(self, reason: str) -> list[Gate]:
        return unavailable([f"{name}_{d}" for d in self.settings.widths for name in ("objective", "trust")], reason)

    def _dimension(self, item: Item, by_width: dict[int, AnchorHeads], about: dict) -> Iterator[dict]:
        """Transfer objective by latent width. The paper's is unnamed: here the residualised external correlation."""
        if reason := self._why(EXTERNAL, item):
            yield from self._rows(self._no_dimension(reason), DIMENSION, about)
            return
        anchors, cap = self.anchors[EXTERNAL], self.config.adaptor.max_epochs
        n, note = len(anchors.part), "residualised correlation on the external part"
        for d in self.settings.widths:
            for budget, head in by_width[d].items():
                z = head.transform(item.features[EXTERNAL])
                trust = self._trust_of(item, EXTERNAL, head).of(z)
                found = [
                    Gate(f"objective_{d}", anchors.residualised(angle_distances(z)), n, reason=note),
                    Gate(f"trust_{d}", trust, n, reason="trustworthiness on the external part"),
                ]
                found = [settled(gate, int(head.status == "cap"), 1, cap) for gate in found]
                own = about | {"width": d, "learning_rate": by_width[d].learning_rate}
                yield from self._rows(found, DIMENSION, own, [budget])

    def _no_nulls(self, reason: str, about: dict) -> Iterator[dict]:
        """Rows of null rulers and random maps where no head can be trained."""
        for kind in (NULL_BRANCH, NULL_LABELS):
            yield from self._rows(unavailable((*GATES, ALL), reason), kind, about)
        yield from self._rows(unavailable(MAPPED, reason), CONTROL, about | {"arm": RANDOM_LABELS})

    def _null_rulers(self, item: Item, about: dict) -> Iterator[dict]:
        """The internal gates again under each null ruler, with the first head seed; `draw` is the ruler's index.

        Of the random holdouts only a fifth, at least 2, is held out of heads of its own, as these are most of the cost;
        donors and branches are all held out. A mean over fewer fifths spreads more, so that its p errs upwards.
        """
        parts, count = self.parts, self.settings.rulers
        for kind in (NULL_BRANCH, NULL_LABELS):
            internal = parts.parts[INTERNAL]
            made = null_rulers(kind, internal, parts.ruler, parts.branch_of, count, self.config.discovery.seed)
            for index, null in enumerate(made):
                where = about | {"draw": index}
                if null is None:
                    yield from self._rows(unavailable((*GATES, ALL), "no other ruler of this kind exists"), kind, where)
                    break
                anchors = Anchors(*null, self.config, self._null_holdouts)
                division = divide(anchors.part, NONE, self.config)
                if division.reason:
                    yield from self._rows(unavailable((*GATES, ALL), division.reason), kind, where)
                    continue
                recipe = division, self.width, int(about["seed"]), self.config
                heads = fit_heads(item.features[INTERNAL], anchors.part, anchors.ruler, *recipe)
                yield from self._internal(item, heads, anchors, kind, where)

    def _random_maps(self, item: Item, heads: AnchorHeads, about: dict) -> Iterator[dict]:
        """The control part under random stages of its cell types; `draw` is the map's index."""
        about = about | {"arm": RANDOM_LABELS, "learning_rate": heads.learning_rate}
        if reason := self._why(CONTROL, item):
            yield from self._rows(unavailable(MAPPED, reason), CONTROL, about)
            return
        anchors, ontology = self.anchors[CONTROL], Ontology.read(self.files.ontology)
        for budget, head in heads.items():
            z = head.transform(item.features[CONTROL])
            trust = self._trust_of(item, CONTROL, head).of(z)
            maps = random_maps(anchors.part, ontology, self.settings.maps, self.config.discovery.seed)
            for index, (part, ruler) in enumerate(maps):
                latents = frozen_latents(z, groups("branch", part.branch))
                made = Anchors(part, ruler, self.config).holdout_gates(latents, NOTHING_HELD)
                found = [gate for gate in made if gate.gate == "branch"]
                found.append(Gate("trustworthiness", trust, len(part), "ok", "the same for every map: no label enters"))
                yield from self._rows(found, CONTROL, about | {"draw": index}, [budget])

    def estimate(self) -> float:
        """Seconds that the operators will take on one thread, to a factor of about 2."""
        part = self.parts.parts[INTERNAL]
        able = [rankable(part, self.parts.ruler, one.rows) for one in self.anchors[INTERNAL].held]
        refits, spared = sum(able), sum(able[self._null_holdouts : self.settings.holdouts])
        one = (refits + len({self.width, *self.settings.widths})) * FIT + 2 * len(self.parts.parts) * LATENT
        null = 2 * self.settings.rulers * ((refits - spared) * FIT + 2 * LATENT) if self.arm == DRIFT else 0
        return len(self.files.operators) * len(self.seeds) * one + null


def with_ruler_null(rows: pd.DataFrame) -> pd.DataFrame:
    """Fill p, its floor and the null's mean and q95 of the real internal rows of `RULED` from those of `null_branch`.

    Class re-assignment inside branches is the structured null of rulers (spec L 6): over the n rulers with a value at
    the same budget and gate, p = (1 + #{null >= value}) / (1 + n). Head seeds are all read against the rulers of the
    first.
    """
    rows, real, value = rows.copy(), rows["arm"] == REAL, rows["value"]
    nulls = rows[real & (rows["part"] == NULL_BRANCH) & rows["gate"].isin(RULED) & value.notna()]
    for (budget, gate), null in nulls.groupby(["budget", "gate"])["value"]:
        mine = real & (rows["part"] == INTERNAL) & (rows["budget"] == budget) & (rows["gate"] == gate) & value.notna()
        drawn, floor = null.to_numpy(), 1 / (1 + len(null))
        rows.loc[mine, "p"] = [(1 + (drawn >= one).sum()) * floor for one in value[mine]]
        rows.loc[mine, "p_floor"] = floor
        rows.loc[mine, ["null_mean", "null_q95"]] = drawn.mean(), np.quantile(drawn, 0.95)
    return rows


def score_gates(config: Config, panel: str, arm: str, files: GateFiles, output: str | Path) -> None:
    """Stage: write the gates of one arm's operators on the parts of one panel (contract `GATES`)."""
    gates = GateJob(config, panel, arm, files)
    count, seeds = len(files.operators), len(gates.seeds)
    log.info("%s, %s: %d operators, %d head seeds, about %.1f min", panel, arm, count, seeds, gates.estimate() / 60)
    records, start = [], time.perf_counter()
    for number, item in enumerate(gates.items(), 1):
        records += gates.run(item)
        log.info("%s (%d of %d), %.0f s", item.name, number, count, time.perf_counter() - start)
    write_table(with_ruler_null(pd.DataFrame(records))[SCHEMA.names], output, SCHEMA)

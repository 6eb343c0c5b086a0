"""Stage: one arm's operators through the compaction chain, and their factors.

Spec B.1, H.2; decisions 11, 14, 15, 18.

Pooled drift -> one head -> ranks -> hard sparse factors. At each step adaptor and probes are trained again on every
donor fold, for random arms as for the real operator. Tested donors whose anchors chose the head are counted in the
column `selection`: their values are selected and tested.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config import Config
from opbench.config.evidence import FIXED_ARMS
from opbench.discovery.bench import Bench, Fitted
from opbench.discovery.compaction_table import Scored, reference_floors, variant_rows
from opbench.discovery.factors import factor_rows, program_rows, untestable_row
from opbench.discovery.reduce import Reduced, hard_sparse, low_rank
from opbench.discovery.single import NoSingleError, head_of, single_matrix
from opbench.io.errors import InputError
from opbench.io.tables import COMPACTION, FACTORS, PROGRAMS, write_table
from opbench.models.attention_file import AttentionSums, load_attention
from opbench.operators.operator import Operator, read_operator

log = logging.getLogger("opbench.compact_operators")


@dataclass(frozen=True)
class ChainFiles:
    """Files of a job: panel, parts, the ontology's folder, attention sums, the scan's `HEADS`, one arm's operators."""

    panel: str
    parts: str
    ontology: str | Path
    attention: str
    heads: str
    operators: Sequence[str]


@dataclass(frozen=True)
class ChainOutputs:
    """Tables that a job writes: `COMPACTION`, `FACTORS` and `PROGRAMS`."""

    compaction: str | Path
    factors: str | Path
    programs: str | Path


@dataclass(frozen=True)
class Forms:
    """An operator with its reduced forms by variant, in the chain's order; why there are no more than `full`.

    draws: (draw as rows name it, head seed) of each time that it goes through the chain; head: of its `top1`.
    """

    name: str
    arm: str
    draws: list[tuple[int, int]]
    reduced: dict[str, Reduced]
    head: str = ""
    reason: str = ""

    @property
    def one_matrix(self) -> bool:
        """Whether the operator is its own single-head form."""
        return "top1" in self.reduced and self.reduced["top1"] is self.reduced["full"]


def stored_bytes(reduced: Reduced) -> int:
    """Bytes of a safetensors file of the reduced operator: what its arrays take, and the header."""
    from safetensors.numpy import save

    return len(save({name: np.ascontiguousarray(array) for name, array in reduced.arrays().items()}))


def variants_of(config: Config) -> list[str]:
    """The chain's variants in their order."""
    return ["full", "top1", *(f"rank{rank}" for rank in config.discovery.compaction.ranks), "sparse"]


def reduce_single(matrix: np.ndarray, ranks: Sequence[int], factors: int, genes: int) -> dict[str, Reduced]:
    """`rank<r>` forms of one decomposition, and `sparse`."""
    widest = low_rank(matrix, max(ranks))
    assert widest.left is not None and widest.right is not None
    out = {f"rank{r}": Reduced(left=widest.left[:, :r], right=widest.right[:r]) for r in ranks}
    return out | {"sparse": hard_sparse(matrix, factors, genes)}


class Chain:
    """The compaction chain of one arm's operators on one panel."""

    def __init__(
        self, config: Config, panel: str, arm: str, files: ChainFiles, endpoints: Sequence[str] | None = None
    ) -> None:
        self.config, self.arm, self.files, self.settings = config, arm, files, config.discovery.compaction
        self.bench = Bench(config, panel, files.panel, files.parts, files.ontology, endpoints)
        self.attention: AttentionSums = load_attention(files.attention, stored=True)
        if tuple(self.attention.genes) != self.bench.data.genes:
            raise InputError(f"{files.attention}: its genes are not those of the panel; delete it and run again.")
        self.about = {"run": config.run, "panel": panel, "campaign": self.bench.name}

    def forms(self) -> Iterator[Forms]:
        """Every operator of the arm with its reduced forms."""
        s, first = self.settings, self.config.discovery.head_seed
        for file in self.files.operators:
            operator = read_operator(file, self.bench.data.genes)
            if operator.encoding != "log1p":
                raise InputError(f"{file}: reads '{operator.encoding}', not expression; take it out of discovery.arms.")
            draws = [(int(operator.meta.get("draw", -1)), first)]  # type: ignore[call-overload]
            if self.arm in ("drift", *FIXED_ARMS):
                draws = [(index, first + index) for index in range(s.seeds)]
            yield Forms(Path(file).stem, str(operator.meta["arm"]), draws, *self._reduced(operator))

    def _reduced(self, operator: Operator) -> tuple[dict[str, Reduced], str, str]:
        """Reduced forms of an operator, the head that they are of, and why there are none beside `full`."""
        s, full = self.settings, Reduced(dense=operator.matrix)
        try:
            head = head_of(operator, self.files.heads, self.config.discovery.scan)
        except NoSingleError as error:
            return {"full": full}, "", str(error)
        matrix = single_matrix(operator, head, self.attention, self.config.operators.seed)
        top1 = full if matrix is operator.matrix else Reduced(dense=matrix)
        return {"full": full, "top1": top1, **reduce_single(matrix, s.ranks, s.factors, s.genes)}, head, ""

    def fit(self, forms: Forms, seed: int) -> dict[str, list[Fitted]]:
        """Heads of every form on every fold; what is the same matrix is fitted once."""
        out: dict[str, list[Fitted]] = {}
        for variant, reduced in forms.reduced.items():
            same = variant == "top1" and forms.one_matrix
            out[variant] = out["full"] if same else [self.bench.fit(reduced, fold, seed) for fold in self.bench.folds]
        return out

    def scored(self, forms: Forms, fitted: dict[str, list[Fitted]]) -> dict[str, Scored]:
        """Endpoints of every variant."""
        out = {}
        for variant in variants_of(self.config):
            reference = {"full": "", "top1": "full"}.get(variant, "top1")
            if variant not in forms.reduced:
                out[variant] = Scored(variant, reference, 0, None, forms.reason)
                continue
            folds = zip(fitted[variant], self.bench.folds, strict=True)
            values = np.concatenate([self.bench.score(one.probe.probed, fold) for one, fold in folds])
            same = variant == "top1" and forms.one_matrix
            reason = "the operator is one matrix: nothing to compare" if same else ""
            out[variant] = Scored(variant, reference, stored_bytes(forms.reduced[variant]), values, reason, same)
        return out

    def run(self) -> tuple[list[dict], list[dict], list[dict]]:
        """Rows of the three tables."""
        found: list[tuple[dict, dict[str, Scored]]] = []
        factors, programs, start = [], [], time.perf_counter()
        factored = [f"rank{self.settings.ranks[0]}", "sparse"]
        for forms in self.forms():
            for draw, seed in forms.draws:
                about = self.about | {"arm": forms.arm, "operator": forms.name, "draw": draw, "seed": seed}
                fitted = self.fit(forms, seed)
                chosen = {"selection": f"{forms.head} {self.bench.selection}" if forms.head else ""}
                found.append((about | chosen, self.scored(forms, fitted)))
                log.info("%s draw %d: chain after %.0f s", forms.name, draw, time.perf_counter() - start)
                if forms.reason:
                    factors += [about | untestable_row(form, forms.reason) for form in factored]
                    continue
                for form in factored:
                    made = factor_rows(self.config, self.bench, form, forms.reduced[form], fitted[form])
                    factors += [about | row for row in made]
                if draw == forms.draws[0][0]:  # an operator's factors do not depend on the head's seed
                    held = self.settings.factors, self.settings.program_genes
                    made = program_rows(forms.reduced[factored[0]], self.bench.data.genes, *held)
                    programs += [about | row for row in made]
                log.info("%s draw %d: factors after %.0f s", forms.name, draw, time.perf_counter() - start)
        return self._compaction(found), factors, programs

    def _compaction(self, found: list[tuple[dict, dict[str, Scored]]]) -> list[dict]:
        rows, level = [], self.config.evidence.floor_level
        floors = {}
        for name in ("full", "top1"):
            values = [scored[name].values for _, scored in found if scored[name].values is not None]
            if values:  # a draw that the scan lacks has none
                floors[name] = reference_floors(values, level)
        for about, scored in found:
            for one in scored.values():
                reference = None if one.reason else scored.get(one.reference)
                made = variant_rows(self.config, self.bench.endpoints, one, reference, floors.get(one.reference))
                rows += [about | row | ({"selection": ""} if one.variant == "full" else {}) for row in made]
        return rows


def compact_operators(
    config: Config,
    panel: str,
    arm: str,
    files: ChainFiles,
    outputs: ChainOutputs,
    endpoints: Sequence[str] | None = None,
) -> None:
    """Stage: write compaction, factors and programs of one arm's operators on one panel.

    arm: `drift` or a control of matrices; endpoints: eight by default (`bench.default_endpoints`).
    """
    chain = Chain(config, panel, arm, files, endpoints)
    log.info("%s, %s: %d operators on %d folds", panel, arm, len(files.operators), len(chain.bench.folds))
    compaction, factors, programs = chain.run()
    write_table(pd.DataFrame(compaction, columns=COMPACTION.names), outputs.compaction, COMPACTION)
    write_table(pd.DataFrame(factors, columns=FACTORS.names), outputs.factors, FACTORS)
    programs = [{key: row[key] for key in PROGRAMS.names} for row in programs]
    write_table(pd.DataFrame(programs, columns=PROGRAMS.names), outputs.programs, PROGRAMS)

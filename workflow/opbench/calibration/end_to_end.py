"""The calibration end to end: simulated cohorts, the trained cell head, scores as tables, and the whole inference.

One Gaussian operator plays the real one, so that every verdict is false. Sizes are small: a head is trained for each
operator, seed and fold.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from opbench.adaptors.cell_head import HeadData, fit_cell_head
from opbench.calibration.campaigns import FOLDS
from opbench.calibration.cases import NULL
from opbench.calibration.referees import ahead
from opbench.config.benchmark import Endpoints, Statistics
from opbench.config.data import Simulation
from opbench.config.evidence import Calibration, Evidence
from opbench.config.model import Adaptor
from opbench.io.seeds import derive_seed, keyed_rng
from opbench.io.tables import SCORES, TRIALS, write_table
from opbench.methods.heads import balanced_sample
from opbench.operators.controls import gaussian_halves
from opbench.panels.build import log1p_cp10k
from opbench.panels.ontology import Ontology
from opbench.panels.simulate import LABELS, draw_cohort
from opbench.readouts.endpoints import multiclass
from opbench.readouts.probes import class_scores
from opbench.statistics.evidence import judge_arms
from opbench.statistics.rule import judge_claim
from opbench.statistics.tests import signed_rank_exact

HEAD, ENDPOINT, ARM = "cell head", "stage_balanced_accuracy", "gaussian_halves"
#: Genes and cells of a donor; draws of the control and adaptor seeds; training epochs and cells of a label.
GENES, CELLS, DRAWS, SEEDS = 200, 150, 5, 3
ADAPTOR = Adaptor(epochs=40, cells_per_stage=25)
#: Marrow's number of donors; test cells that a label needs in a donor (decision 11).
DONORS, MIN_CELLS = 14, 5


class Cohort:
    """A simulated cohort with what heads are trained and scored on."""

    def __init__(self, donors: int, seed: int, ontology: Ontology) -> None:
        """Draw it; the operators' support is that of its corpus donors."""
        simulation = Simulation(
            donors=donors, corpus_donors=2, cells_per_donor=CELLS, corpus_cells_per_donor=300, genes=GENES, seed=seed
        )
        counts, obs = draw_cohort(simulation, ontology)
        tested = (obs["role"] == "evaluation").to_numpy()
        library = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        self.log1p = csr_matrix(log1p_cp10k(counts, library))[tested].toarray()
        found = (counts[~tested] > 0).astype(np.float32)
        self.support = (found.T @ found).toarray() > 0
        self.donor = obs["donor"].to_numpy()[tested].astype(str)
        self.condition = obs["condition"].to_numpy()[tested].astype(str)
        names = list(LABELS)
        stages = [stages for stages, _ in LABELS.values()]
        branch_of = [ontology.branch(some) for some in stages]
        self.branches = sorted(set(branch_of))
        self.label = np.array([names.index(name) for name in obs["cell_type"][tested]], dtype=np.int64)
        self.branch = np.array([self.branches.index(branch_of[code]) for code in self.label], dtype=np.int64)
        self.ruler = ontology.set_distance(list(stages))

    def features(self, draw: int, seed: int) -> np.ndarray:
        """Cells (n, 2G) through one Gaussian operator on the support, its two halves side by side."""
        halves = keyed_rng(seed, "spread").standard_normal((2, *self.support.shape))
        made = gaussian_halves(list(halves), self.support, seed, draw)
        return (self.log1p @ np.concatenate(made, axis=1)).astype(np.float32)

    def scores(self, features: np.ndarray, adaptor_seed: int, seed: int) -> Iterator[dict[str, object]]:
        """Value and cells of every donor, each tested once, by heads that its fold did not train."""
        fold = np.unique(self.donor, return_inverse=True)[1] % FOLDS
        for number in np.unique(fold):
            train = np.flatnonzero(fold != number)
            rows = train[balanced_sample(self.label[train], ADAPTOR.cells_per_stage, derive_seed(seed, "fold", number))]
            data = HeadData(features[rows], self.label[rows], self.branch[rows], self.ruler, len(self.branches))
            head = fit_cell_head(data, ADAPTOR, derive_seed(adaptor_seed, "head", "fixed"))
            latent, test = head.transform(features), fold == number
            decision = class_scores(latent[train], self.label[train], latent[test], len(LABELS))
            for donor in np.unique(self.donor[test]):
                mine = self.donor[test] == donor
                values, n = multiclass(self.label[test][mine], decision[mine].argmax(axis=1), MIN_CELLS)
                yield {"split": number, "donor": donor, "value": values["balanced_accuracy"], "n": n}


def score_table(donors: int, seed: int, ontology: Ontology) -> pd.DataFrame:
    """Scores of one campaign (contract `SCORES`): draw 0 plays the real operator, with several adaptor seeds."""
    cohort = Cohort(donors, seed, ontology)
    conditions = dict(zip(cohort.donor, cohort.condition, strict=True))
    arms = [("extracted_head", "real", 0, number) for number in range(SEEDS)]
    arms += [("gaussian_head", ARM, draw, 0) for draw in range(1, DRAWS + 1)]
    features: dict[int, np.ndarray] = {}
    rows = []
    for method, arm, draw, adaptor_seed in arms:
        if draw not in features:
            features = {draw: cohort.features(draw, seed)}
        named = {"method": method, "arm": arm, "draw": draw - 1, "seed": adaptor_seed, "operator": f"gaussian-{draw}"}
        rows += [row | named for row in cohort.scores(features[draw], adaptor_seed, seed)]
    frame = pd.DataFrame(rows).assign(
        run="calibration", panel="simulated", campaign=str(seed), endpoint=ENDPOINT, protocol="inductive", model="",
        width=ADAPTOR.width, budget="fixed", reason="", pretraining_overlap=False, leaking=False,
    )  # fmt: skip
    status = np.where(frame["value"].isna(), "not_applicable", "ok")
    return frame.assign(status=status, condition=frame["donor"].map(conditions))[SCORES.names]


def verdicts(scores: pd.DataFrame, evidence: Evidence, statistics: Statistics) -> dict[str, float]:
    """What the rule and two plain tests over donors say of one score table, and the lead."""
    endpoints = Endpoints(verdict=[ENDPOINT], min_donors=2)
    rule = evidence.model_copy(update={"must_beat": ["gaussian"], "trivial": [], "budget": "fixed"})
    judged = judge_arms(scores, endpoints, statistics, rule, ADAPTOR.width)
    verdict = judge_claim(judged, [ENDPOINT], rule).verdict
    by_donor = scores.groupby(["arm", "draw", "seed", "donor"])["value"].mean().dropna()
    real, control = by_donor["real"].unstack("donor"), by_donor[ARM].unstack("donor")
    many = (real.mean() - control.mean()).dropna().to_numpy()
    one = (real.iloc[0] - control.iloc[0]).dropna().to_numpy()
    return {
        "rule": float(verdict == "model_specific"),
        "donor_draws": float(ahead(many, signed_rank_exact, rule.alpha)),
        "donor_draw": float(ahead(one, signed_rank_exact, rule.alpha)),
        "lead over gaussian": float(many.mean()),
    }


def run_chunk(calibration: Calibration, evidence: Evidence, ontology: Ontology, chunk: int) -> pd.DataFrame:
    """Every `chunks`-th campaign (contract `TRIALS`)."""
    statistics = Statistics(bootstraps=calibration.bootstraps)
    rows = []
    for number in range(chunk, calibration.end_to_end, calibration.chunks):
        seed = derive_seed("calibration", calibration.seed, "end to end", number)
        scores = score_table(DONORS, seed, ontology)
        key = {"head": HEAD, "case": NULL, "control": "gaussian", "n_donors": DONORS, "effect": 0.0}
        for test, value in verdicts(scores, evidence, statistics).items():
            rows.append(key | {"world": number, "campaign": number, "test": test, "value": value})
    return pd.DataFrame(rows, columns=TRIALS.names)


def write_chunk(
    calibration: Calibration, evidence: Evidence, ontology: str | Path, chunk: int, output: str | Path
) -> None:
    """Run one chunk and write its trials."""
    write_table(run_chunk(calibration, evidence, Ontology.read(ontology), chunk), output, TRIALS)

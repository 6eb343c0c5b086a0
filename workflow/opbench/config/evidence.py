"""The decision rule, fixed before the run, and the calibration of the referee."""

from typing import Literal

from pydantic import Field

from opbench.config.base import Section

#: Control arms that are random: each draw is another operator.
RANDOM_ARMS = (
    "shuffle", "spectrum", "row_permuted", "dense", "random_model", "gram_permuted", "qk_permuted", "ov_permuted",
    "label_lookup",
)  # fmt: skip
#: Control arms that have one operator; their floor comes from adaptor seeds (decision 18).
FIXED_ARMS = (
    "pooled", "counts", "row_stochastic", "uniform", "coexpression", "ppmi", "qk", "ov", "gram", "identity",
    "token_bag",
)  # fmt: skip
ControlArm = Literal[
    "shuffle", "spectrum", "row_permuted", "dense", "random_model", "gram_permuted", "qk_permuted", "ov_permuted",
    "label_lookup", "pooled", "counts", "row_stochastic", "uniform", "coexpression", "ppmi", "qk", "ov", "gram",
    "identity", "token_bag",
]  # fmt: skip
MustBeat = Literal["gaussian", ControlArm]


class Evidence(Section):
    """The rule, fixed before the run: what the real operator must beat, and by how much (docs/evidence.md)."""

    must_beat: list[MustBeat] = Field(
        ["gaussian", "shuffle", "uniform", "coexpression", "row_permuted"],
        min_length=1,
        description="Controls that the real operator must beat, each by more than its null-vs-null floor.",
    )
    trivial: list[str] = Field(
        ["identity", "floor_mean", "floor_detection", "floor_library", "majority_class"],
        description="Controls (arms without a model, or methods) that a *readable* operator must beat.",
    )
    min_draws: int = Field(
        5,
        ge=2,
        description="Fewest draws of a random must-beat control; with 20 the real operator's rank is worth 1/21.",
    )
    budget: Literal["fixed", "plateau"] = Field("plateau", description="Training budget at which the rule decides.")
    floor_level: float = Field(
        0.95, gt=0.5, lt=1, description="Quantile of null-vs-null differences that a lead must exceed."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Largest q of the declared family that counts.")
    margin: float = Field(
        0.01, gt=0, description="Equivalence and non-inferiority margin; the null floor where that is larger."
    )
    power: float = Field(0.8, gt=0.5, lt=1, description="Power at which the smallest detectable difference is stated.")


class Calibration(Section):
    """Simulated campaigns in which it is known whether the real operator is better: does the rule judge rightly?"""

    campaigns: int = Field(1000, ge=1, description="Simulated campaigns per number of donors; each runs every case.")
    end_to_end: int = Field(20, ge=1, description="Simulated cohorts through the trained head and the whole inference.")
    donors: list[int] = Field([8, 14, 20], min_length=1, description="Numbers of donors.")
    effects: list[float] = Field(
        [0.01, 0.02, 0.03, 0.05, 0.08], description="Planted leads over the strongest control, in AUROC."
    )
    bootstraps: int = Field(1000, ge=100, description="Bootstrap draws of each simulated comparison.")
    chunks: int = Field(8, ge=1, description="Jobs that the campaigns are divided into.")
    seed: int = Field(1, description="Seed of populations and campaigns; pilot campaigns have streams of their own.")

"""Campaigns, methods, endpoints and statistics."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from opbench.config.base import Name, Section


class Campaign(Section):
    """A set of donor-holdout splits on one panel."""

    panel: Name = Field(description="Panel that is scored.")
    design: Literal["leave_one_donor_out", "folds", "grouped", "frozen"] = Field(
        description="`leave_one_donor_out`; `folds` (the testable donors in `splits` groups, each tested once); "
        "`grouped` (random groups of test donors, the paper's design); `frozen` (train on one dataset, test on all "
        "donors of another)."
    )
    train: Name = Field(description="Dataset whose donors train.")
    test: Name = Field(description="Dataset whose donors are tested.")
    splits: int = Field(ge=1, description="Number of splits; for leave-one-donor-out, of testable donors.")
    test_donors: int = Field(3, ge=1, description="Donors per test group, for `grouped`.")
    tested: list[str] | None = Field(
        None,
        min_length=1,
        description="Donors that are tested, each of which must have `min_cells` cells; null: every donor that has. "
        "Name them where `splits` must be known before the file is there.",
    )
    never_tested: list[str] = Field([], description="Donors that train but are never tested.")
    shared_donors: Literal["error", "hold_out"] = Field(
        "error",
        description="`frozen` between datasets that name the same donors: an error, or they are the same people and "
        "those that are tested do not train.",
    )
    min_cells: int = Field(100, ge=1, description="Fewest cells for a donor to be tested.")
    splits_per_job: int = Field(8, ge=1, description="Splits that one job works through.")
    methods: Literal["all", "core"] | list[Name] | None = Field(
        None, description="Methods of this campaign, as `methods`; null: those of `methods`."
    )
    budgets: list[Literal["fixed", "plateau"]] | None = Field(
        None, description="Adaptor budgets of this campaign; null: those of `adaptor`."
    )
    gaussian_draws: int | None = Field(None, description="Gaussian draws used here; null: all that are exported.")
    seeds: int = Field(
        1, ge=1, description="Adaptor seeds of the real operator and of controls without draws: their own null floor."
    )
    max_epochs: int | None = Field(None, ge=1, description="Plateau cap of this campaign; null: that of `adaptor`.")
    pseudotime: bool = Field(True, description="Score pseudotime; false where there are no progenitors.")
    seed: int = Field(0, description="Seed of the groups; a split's own seed, shared by all methods, derives from it.")

    @model_validator(mode="after")
    def _designs(self) -> "Campaign":
        if self.design == "frozen" and self.train == self.test:
            raise ValueError(f"'frozen' needs two datasets, but train and test are both '{self.train}'")
        if self.design != "frozen" and self.train != self.test:
            raise ValueError(
                f"'{self.design}' needs one dataset, but train is '{self.train}' and test is '{self.test}'"
            )
        if self.design == "frozen" and self.splits != 1:
            raise ValueError("'frozen' is one split")
        if self.tested is not None:
            self._tested(self.tested)
        return self

    def _tested(self, donors: list[str]) -> None:
        if twice := sorted({donor for donor in donors if donors.count(donor) > 1}):
            raise ValueError(f"'tested' names {twice} twice; name a donor once")
        if both := sorted(set(donors) & set(self.never_tested)):
            raise ValueError(f"'tested' and 'never_tested' both name {both}; keep one")
        if self.design == "leave_one_donor_out" and self.splits != len(donors):
            raise ValueError(
                f"'splits' is {self.splits} but 'tested' names {len(donors)} donors; set it to {len(donors)}"
            )


class Binary(Section):
    """A two-class subtype endpoint: labels by dataset, since every dataset has its own names."""

    positive: dict[Name, list[str]] = Field(description="Dataset → labels of the positive class.")
    negative: dict[Name, list[str]] = Field(description="Dataset → labels of the negative class.")
    verdict: bool = Field(True, description="Part of the family that carries a verdict.")


#: Endpoints that every campaign has; two-class ones are named in `binary`.
ENDPOINTS = (
    "branch_balanced_accuracy", "branch_macro_f1", "stage_balanced_accuracy", "stage_macro_f1",
    "pseudotime_spearman", "pseudotime_spearman_abs", "pseudotime_within_lineage", "depth_ridge_spearman",
)  # fmt: skip


class Endpoints(Section):
    """What is scored."""

    binary: dict[Name, Binary] = Field({}, description="Subtype endpoints: AUROC and balanced accuracy.")
    min_class_cells: int = Field(5, ge=1, description="A class needs this many test cells in a donor.")
    min_donors: int = Field(8, ge=2, description="Fewer tested donors make an endpoint descriptive.")
    verdict: list[str] = Field(
        ["branch_balanced_accuracy", "stage_balanced_accuracy", "branch_macro_f1", "stage_macro_f1",
         "pseudotime_spearman", "depth_ridge_spearman"],
        description="Endpoints of the verdict family, besides the binary ones that say so.",
    )  # fmt: skip

    @field_validator("verdict")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        if unknown := sorted(set(names) - set(ENDPOINTS)):
            raise ValueError(f"{unknown} are no endpoints; choose from {list(ENDPOINTS)}")
        return names

    neighbours: int = Field(15, ge=2, description="Neighbours of the donor-local graph for diffusion pseudotime.")
    nulls: int = Field(500, ge=19, description="Draws of each null of |Spearman|.")


class Statistics(Section):
    """Donor-level inference."""

    bootstraps: int = Field(10000, ge=100, description="Bootstrap draws of donors.")
    level: float = Field(0.95, gt=0.5, lt=1, description="Level of the intervals.")
    healthy: list[str] = Field(["healthy"], description="Values of `condition` that count as healthy.")
    seed: int = Field(0, description="Seed of the bootstrap.")

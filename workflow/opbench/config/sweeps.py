"""Sweeps of cheap heads over width, budget, seed and token convention."""

from typing import Literal

from pydantic import Field, model_validator

from opbench.config.base import Name, Section
from opbench.config.benchmark import Campaign
from opbench.config.evidence import MustBeat
from opbench.config.model import Operators

#: Arms that do not read expression values, so that an anchor's mean expression says nothing of their features.
OTHER_ENCODINGS = ("token_bag", "label_lookup")
Convention = Literal["operator", "operator_binned", "embedding"]


class Sweeps(Section):
    """Heads on anchors and in closed form: does a verdict depend on width, budget, seed or token convention?"""

    panels: list[Name] = Field(
        [], description="Panels that are swept; each needs a campaign that leaves donors out. []: none."
    )
    single_heads: list[str] = Field([], description="Single heads swept beside `operators.single_heads`, as `L2H5`.")
    folds: int = Field(5, ge=2, description="Donor folds, at most one a donor; donors and seed as in that campaign.")
    min_cells: int = Field(5, ge=1, description="Cells that an anchor (donor x tissue x cell type) needs.")
    heads: list[Literal["let", "closed_form"]] = Field(
        ["let", "closed_form"], min_length=1, description="Heads: trained on anchors, or solved on cells."
    )
    arms: list[MustBeat] = Field(
        ["gaussian", "shuffle", "row_permuted", "uniform", "coexpression"],
        description="Control arms beside the real operator; those that `operators` has no draw of are left out.",
    )
    draws: int = Field(20, ge=1, description="Draws of a random arm, at most those of `operators`.")
    width_draws: int = Field(5, ge=1, description="Of these, draws in the sweeps over width, rate and convention.")
    widths: list[int] = Field([3, 6, 10, 20, 50, 100], min_length=1, description="Latent widths.")
    full_width: bool = Field(True, description="Also probe the operator's features themselves, without a head.")
    budgets: list[int | Literal["plateau"]] = Field(
        [50, 120, 220, 500, 1000, 2000, "plateau"],
        min_length=1,
        description="Epochs of the anchor head; `plateau` stops on training donors as `adaptor` says.",
    )
    width_budget: int | Literal["plateau"] = Field("plateau", description="Budget of the sweep over width.")
    seeds: int = Field(5, ge=1, description="Head seeds of the real operator and of arms without draws.")
    conventions: list[Convention] = Field(
        [], description="Token conventions beside `operators.convention`; each takes an attention pass of its own."
    )
    learning_rates: list[float] = Field(
        [5e-3, 1e-3],
        min_length=1,
        description="Adam learning rates of the anchor head, the first for all sweeps but the one over rates: at 5e-3 "
        "steps are too long for the real operator's correlated features, and for its controls' they are not.",
    )
    weight_recon: float = Field(0.05, ge=0, description="Weight of the anchor head's tied reconstruction.")
    shrinkage: float = Field(
        0.1, gt=0, lt=1, description="Share by which the closed-form head shrinks the feature covariance to its mean."
    )

    @model_validator(mode="after")
    def _sensible(self) -> "Sweeps":
        if wrong := [arm for arm in self.arms if arm in OTHER_ENCODINGS]:
            raise ValueError(f"'arms' names {wrong}, which do not read expression values; take them out")
        if low_rates := [rate for rate in self.learning_rates if rate <= 0]:
            raise ValueError(f"'learning_rates' gives {low_rates}; rates are above 0")
        for field in ("widths", "budgets", "learning_rates"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"'{field}' gives a value twice; give each once")
            least = {"widths": 2, "budgets": 1}.get(field, 0)
            if low := [value for value in values if value != "plateau" and value < least]:
                raise ValueError(f"'{field}' gives {low}; widths are at least 2 and budgets at least 1")
        if self.width_budget not in self.budgets:
            raise ValueError(f"'width_budget' is {self.width_budget!r}, which is none of 'budgets'")
        return self

    def campaign_of(self, panel: str, campaigns: dict[str, Campaign]) -> str | None:
        """The campaign whose donors a panel's sweep holds out, folds first; None when the panel is not swept."""
        if panel not in self.panels:
            return None
        for design in ("folds", "leave_one_donor_out"):
            for name, campaign in campaigns.items():
                if campaign.panel == panel and campaign.design == design:
                    return name
        return None

    def operators_of(self, arm: str, operators: Operators) -> list[str]:
        """Names of the operators of one arm: `drift`, `heads` (single ones), `gaussian` or a control."""
        if arm == "heads":
            return [f"head-{head}" for head in dict.fromkeys([*operators.single_heads, *self.single_heads])]
        return operators.names_of(arm, self.draws)

    def arms_of(self, operators: Operators) -> list[str]:
        """Arms that have an operator: one job each; `conventions` where others are asked for."""
        named = ["drift", *self.arms, "heads"]
        found = [arm for arm in named if self.operators_of(arm, operators)]
        return [*found, *(["conventions"] if self.other_conventions(operators) else [])]

    def other_conventions(self, operators: Operators) -> list[str]:
        """Conventions that need an attention pass of their own."""
        return [name for name in dict.fromkeys(self.conventions) if name != operators.convention]

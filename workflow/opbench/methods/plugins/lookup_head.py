"""A lookup of the cell's label, with the same head: what the label alone, known of every cell, would give."""

from dataclasses import replace

from opbench.methods.heads import control_variants, head_variants
from opbench.methods.interface import Output, Plan, Task, Variant
from opbench.methods.plugins.extracted_head import ExtractedHead


class LookupHead(ExtractedHead):
    """Its features read test labels: what it reaches needs no expression, only cell types."""

    label = "label-lookup head (reads labels)"
    citation = "spec K, arm e"
    protocol = "oracle"
    settings = ("adaptor",)
    core = False
    by_name = True
    needs_labels = True
    reads_test_labels = True
    operator_kinds = ("label_lookup",)
    memory_mb = 2000

    def skip(self, plan: Plan) -> str | None:
        """It must be asked for."""
        return None if control_variants(plan, label_arms=True) else "operators.controls does not name label_lookup"

    def variants(self, plan: Plan) -> list[Variant]:
        """Every draw at each budget, and without a head."""
        found = control_variants(plan, label_arms=True)
        heads = [(control, head_variants(plan, control.operator, control.arm, control.draw)) for control in found]
        return [v for control, own in heads for v in (*own, replace(control, width=0))]

    def run(self, task: Task, variant: Variant) -> Output:
        """Fit the head as ever, or hand the vectors on as they are."""
        if variant.width:
            return super().run(task, variant)
        train, test = (cells.features(variant.operator) for cells in (task.train, task.test))
        return Output(representation=(train, test), fits=0)

"""Which figures there are, which tables each reads, and what its scope is; imports nothing heavy."""

#: Figure -> (tables that it needs, tables that may be left out, scope). A scope is a panel, a campaign of methods, one
#: that scores pseudotime, a battery of control arms, a panel whose heads are swept, or the run.
FIGURES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "cells_per_donor": (("panels", "splits"), (), "panel"),
    "latent_view": (("latent",), (), "campaign"),
    "paired_donors": (("scores", "summary"), (), "campaign"),
    "method_endpoint_heatmap": (("scores", "summary"), (), "campaign"),
    "comparisons": (("comparisons",), (), "campaign"),
    "pseudotime_null": (("scores", "summary"), ("nulls",), "pseudotime"),
    "cost_per_method": (("costs",), (), "run"),
    "evidence_nulls": (("evidence", "scores"), (), "battery"),
    "evidence_arms": (("evidence",), (), "battery"),
    "sweeps": (("sweeps",), (), "swept"),
    "claims_board": (("claims",), (), "run"),
}

"""Which figures there are, which tables each reads, and what its scope is; imports nothing heavy."""

#: Figure -> (tables that it needs, tables that may be left out, scope). A scope is a panel, a campaign of methods, one
#: that scores pseudotime, a battery of control arms, a panel whose heads are swept, a panel of the
#: discovery chain, one with compaction and factors (chain) or a second manifold (communication), or the run;
#: `geometry` is the run where its tensors of gene representations are analysed.
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
    "pipeline": (("parts", "part_overlap"), ("gates", "heads"), "discovery"),
    "part_views": (("part_views",), (), "discovery"),
    "gates": (("gates",), (), "discovery"),
    "dimension": (("gates",), (), "discovery"),
    "head_heatmap": (("heads",), (), "discovery"),
    "ripple": (("latent_findings",), (), "discovery"),
    "axis_correlation": (("latent_findings",), (), "discovery"),
    "t_lens": (("latent_findings",), (), "discovery"),
    "manifold2": (("manifold2",), (), "communication"),
    "compaction": (("compaction",), (), "chain"),
    "factor_impact": (("factors",), (), "chain"),
    "factor_subsets": (("factors",), (), "chain"),
    "gene_programs": (("programs",), ("enrichment",), "chain"),
    "runtime": (("ratio",), (), "run"),
    "claims_board": (("claims",), (), "run"),
    "geometry_spectrum": (("geometry",), (), "geometry"),
    "geometry_compartments": (("geometry",), (), "geometry"),
    "geometry_ppi": (("geometry",), (), "geometry"),
    "geometry_tf_target": (("geometry",), (), "geometry"),
    "geometry_edges": (("geometry",), (), "geometry"),
    "geometry_signs": (("geometry",), (), "geometry"),
    "geometry_convergence": (("geometry",), (), "geometry"),
    "geometry_markers": (("geometry",), (), "geometry"),
    "geometry_board": (("geometry_headlines",), ("geometry_claims",), "geometry"),
}

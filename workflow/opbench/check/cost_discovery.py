"""Estimates of the chain, from seconds measured in the run of config/marrow_discovery.yaml.

One thread, 69 internal anchors of 8 donors, 2,400 features, 600 fits of anchor heads a minute; 1,700 internal cells.
"""

from opbench.check.cost import BASE_MB, START, TORCH_MB, Cost, Work, cost_row, square_mb
from opbench.check.discovery import part_anchors
from opbench.config.evidence import FIXED_ARMS

#: Seconds of the gates of one head with its refits, more for every null ruler; of one head of the scan with one part;
#: of a hybrid, cell or anchor head; of the findings on one head; of the second manifold of one operator.
GATES, RULER, SCAN, HYBRID, FINDING, MANIFOLD = 6.0, 2.5, 0.5, 1.0, 0.7, 2.0
#: Of one operator through compaction and factors on one fold, with the cell head and with the anchor head.
CHAIN = {"cell": 27.0, "let": 8.0}
#: Anchors and entries of the operator at which these were measured.
ANCHORS, ENTRIES = 69, 1200 * 2400
#: Tables of the chain, and of compaction.
TABLES, CHAIN_TABLES = 7, 3


def discovery_costs(work: Work) -> list[Cost]:
    """Rows of the chain's rules, of panels whose cells are known."""
    chain, operators = work.config.discovery, work.config.operators
    panels = [name for name in chain.panels if name in work.panels]
    if not panels or work.model is None:
        return []
    arms, heads = chain.arms_of(operators), work.model.layers * work.model.heads
    hybrid = [arm for arm in arms if arm in ("drift", *chain.hybrids.arms)]
    jobs: dict[str, list[float]] = {}

    def add(rule: str, seconds: float) -> None:
        jobs.setdefault(rule, []).append(START + seconds)

    for name in panels:
        chosen, anchors = chain.panels[name], part_anchors(work.config, name, work.datasets)
        genes = work.panels[name].n_genes
        size = 2 * genes**2 / ENTRIES * max(anchors.get("internal", ANCHORS), 20) / ANCHORS
        parts = sum(part in anchors for part in ("internal", "external", "zero_shot"))
        for rule in ("build_parts", *(["build_control"] if chosen.control else [])):
            add(rule, 1.0)
        for arm in arms:
            seeds = chain.seeds if arm in ("drift", *FIXED_ARMS) else 1
            count = len(chain.operators_of(arm, operators)) * seeds
            add("score_gates", size * (GATES * count + RULER * 2 * chain.gates.rulers * (arm == "drift")))
            some = len(chain.operators_of(arm, operators, chain.finding_draws)) * seeds
            add("find_latents", FINDING * size * some * parts)
        kinds = 2 + len(chain.hybrids.strong) + len(chain.hybrids.conservative)
        for arm in hybrid:
            add("fit_hybrids", HYBRID * size * kinds * len(chain.operators_of(arm, operators, chain.hybrids.draws)))
        matrices = chain.seeds + 3 * chain.scan.draws
        add("scan_heads", SCAN * size / 2 * heads * matrices * chain.scan.epochs / 500)
        if chain.manifold.interactions:
            add("map_interactions", MANIFOLD * size * sum(len(chain.operators_of(arm, operators, 5)) for arm in arms))
        add("pack_artifact", 10.0)
        if name in chain.chains(work.config.campaigns):
            for arm in chain.matrix_arms(operators):
                drawn = len(chain.operators_of(arm, operators, chain.compaction.draws))
                count = chain.compaction.seeds if arm in ("drift", *FIXED_ARMS) else drawn
                add("compact_operators", CHAIN[chain.compaction.head] * size * chain.compaction.folds * count)
            if chain.compaction.gene_sets:
                add("enrich_factors", 2.0)
    tables = TABLES + bool(chain.manifold.interactions)
    if chain.chains(work.config.campaigns):
        tables += CHAIN_TABLES + bool(chain.compaction.gene_sets)
    for _ in range(tables):
        add("collect_discovery", 0.0)
    top = max(square_mb(work, name) for name in panels)
    memory = {"score_gates": TORCH_MB + 6 * top, "scan_heads": TORCH_MB + top * (heads + 20)}
    memory |= {"compact_operators": TORCH_MB + top * (heads + 40)}
    basis = "operators x heads x anchors x genes²"
    return [cost_row(rule, seconds, memory.get(rule, BASE_MB + 100), 0.2, basis) for rule, seconds in jobs.items()]

# Helpers only, no rules: what the chain reads and depends on. Needs common.smk.
from opbench.io.locate import locate_knowledge

DISCOVERY = CONFIG.discovery
# Arms of the chain, in which `drift` is the real operator, and those with hybrid heads, which are dear.
DISCOVERY_ARMS = DISCOVERY.arms_of(CONFIG.operators)
HYBRID_ARMS = [
    arm for arm in DISCOVERY_ARMS if arm in ("drift", *DISCOVERY.hybrids.arms)
]
CHAIN_ARMS = DISCOVERY.matrix_arms(CONFIG.operators)


def discovery_panels():
    return list(DISCOVERY.panels)


def chain_panels():
    """Panels with compaction and factors."""
    return DISCOVERY.chains(CONFIG.campaigns)


def control_of(panel):
    return DISCOVERY.panels[panel].control


def control_file(wildcards):
    wanted = control_of(wildcards.panel)
    return [f"{RESULTS}/build_control/{wildcards.panel}.h5ad"] if wanted else []


def operators_in(panel, names):
    folder = f"{RESULTS}/export_operator/{panel}"
    return [f"{folder}/{name}.safetensors" for name in names]


def every_discovery_operator(wildcards):
    names = [
        name
        for arm in DISCOVERY_ARMS
        for name in DISCOVERY.operators_of(
            arm, CONFIG.operators, DISCOVERY.finding_draws
        )
    ]
    return operators_in(wildcards.panel, names)


def some_operators(draws=None):
    """An input function: operators of one arm, this many draws of a random one; all without a number."""

    def operators(wildcards):
        names = DISCOVERY.operators_of(wildcards.arm, CONFIG.operators, draws)
        return operators_in(wildcards.panel, names)

    return operators


def knowledge_file(name):
    """The path of a knowledge table, [] where it is not found: its analyses say so."""
    found = locate_knowledge(CONFIG.knowledge[name].path) if name else None
    return [local(str(found))] if found else []


def interaction_file():
    return knowledge_file(DISCOVERY.manifold.interactions)


def gene_set_files():
    return [
        file for name in DISCOVERY.compaction.gene_sets for file in knowledge_file(name)
    ]


def gene_sets_found():
    """Name -> path of each table of gene sets, None where it is not found."""
    names = DISCOVERY.compaction.gene_sets
    return {name: next(iter(knowledge_file(name)), None) for name in names}


def knowledge_settings(names):
    return settings(*(f"knowledge.{name}" for name in names if name))


def anchors_of_heads():
    """What every head on anchors depends on."""
    return settings(
        "run",
        "adaptor",
        "operators.convention",
        "operators.seed",
        "sweeps.weight_recon",
        "discovery.learning_rates",
        "discovery.seed",
        "discovery.seeds",
        "discovery.head_seed",
        "discovery.draws",
        "discovery.gates",
    )


def part_settings(wildcards):
    internal = DISCOVERY.panels[wildcards.panel].internal
    never = [
        f"campaigns.{name}.never_tested"
        for name, campaign in CONFIG.campaigns.items()
        if campaign.test == internal
    ]
    return settings(
        "run",
        f"discovery.panels.{wildcards.panel}",
        "discovery.internal_share",
        "discovery.seed",
        "discovery.min_cells",
        *never,
    )


def gate_settings(wildcards):
    return anchors_of_heads()


def hybrid_settings(wildcards):
    return anchors_of_heads() | settings(
        "discovery.hybrids",
        "endpoints.binary",
        "endpoints.min_class_cells",
        "claims.analogues",
    )


def scan_settings(wildcards):
    return anchors_of_heads() | settings(
        "discovery.scan", "endpoints.binary", "model.device"
    )


def latent_settings(wildcards):
    return anchors_of_heads() | settings(
        "endpoints.binary", "endpoints.min_class_cells", "claims.analogues"
    )


def manifold_settings(wildcards):
    named = knowledge_settings([DISCOVERY.manifold.interactions])
    return anchors_of_heads() | settings("discovery.manifold", "statistics") | named


def chain_settings(wildcards):
    campaign = DISCOVERY.panels[wildcards.panel].campaign
    donors = ("train", "test", "tested", "never_tested", "min_cells", "seed")
    chosen = settings(
        "discovery.compaction",
        "endpoints",
        "evidence",
        "statistics",
        "claims.analogues",
    )
    return anchors_of_heads() | campaign_settings(campaign, *donors) | chosen


def enrichment_settings():
    names = DISCOVERY.compaction.gene_sets
    chosen = settings("run", "discovery.compaction", "evidence.alpha")
    return chosen | knowledge_settings(names)


def artifact_settings(wildcards):
    internal = DISCOVERY.panels[wildcards.panel].internal
    return settings(
        "run",
        "model.name",
        "operators",
        "discovery.artifact",
        "discovery.compaction",
        "discovery.scan",
        "adaptor",
        "endpoints",
        f"datasets.{internal}",
        f"discovery.panels.{wildcards.panel}",
    )


def by_panel(folder, ending=""):
    return [
        f"{RESULTS}/{folder}/{panel}{ending}.parquet" for panel in discovery_panels()
    ]


def by_arm(folder, arms, ending=""):
    return [
        f"{RESULTS}/{folder}/{panel}/{arm}{ending}.parquet"
        for panel in discovery_panels()
        for arm in arms
    ]


def chain_files(panel, ending=""):
    folder = f"{RESULTS}/compact_operators/{panel}"
    return [f"{folder}/{arm}{ending}.parquet" for arm in CHAIN_ARMS]


def chain_tables(ending=""):
    return [file for panel in chain_panels() for file in chain_files(panel, ending)]


# Table of the chain -> the files that it stacks.
EVERY_TABLE = {
    "parts": by_panel("build_parts", ".parts"),
    "part_overlap": by_panel("build_parts", ".part_overlap"),
    "gates": by_arm("score_gates", DISCOVERY_ARMS),
    "hybrids": by_arm("fit_hybrids", HYBRID_ARMS),
    "heads": by_panel("scan_heads"),
    "latent_findings": by_arm("find_latents", DISCOVERY_ARMS),
    "part_views": by_arm("find_latents", DISCOVERY_ARMS, ".views"),
    "manifold2": (
        by_panel("map_interactions") if DISCOVERY.manifold.interactions else []
    ),
    "compaction": chain_tables(),
    "factors": chain_tables(".factors"),
    "programs": chain_tables(".programs"),
    "enrichment": (
        [f"{RESULTS}/enrich_factors/{panel}.parquet" for panel in chain_panels()]
        if DISCOVERY.compaction.gene_sets
        else []
    ),
}
# A table without any is not made.
DISCOVERY_TABLES = {name: files for name, files in EVERY_TABLE.items() if files}


def discovery_files(name):
    return DISCOVERY_TABLES[name]


def by_table(name):
    """Panels of the chain, where it makes a table."""
    return discovery_panels() if name in DISCOVERY_TABLES else []


def artifact_files():
    return [f"{RESULTS}/artifact/{panel}.safetensors" for panel in discovery_panels()]


def chain_products():
    """All that the chain leaves for a reader."""
    tables = [table(name) for name in DISCOVERY_TABLES]
    figures = figures_of_kind("png", "discovery", "chain", "communication")
    return [*tables, *artifact_files(), *figures]


def some_chain(wildcards):
    """Nothing, where a panel has a chain; else a sentence that says what to add."""
    if not DISCOVERY.panels:
        raise WorkflowError(
            f"discovery.panels of run '{CONFIG.run}' names no panel, so that there is no chain; add "
            "config/marrow_discovery.yaml to --configfile after the battery's file, or write the section as "
            "docs/discovery.md shows."
        )
    return []

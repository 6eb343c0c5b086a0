# Helpers only, no rules: what the geometry reads and depends on. Needs common.smk and discovery_helpers.smk.
from opbench.config.geometry import KINDS

GEOMETRY = CONFIG.geometry


def geometry_knowledge():
    """Use -> path of its knowledge table, None where none is named or found."""
    named = GEOMETRY.knowledge.model_dump()
    return {use: next(iter(knowledge_file(named[use])), None) for use in KINDS}


def geometry_knowledge_files():
    return [file for file in geometry_knowledge().values() if file]


def tensor_settings():
    keys = ("cells", "max_genes", "genes", "convention", "seed", "random_draw")
    chosen = settings(*(f"geometry.{key}" for key in keys), "model.device")
    return chosen | knowledge_settings(GEOMETRY.knowledge.model_dump().values())


def geometry_settings():
    named = GEOMETRY.knowledge.model_dump().values()
    return settings("run", "geometry") | knowledge_settings(named)


def space_file(wildcards):
    stage = (
        "extract_reference" if wildcards.space == "coexpression" else "extract_space"
    )
    return f"{RESULTS}/{stage}/{wildcards.space}.safetensors"


def geometry_rows():
    return [
        f"{RESULTS}/analyse_geometry/{space}/{analysis}.parquet"
        for space in GEOMETRY.spaces
        for analysis in GEOMETRY.analyses
    ]


def geometry_tables():
    """Its tables, where there is a space."""
    names = ["geometry", "geometry_headlines", "geometry_claims"]
    return names if GEOMETRY.spaces else []


def geometry_products():
    """All that the geometry leaves for a reader."""
    tables = [table(name) for name in geometry_tables()]
    return [*tables, *figures_of_kind("png", "geometry")]


def some_geometry(wildcards):
    """Nothing, where there is a space; else a sentence that says what to add."""
    if not GEOMETRY.spaces:
        raise WorkflowError(
            f"geometry.spaces of run '{CONFIG.run}' is empty; add config/marrow_geometry.yaml to --configfile after "
            "the run's own file, or write the section as docs/geometry.md shows."
        )
    return []

# Helpers only, no rules: what the geometry reads and depends on. Needs common.smk and discovery_helpers.smk.
GEOMETRY = CONFIG.geometry


# What the genes of a space are chosen by; the tensor keeps attention among those of `interactions`.
SPACE_USES = ("edges", "interactions", "markers")
# Analysis -> uses of the tables that it reads; one without any of its own reads all for the scope `named_nonzero`.
ANALYSIS_USES = {
    "compartments": ("localisation",),
    "ppi": ("interactions",),
    "tf_target": ("edges", "factors"),
    "edges": ("edges",),
    "signs": ("edges",),
    "markers": ("markers",),
    "attention": ("interactions", "edges"),
}
# Analysis -> settings that it reads beside the scopes and `seed`; a change of another one leaves its rows as they are.
COORDINATES = ("least_cells", "axes", "bins")
DRAWN = ("permutations", "bootstraps")
ANALYSIS_KEYS = {
    "spectrum": COORDINATES,
    "compartments": (*COORDINATES, *DRAWN, "term_size", "pole", "sequence"),
    "ppi": (*COORDINATES, *DRAWN, "pole", "channels", "high_score", "low_score"),
    "tf_target": (*COORDINATES, "slow_permutations", "bootstraps"),
    "edges": (*COORDINATES, *DRAWN),
    "signs": (*COORDINATES, *DRAWN),
    "convergence": ("least_cells", "permutations", "converging", "anchors"),
    "markers": (*COORDINATES, *DRAWN, "marker_types"),
    "attention": (*COORDINATES, *DRAWN, "low_score"),
}


def uses_of(analysis):
    """Uses of the knowledge tables that an analysis reads."""
    first = dict.fromkeys(uses[0] for uses in ANALYSIS_USES.values())
    any_table = tuple(first) if "named_nonzero" in GEOMETRY.scopes else ()
    return ANALYSIS_USES.get(analysis, any_table)


def geometry_knowledge(uses):
    """Use -> path of its knowledge table, None where none is named or found."""
    named = GEOMETRY.knowledge.model_dump()
    return {use: next(iter(knowledge_file(named[use])), None) for use in uses}


def geometry_files(uses):
    return [file for file in geometry_knowledge(uses).values() if file]


def analysis_knowledge(wildcards):
    return geometry_knowledge(uses_of(wildcards.analysis))


def analysis_files(wildcards):
    return geometry_files(uses_of(wildcards.analysis))


def named_tables(uses):
    """What the configuration says of the tables of some uses."""
    keys = settings(*(f"geometry.knowledge.{use}" for use in uses))
    return keys | knowledge_settings(keys.values())


def tensor_settings():
    keys = ("cells", "max_genes", "genes", "convention", "seed", "random_draw")
    chosen = settings(*(f"geometry.{key}" for key in keys), "model.device")
    return chosen | named_tables(SPACE_USES)


def geometry_settings(wildcards):
    keys = ("scopes", "seed", *ANALYSIS_KEYS[wildcards.analysis])
    chosen = settings("run", *(f"geometry.{key}" for key in keys))
    return chosen | named_tables(uses_of(wildcards.analysis))


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

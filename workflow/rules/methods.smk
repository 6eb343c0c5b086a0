# Helpers only, no rules: what a campaign's methods ask for. Needs common.smk.


def methods_of(campaign):
    names = CONFIG.campaigns[campaign].methods or CONFIG.methods
    return one_sentence(registry.chosen, names, CONFIG.method_folders)


def is_battery(campaign):
    """Whether a campaign holds the real operator against control arms."""
    named = CONFIG.campaigns[campaign].methods
    return isinstance(named, list) and "control_head" in named


def declared(method, attribute, default):
    """What a method's class says of itself, read without importing it."""
    facts = one_sentence(registry.declared, method, CONFIG.method_folders)
    return facts.get(attribute, default)


def method_features(wildcards):
    """Projections, operators and embeddings that a method reads: only what it declares in `operator_kinds`.

    The many control operators are applied where they are read: their projections would fill the disk.
    """
    kinds = declared(wildcards.method, "operator_kinds", ())
    panel = CONFIG.campaigns[wildcards.campaign].panel
    controls = CONFIG.operators.control_names()
    applied = set(controls)
    if declared(wildcards.method, "needs_operators", False):
        applied.update(operator_names(panel))
    files = [
        (
            f"{RESULTS}/export_operator/{panel}/{name}.safetensors"
            if name in applied
            else f"{RESULTS}/project_cells/{panel}/{name}.npy"
        )
        for name in (*operator_names(panel), *controls)
        if name.split("-")[0] in kinds and name not in unused_draws(wildcards.campaign)
    ]
    pools = ("cls", "mean") if "embedding" in kinds else ()
    embedded = [f"{RESULTS}/embed_cells/{panel}/embedding-{pool}.npy" for pool in pools]
    return [*files, *embedded]


def unused_draws(campaign):
    """Gaussian draws that are exported for other campaigns."""
    draws = CONFIG.campaigns[campaign].gaussian_draws
    every = CONFIG.operators.gaussian_draws
    return {
        f"gaussian-{draw}" for draw in range(every if draws is None else draws, every)
    }


def method_settings(wildcards):
    """Settings that a method's rows depend on: those of all methods, and the sections that it declares."""
    names = [
        "run",
        "endpoints.binary",
        "endpoints.min_class_cells",
        "endpoints.neighbours",
        "endpoints.nulls",
        "model.name",
        "model.device",
        *declared(wildcards.method, "settings", ()),
    ]
    if "gaussian" in declared(wildcards.method, "operator_kinds", ()):
        names += ["operators.gaussian_draws", "operators.gaussian_arm"]
    return settings(*names)


def method_all_genes(wildcards):
    """The panel's cells over every gene, for methods that ask for them."""
    panel = CONFIG.campaigns[wildcards.campaign].panel
    asked = declared(wildcards.method, "needs_all_genes", False)
    return [f"{RESULTS}/build_all_genes/{panel}.h5ad"] if asked else []


def method_memory(wildcards, input, attempt):
    """What the method declares for a small panel, room for its inputs, and a cluster job's own two Snakemakes.

    Of operators that are applied in the job one is held at a time.
    """
    own = declared(wildcards.method, "memory_mb", 2000) + 350
    sizes = list(zip(input, input.size_files_mb))
    operators = [size for file, size in sizes if file.endswith(".safetensors")]
    rest = sum(size for file, size in sizes if not file.endswith(".safetensors"))
    return attempt * (own + 6 * (rest + max(operators, default=0)))


def method_gpu(wildcards):
    """A GPU for a method that gains from one, when the configuration says that there are any."""
    return declared(wildcards.method, "gpu", 0) * model_gpu()


def method_environment(wildcards):
    """The file of the method's own conda environment: one that does not solve must not stop the others."""
    name = declared(wildcards.method, "environment", "core")
    return str(PACKAGE.parents[1] / "envs" / f"{name}.yaml")


def method_source(wildcards):
    """Digest of what a method's results come from besides data and settings: code, and released models' labels."""
    plugin = one_sentence(registry.find, wildcards.method, CONFIG.method_folders)
    digest = source("run_method", plugin)
    if declared(wildcards.method, "reads_releases", False):
        models = CONFIG.baselines.celltypist.models.values()
        labels = [locate(model.labels) for model in models]
        digest = f"{digest}-{content_digest([path for path in labels if path])}"
    return digest


def run_method_files(suffix):
    return [
        f"{RESULTS}/run_method/{campaign}/{method}/{chunk}.{suffix}.parquet"
        for campaign in CONFIG.campaigns
        for method in methods_of(campaign)
        for chunk in chunks_of(campaign)
    ]


def ratio_benchmarks():
    """Times of what is computed once a panel, of panels with a campaign that runs the frozen model."""
    panels = {
        campaign.panel
        for name, campaign in CONFIG.campaigns.items()
        if "frozen_embedding_mlp" in methods_of(name)
    }
    return [
        f"{BENCHMARKS}/{path}"
        for panel in sorted(panels)
        for path in (
            f"embed_cells/{panel}.tsv",
            f"accumulate_attention/{panel}.tsv",
            f"export_operator/{panel}/drift.tsv",
            f"project_cells/{panel}/drift.tsv",
        )
    ]

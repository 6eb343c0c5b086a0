"""Benchmark: every method on every chunk of donor-holdout splits.

Needs: panels and projected features.
Leaves: draw_splits/{campaign}.parquet, find_roots/{campaign}.parquet,
run_method/{campaign}/{method}/{chunk}.{scores,costs,latent}.parquet and store/, where jobs find what equal inputs have
given before (it can be deleted at any time).
"""


rule draw_splits:
    input:
        panel=panel_of,
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
    output:
        splits=f"{RESULTS}/draw_splits/{{campaign}}.parquet",
    log:
        f"{LOGS}/draw_splits/{{campaign}}.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("draw_splits"),
        campaign=lambda wildcards: campaign_settings(
            wildcards.campaign,
            *(
                "panel",
                "design",
                "train",
                "test",
                "splits",
                "test_donors",
                "tested",
                "never_tested",
                "shared_donors",
                "min_cells",
                "seed",
            ),
        ),
    message:
        "Drawing the splits of {wildcards.campaign}"
    script:
        "../scripts/draw_splits.py"


rule find_roots:
    input:
        panel=panel_of,
        splits=f"{RESULTS}/draw_splits/{{campaign}}.parquet",
        ontology=ontology_files(),
    output:
        roots=f"{RESULTS}/find_roots/{{campaign}}.parquet",
    log:
        f"{LOGS}/find_roots/{{campaign}}.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("find_roots"),
        campaign=lambda wildcards: campaign_settings(
            wildcards.campaign, *("panel", "train", "test", "pseudotime")
        ),
    message:
        "Finding root cells for {wildcards.campaign}"
    script:
        "../scripts/find_roots.py"


rule run_method:
    input:
        panel=panel_of,
        splits=f"{RESULTS}/draw_splits/{{campaign}}.parquet",
        roots=f"{RESULTS}/find_roots/{{campaign}}.parquet",
        features=method_features,
        all_genes=method_all_genes,
        ontology=ontology_files(),
    output:
        scores=f"{RESULTS}/run_method/{{campaign}}/{{method}}/{{chunk}}.scores.parquet",
        costs=f"{RESULTS}/run_method/{{campaign}}/{{method}}/{{chunk}}.costs.parquet",
        latent=f"{RESULTS}/run_method/{{campaign}}/{{method}}/{{chunk}}.latent.parquet",
    log:
        f"{LOGS}/run_method/{{campaign}}/{{method}}/{{chunk}}.log",
    benchmark:
        f"{BENCHMARKS}/run_method/{{campaign}}/{{method}}/{{chunk}}.tsv"
    retries: 1
    conda:
        method_environment
    threads: 1
    resources:
        mem_mb=method_memory,
        gpu=method_gpu,
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=method_source,
        campaign=lambda wildcards: campaign_settings(
            wildcards.campaign,
            *(
                "panel",
                "design",
                "train",
                "test",
                "splits_per_job",
                "budgets",
                "gaussian_draws",
                "seeds",
                "max_epochs",
                "pseudotime",
                "seed",
            ),
        ),
        run=method_settings,
    message:
        "{wildcards.campaign}: {wildcards.method}, chunk {wildcards.chunk}"
    script:
        "../scripts/run_method.py"

"""Data: from files to panels.

Needs: the dataset entries, label maps and ontology of the config.
Leaves: resources/downloads/{file} with its record {file}.json (only for datasets that are found nowhere),
select_cells/{dataset}.parquet (one row per cell), select_genes/{panel}.parquet,
build_panel/{panel}.h5ad (evaluation cells), build_all_genes/{panel}.h5ad (the same cells over all genes),
build_corpus/corpus.h5ad (cells that are never tested).
"""


rule simulate_cohort:
    input:
        ontology=ontology_files(),
    output:
        cohort=f"{RESULTS}/simulate_cohort/{{dataset}}.h5ad",
    log:
        f"{LOGS}/simulate_cohort/{{dataset}}.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("simulate_cohort"),
        simulation=lambda wildcards: settings(f"datasets.{wildcards.dataset}.simulate"),
    message:
        "Simulating the cohort {wildcards.dataset}"
    script:
        "../scripts/simulate_cohort.py"


# No digest of the sources here: an edit of the code must not download an atlas again. Half a file is kept beside its
# place, and the next attempt continues it.
rule fetch_dataset:
    output:
        file=f"{DOWNLOADS}/{{file}}",
        record=f"{DOWNLOADS}/{{file}}.json",
    log:
        f"{LOGS}/fetch_dataset/{{file}}.log",
    wildcard_constraints:
        file=any_of(downloads()),
    retries: 2
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=1440,
    params:
        origin=lambda wildcards: downloads()[wildcards.file],
    message:
        "Downloading {wildcards.file}"
    script:
        "../scripts/fetch_dataset.py"


# Jobs of two threads come first: they would wait for both cores until all others are done.
# Files are streamed: memory grows with the cells and genes that are kept, for which a share of the file stands.
rule select_cells:
    input:
        data=lambda wildcards: dataset_file(wildcards.dataset),
        labels=lambda wildcards: label_file(wildcards.dataset),
        ontology=ontology_files(),
        symbols=lambda wildcards: symbol_tables(wildcards.dataset),
    output:
        cells=f"{RESULTS}/select_cells/{{dataset}}.parquet",
    log:
        f"{LOGS}/select_cells/{{dataset}}.log",
    priority: 10
    conda:
        "../../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 0.05 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("select_cells"),
        dataset=lambda wildcards: dataset_settings(wildcards.dataset),
    message:
        "Selecting cells of {wildcards.dataset}"
    script:
        "../scripts/select_cells.py"


rule select_genes:
    input:
        data=panel_sources,
        cells=panel_cells,
        vocabulary=known_vocabulary,
        symbols=lambda wildcards: symbol_tables(*panel_datasets(wildcards.panel)),
    output:
        genes=f"{RESULTS}/select_genes/{{panel}}.parquet",
    log:
        f"{LOGS}/select_genes/{{panel}}.log",
    priority: 10
    conda:
        "../../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 0.5 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("select_genes"),
        panel=lambda wildcards: settings(f"panels.{wildcards.panel}"),
        datasets=lambda wildcards: dataset_settings(*panel_datasets(wildcards.panel)),
        names=lambda wildcards: panel_datasets(wildcards.panel),
    message:
        "Selecting genes of panel {wildcards.panel}"
    script:
        "../scripts/select_genes.py"


rule build_panel:
    input:
        data=panel_sources,
        cells=panel_cells,
        genes=f"{RESULTS}/select_genes/{{panel}}.parquet",
        symbols=lambda wildcards: symbol_tables(*panel_datasets(wildcards.panel)),
    output:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
    log:
        f"{LOGS}/build_panel/{{panel}}.log",
    priority: 10
    conda:
        "../../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 0.3 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("build_panel"),
        panel=lambda wildcards: settings(f"panels.{wildcards.panel}"),
        datasets=lambda wildcards: dataset_settings(*panel_datasets(wildcards.panel)),
        names=lambda wildcards: panel_datasets(wildcards.panel),
    message:
        "Building panel {wildcards.panel}"
    script:
        "../scripts/build_panel.py"


# Only methods that choose their own genes ask for it. A stored count takes 12 bytes in memory, in a compressed file 2 or 3.
rule build_all_genes:
    input:
        data=panel_sources,
        cells=panel_cells,
        symbols=lambda wildcards: symbol_tables(*panel_datasets(wildcards.panel)),
    output:
        panel=f"{RESULTS}/build_all_genes/{{panel}}.h5ad",
    log:
        f"{LOGS}/build_all_genes/{{panel}}.log",
    priority: 10
    conda:
        "../../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("build_all_genes"),
        datasets=lambda wildcards: dataset_settings(*panel_datasets(wildcards.panel)),
        names=lambda wildcards: panel_datasets(wildcards.panel),
        members=lambda wildcards: settings(f"panels.{wildcards.panel}.datasets"),
    message:
        "Building panel {wildcards.panel} over all genes of its datasets"
    script:
        "../scripts/build_all_genes.py"


rule build_corpus:
    input:
        data=dataset_file(CONFIG.model.corpus),
        cells=cells_of(CONFIG.model.corpus),
        vocabulary=corpus_vocabulary(),
        symbols=symbol_tables(CONFIG.model.corpus),
    output:
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
    log:
        f"{LOGS}/build_corpus/corpus.log",
    priority: 10
    conda:
        "../../envs/core.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 0.5 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("build_corpus"),
        dataset=dataset_settings(CONFIG.model.corpus),
        name=CONFIG.model.corpus,
    message:
        "Building the pre-training corpus"
    script:
        "../scripts/build_corpus.py"

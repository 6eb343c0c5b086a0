"""Discovery: the paper's chain on anchors, for the real operator and its controls.

Needs: panels, attention, exported operators and, of control parts, a dataset that no panel holds.
Leaves: build_control/{panel}.h5ad, build_parts/{panel}.h5ad, score_gates, fit_hybrids, find_latents/{panel}/{arm}.parquet,
scan_heads and map_interactions/{panel}.parquet, tables/{parts,part_overlap,gates,hybrids,heads,latent_findings,part_views,
manifold2}.{parquet,tsv}; compaction.smk leaves the rest of the chain.
"""


rule build_control:
    input:
        data=lambda wildcards: dataset_file(control_of(wildcards.panel)),
        cells=lambda wildcards: cells_of(control_of(wildcards.panel)),
        genes=f"{RESULTS}/select_genes/{{panel}}.parquet",
        symbols=lambda wildcards: symbol_tables(control_of(wildcards.panel)),
    output:
        panel=f"{RESULTS}/build_control/{{panel}}.h5ad",
    log:
        f"{LOGS}/build_control/{{panel}}.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("build_control"),
        panel=lambda wildcards: settings(f"panels.{wildcards.panel}.min_present"),
        dataset=lambda wildcards: dataset_settings(control_of(wildcards.panel)),
        name=lambda wildcards: control_of(wildcards.panel),
    message:
        "Building the control part of panel {wildcards.panel}"
    script:
        "../scripts/build_control.py"


rule build_parts:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        control=control_file,
    output:
        anchors=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        parts=f"{RESULTS}/build_parts/{{panel}}.parts.parquet",
        overlap=f"{RESULTS}/build_parts/{{panel}}.part_overlap.parquet",
    log:
        f"{LOGS}/build_parts/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/build_parts/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("build_parts"),
        parts=part_settings,
    message:
        "Dividing panel {wildcards.panel} into internal, external and further parts"
    script:
        "../scripts/build_parts.py"


rule score_gates:
    input:
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        operators=some_operators(),
    output:
        gates=f"{RESULTS}/score_gates/{{panel}}/{{arm}}.parquet",
    log:
        f"{LOGS}/score_gates/{{panel}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/score_gates/{{panel}}/{{arm}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("score_gates"),
        settings=gate_settings,
    message:
        "{wildcards.panel}: gates of {wildcards.arm}"
    script:
        "../scripts/score_gates.py"


rule fit_hybrids:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        claims_file=located(CONFIG.claims.file),
        operators=some_operators(DISCOVERY.hybrids.draws),
    output:
        hybrids=f"{RESULTS}/fit_hybrids/{{panel}}/{{arm}}.parquet",
    log:
        f"{LOGS}/fit_hybrids/{{panel}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/fit_hybrids/{{panel}}/{{arm}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("fit_hybrids"),
        settings=hybrid_settings,
    message:
        "{wildcards.panel}: hybrid heads of {wildcards.arm}"
    script:
        "../scripts/fit_hybrids.py"


rule scan_heads:
    input:
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
    output:
        heads=f"{RESULTS}/scan_heads/{{panel}}.parquet",
    log:
        f"{LOGS}/scan_heads/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/scan_heads/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("scan_heads"),
        settings=scan_settings,
    message:
        "{wildcards.panel}: every head on its own"
    script:
        "../scripts/scan_heads.py"


rule map_interactions:
    input:
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        all_genes=f"{RESULTS}/build_all_genes/{{panel}}.h5ad",
        operators=every_discovery_operator,
        interactions=interaction_file(),
    output:
        manifold=f"{RESULTS}/map_interactions/{{panel}}.parquet",
    log:
        f"{LOGS}/map_interactions/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/map_interactions/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 8 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("map_interactions"),
        settings=manifold_settings,
    message:
        "{wildcards.panel}: second manifold"
    script:
        "../scripts/map_interactions.py"


rule find_latents:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        claims_file=located(CONFIG.claims.file),
        operators=some_operators(DISCOVERY.finding_draws),
    output:
        findings=f"{RESULTS}/find_latents/{{panel}}/{{arm}}.parquet",
        views=f"{RESULTS}/find_latents/{{panel}}/{{arm}}.views.parquet",
    log:
        f"{LOGS}/find_latents/{{panel}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/find_latents/{{panel}}/{{arm}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("find_latents"),
        settings=latent_settings,
    message:
        "{wildcards.panel}: findings on the latent of {wildcards.arm}"
    script:
        "../scripts/find_latents.py"


rule collect_discovery:
    input:
        files=lambda wildcards: discovery_files(wildcards.name),
    output:
        table=table("{name}"),
        tsv=report(
            table_text("{name}"),
            caption="../report/table_discovery.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
    log:
        f"{LOGS}/collect_discovery/{{name}}.log",
    wildcard_constraints:
        name=any_of(DISCOVERY_TABLES),
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_discovery"),
    message:
        "Collecting {wildcards.name}"
    script:
        "../scripts/collect_discovery.py"

"""Compaction: the operator cut down step by step, its factors, and the standalone algorithm.

Needs: parts, panels, attention, exported operators, scan_heads/{panel}.parquet.
Leaves: compact_operators/{panel}/{arm}.parquet with .factors and .programs beside, enrich_factors/{panel}.parquet,
tables/{compaction,factors,programs,enrichment}.{parquet,tsv}, artifact/{panel}.safetensors.
"""


rule compact_operators:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        parts=f"{RESULTS}/build_parts/{{panel}}.h5ad",
        ontology=ontology_files(),
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
        heads=f"{RESULTS}/scan_heads/{{panel}}.parquet",
        claims_file=located(CONFIG.claims.file),
        operators=some_operators(DISCOVERY.compaction.draws),
    output:
        compaction=f"{RESULTS}/compact_operators/{{panel}}/{{arm}}.parquet",
        factors=f"{RESULTS}/compact_operators/{{panel}}/{{arm}}.factors.parquet",
        programs=f"{RESULTS}/compact_operators/{{panel}}/{{arm}}.programs.parquet",
    log:
        f"{LOGS}/compact_operators/{{panel}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/compact_operators/{{panel}}/{{arm}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 480,
    params:
        source=source("compact_operators"),
        settings=chain_settings,
    message:
        "{wildcards.panel}: compaction and factors of {wildcards.arm}"
    script:
        "../scripts/compact_operators.py"


rule enrich_factors:
    input:
        programs=lambda wildcards: chain_files(wildcards.panel, ".programs"),
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        gene_sets=gene_set_files(),
    output:
        enrichment=f"{RESULTS}/enrich_factors/{{panel}}.parquet",
    log:
        f"{LOGS}/enrich_factors/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/enrich_factors/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("enrich_factors"),
        settings=enrichment_settings(),
        gmt=gene_sets_found(),
    message:
        "{wildcards.panel}: gene sets of the factors"
    script:
        "../scripts/enrich_factors.py"


rule pack_artifact:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        ontology=ontology_files(),
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
        heads=f"{RESULTS}/scan_heads/{{panel}}.parquet",
        model=f"{RESULTS}/describe_model/model.json",
        dataset=lambda wildcards: dataset_file(
            DISCOVERY.panels[wildcards.panel].internal
        ),
    output:
        artifact=f"{RESULTS}/artifact/{{panel}}.safetensors",
    log:
        f"{LOGS}/pack_artifact/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/pack_artifact/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("pack_artifact"),
        settings=artifact_settings,
    message:
        "{wildcards.panel}: packing the standalone algorithm"
    script:
        "../scripts/pack_artifact.py"

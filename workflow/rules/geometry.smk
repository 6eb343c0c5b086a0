"""Geometry: the sister paper's analyses of gene representations, with matched nulls.

Needs: the checkpoint, the corpus, and knowledge tables where they are found.
Leaves: extract_space/{space}.safetensors, extract_reference/coexpression.safetensors,
analyse_geometry/{space}/{analysis}.parquet, tables/{geometry,geometry_headlines,geometry_claims}.{parquet,tsv}.
"""


rule extract_space:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
        knowledge=geometry_files(SPACE_USES),
    output:
        tensor=f"{RESULTS}/extract_space/{{space}}.safetensors",
    log:
        f"{LOGS}/extract_space/{{space}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_space/{{space}}.tsv"
    wildcard_constraints:
        space="model|random",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (4000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("extract_space"),
        settings=tensor_settings(),
        knowledge=geometry_knowledge(SPACE_USES),
    message:
        "Averaging token vectors by gene, {wildcards.space}"
    script:
        "../scripts/extract_space.py"


rule extract_reference:
    input:
        tensor=f"{RESULTS}/extract_space/model.safetensors",
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
    output:
        tensor=f"{RESULTS}/extract_reference/coexpression.safetensors",
    log:
        f"{LOGS}/extract_reference/coexpression.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("extract_reference"),
    message:
        "Decomposing the co-expression of the same cells"
    script:
        "../scripts/extract_reference.py"


rule analyse_geometry:
    input:
        tensor=space_file,
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
        knowledge=analysis_files,
    output:
        rows=f"{RESULTS}/analyse_geometry/{{space}}/{{analysis}}.parquet",
    log:
        f"{LOGS}/analyse_geometry/{{space}}/{{analysis}}.log",
    benchmark:
        f"{BENCHMARKS}/analyse_geometry/{{space}}/{{analysis}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("analyse_geometry"),
        settings=geometry_settings,
        knowledge=analysis_knowledge,
    message:
        "{wildcards.analysis} of the gene representations, {wildcards.space}"
    script:
        "../scripts/analyse_geometry.py"


rule collect_geometry:
    input:
        rows=geometry_rows(),
    output:
        table=table("geometry"),
        tsv=report(
            table_text("geometry"),
            caption="../report/table_geometry.rst",
            category="Tables",
            labels={"table": "geometry"},
        ),
        headlines=table("geometry_headlines"),
        headlines_tsv=report(
            table_text("geometry_headlines"),
            caption="../report/table_geometry_headlines.rst",
            category="Tables",
            labels={"table": "geometry_headlines"},
        ),
    log:
        f"{LOGS}/collect_geometry/geometry.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_geometry"),
        settings=settings("geometry.secreted"),
    message:
        "Collecting the geometry's rows and testing its headlines"
    script:
        "../scripts/collect_geometry.py"


rule judge_geometry:
    input:
        geometry=table("geometry"),
        headlines=table("geometry_headlines"),
        claims_file=located(CONFIG.claims.file),
        model=f"{RESULTS}/describe_model/model.json",
    output:
        claims=table("geometry_claims"),
        tsv=report(
            table_text("geometry_claims"),
            caption="../report/table_geometry_claims.rst",
            category="Tables",
            labels={"table": "geometry_claims"},
        ),
    log:
        f"{LOGS}/judge_geometry/claims.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("judge_geometry"),
        settings=settings("run", "statistics", "evidence", "claims", "endpoints"),
    message:
        "Setting the sister paper's claims beside the geometry"
    script:
        "../scripts/judge_geometry.py"

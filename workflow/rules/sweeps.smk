"""Sweeps: cheap heads over width, budget, seed and token convention, real operator beside its controls.

Needs: panels, exported operators, and for other conventions the checkpoint and the corpus.
Leaves: build_anchors/{panel}.h5ad, sweep_heads/{panel}/{arm}.parquet, export_convention/{panel}/{convention}.safetensors,
tables/sweeps.{parquet,tsv}.
"""


include: "sweeps_helpers.smk"


rule build_anchors:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
    output:
        anchors=f"{RESULTS}/build_anchors/{{panel}}.h5ad",
    log:
        f"{LOGS}/build_anchors/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/build_anchors/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1000 + 8 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("build_anchors"),
        min_cells=CONFIG.sweeps.min_cells,
    message:
        "Averaging the cells of {wildcards.panel} by donor and cell type"
    script:
        "../scripts/build_anchors.py"


rule accumulate_convention:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
        genes=f"{RESULTS}/select_genes/{{panel}}.parquet",
    output:
        attention=temp(
            f"{RESULTS}/accumulate_convention/{{panel}}/{{convention}}.safetensors"
        ),
    log:
        f"{LOGS}/accumulate_convention/{{panel}}/{{convention}}.log",
    benchmark:
        f"{BENCHMARKS}/accumulate_convention/{{panel}}/{{convention}}.tsv"
    wildcard_constraints:
        convention="operator|operator_binned|embedding",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("accumulate_convention"),
        operators=settings(
            "operators.cells",
            "operators.max_length",
            "operators.seed",
            "model.device",
        ),
    message:
        "Summing attention under convention {wildcards.convention} for panel {wildcards.panel}"
    script:
        "../scripts/accumulate_convention.py"


rule export_convention:
    input:
        attention=f"{RESULTS}/accumulate_convention/{{panel}}/{{convention}}.safetensors",
    output:
        operator=f"{RESULTS}/export_convention/{{panel}}/{{convention}}.safetensors",
    log:
        f"{LOGS}/export_convention/{{panel}}/{{convention}}.log",
    benchmark:
        f"{BENCHMARKS}/export_convention/{{panel}}/{{convention}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1000 + input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("export_convention"),
        operators=settings("operators.seed"),
    message:
        "Exporting the drift of {wildcards.panel} under convention {wildcards.convention}"
    script:
        "../scripts/export_convention.py"


rule sweep_heads:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        anchors=f"{RESULTS}/build_anchors/{{panel}}.h5ad",
        operators=sweep_operators,
        ontology=ontology_files(),
    output:
        sweep=f"{RESULTS}/sweep_heads/{{panel}}/{{arm}}.parquet",
    log:
        f"{LOGS}/sweep_heads/{{panel}}/{{arm}}.log",
    benchmark:
        f"{BENCHMARKS}/sweep_heads/{{panel}}/{{arm}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        # One operator is held at a time, with the latents of its heads.
        mem_mb=lambda wildcards, input, attempt: attempt * (2500 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("sweep_heads"),
        sweep=sweep_settings,
    message:
        "{wildcards.panel}: cheap heads on {wildcards.arm}"
    script:
        "../scripts/sweep_heads.py"


rule collect_sweeps:
    input:
        sweeps=sweep_files(),
    output:
        sweeps=table("sweeps"),
        tsv=report(
            table_text("sweeps"),
            caption="../report/table_sweeps.rst",
            category="Tables",
            labels={"table": "sweeps"},
        ),
    log:
        f"{LOGS}/collect_sweeps/sweeps.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_sweeps"),
    message:
        "Collecting sweeps"
    script:
        "../scripts/collect_sweeps.py"

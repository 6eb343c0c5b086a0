"""Operators: from attention on corpus cells to feature maps of panel cells; and the model's own cell embeddings.

Needs: the checkpoint, the corpus, a panel's genes and cells.
Leaves: accumulate_attention/{panel}.safetensors, export_operator/{panel}/{operator}.safetensors,
project_cells/{panel}/{operator}.npy, embed_cells/{panel}/embedding-{cls,mean}.npy.
A random model's attention is as large as the real one's and goes when its operator is exported.
"""


rule accumulate_attention:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
        genes=f"{RESULTS}/select_genes/{{panel}}.parquet",
    output:
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
    log:
        f"{LOGS}/accumulate_attention/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/accumulate_attention/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("accumulate_attention"),
        operators=settings(
            "operators.cells",
            "operators.convention",
            "operators.max_length",
            "operators.seed",
            "model.device",
        ),
    message:
        "Summing attention over corpus cells for panel {wildcards.panel}"
    script:
        "../scripts/accumulate_attention.py"


rule accumulate_random_attention:
    input:
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
    output:
        attention=temp(
            f"{RESULTS}/accumulate_random_attention/{{panel}}/{{draw}}.safetensors"
        ),
    log:
        f"{LOGS}/accumulate_random_attention/{{panel}}/{{draw}}.log",
    benchmark:
        f"{BENCHMARKS}/accumulate_random_attention/{{panel}}/{{draw}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("accumulate_random_attention"),
        operators=settings("model.device"),
    message:
        "Summing a random model's attention, draw {wildcards.draw}, for panel {wildcards.panel}"
    script:
        "../scripts/accumulate_random_attention.py"


rule export_operator:
    input:
        unpack(operator_needs),
        attention=f"{RESULTS}/accumulate_attention/{{panel}}.safetensors",
    output:
        operator=f"{RESULTS}/export_operator/{{panel}}/{{operator}}.safetensors",
    log:
        f"{LOGS}/export_operator/{{panel}}/{{operator}}.log",
    benchmark:
        f"{BENCHMARKS}/export_operator/{{panel}}/{{operator}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1000 + input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("export_operator"),
        operators=settings("operators.seed", "operators.gaussian_arm"),
    message:
        "Exporting operator {wildcards.operator} for panel {wildcards.panel}"
    script:
        "../scripts/export_operator.py"


rule project_cells:
    input:
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
        operator=f"{RESULTS}/export_operator/{{panel}}/{{operator}}.safetensors",
    output:
        features=f"{RESULTS}/project_cells/{{panel}}/{{operator}}.npy",
    log:
        f"{LOGS}/project_cells/{{panel}}/{{operator}}.log",
    benchmark:
        f"{BENCHMARKS}/project_cells/{{panel}}/{{operator}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 4 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("project_cells"),
    message:
        "Projecting the cells of {wildcards.panel} through {wildcards.operator}"
    script:
        "../scripts/project_cells.py"


rule embed_cells:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        panel=f"{RESULTS}/build_panel/{{panel}}.h5ad",
    output:
        # Both pools of one forward pass.
        cls=f"{RESULTS}/embed_cells/{{panel}}/embedding-cls.npy",
        mean=f"{RESULTS}/embed_cells/{{panel}}/embedding-mean.npy",
    log:
        f"{LOGS}/embed_cells/{{panel}}.log",
    benchmark:
        f"{BENCHMARKS}/embed_cells/{{panel}}.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        source=source("embed_cells"),
        operators=settings(
            "operators.max_length",
            "operators.seed",
            "model.device",
        ),
    message:
        "Embedding the cells of {wildcards.panel} with the frozen model"
    script:
        "../scripts/embed_cells.py"

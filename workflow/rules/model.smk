"""Model: the frozen scGPT-format checkpoint.

Needs: a checkpoint folder named in the config, or the corpus to train a nano checkpoint on.
Leaves: resources/downloads/{checkpoint}/ (only when the named folder is found nowhere), pretrain_nano/ (only when no
checkpoint is named) and describe_model/model.json (digest, whether it learnt).
"""


rule fetch_checkpoint:
    output:
        file=f"{DOWNLOADS}/{{checkpoint}}/{{file}}",
    log:
        f"{LOGS}/fetch_checkpoint/{{checkpoint}}/{{file}}.log",
    wildcard_constraints:
        checkpoint=any_of([Path(CONFIG.model.checkpoint or "-").name]),
        file=any_of(CONFIG.model.files),
    retries: 2
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=240,
    params:
        remote=lambda wildcards: CONFIG.model.files[wildcards.file].model_dump(),
    message:
        "Downloading {wildcards.file} of {wildcards.checkpoint}"
    script:
        "../scripts/fetch_checkpoint.py"


rule build_vocabulary:
    input:
        genes=[f"{RESULTS}/select_genes/{panel}.parquet" for panel in CONFIG.panels],
        extra=[located(name) for name in CONFIG.model.pretrain.extra_genes],
        universe=known_vocabulary,
    output:
        vocabulary=f"{RESULTS}/build_vocabulary/vocab.json",
    log:
        f"{LOGS}/build_vocabulary/vocabulary.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("build_vocabulary"),
        max_genes=CONFIG.model.pretrain.max_genes,
    message:
        "Building the nano model's vocabulary"
    script:
        "../scripts/build_vocabulary.py"


rule pretrain_nano:
    input:
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
        vocabulary=f"{RESULTS}/build_vocabulary/vocab.json",
    output:
        multiext(
            f"{RESULTS}/pretrain_nano/",
            args="args.json",
            vocabulary="vocab.json",
            weights="best_model.pt",
            recipe="recipe.json",
        ),
    log:
        f"{LOGS}/pretrain_nano/nano.log",
    benchmark:
        f"{BENCHMARKS}/pretrain_nano/nano.tsv"
    conda:
        "../../envs/core.yaml"
    # One thread: the order of summation, and with it every bit of the weights, must not depend on the machine.
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (3000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("pretrain_nano"),
        recipe=settings("model.pretrain", "model.device"),
    message:
        "Pre-training the nano model by masked-value prediction"
    script:
        "../scripts/pretrain_nano.py"


rule describe_model:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
    output:
        model=f"{RESULTS}/describe_model/model.json",
    log:
        f"{LOGS}/describe_model/model.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("describe_model"),
        name=CONFIG.model.name,
        seed=CONFIG.model.pretrain.seed,
        device=CONFIG.model.device,
    message:
        "Describing the model and measuring whether it learnt anything"
    script:
        "../scripts/describe_model.py"

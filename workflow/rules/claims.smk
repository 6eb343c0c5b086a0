"""Claims: what was published, beside what this run finds.

Needs: the run's tables, the claims file, the model card; attention, operators and checkpoint for the facts of operators.
Leaves: tables/{operator_facts,embedding_repeat,claims}.{parquet,tsv}, evaluate_claims/claims.html.
"""


include: "claims_helpers.smk"


rule measure_operators:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        attention=[
            f"{RESULTS}/accumulate_attention/{panel}.safetensors"
            for panel in CONFIG.panels
        ],
        operators=[
            file for panel in CONFIG.panels for file in measured_operators(panel)
        ],
    output:
        facts=table("operator_facts"),
        tsv=report(
            table_text("operator_facts"),
            caption="../report/table_operator_facts.rst",
            category="Tables",
            labels={"table": "operator_facts"},
        ),
    log:
        f"{LOGS}/measure_operators/operators.log",
    benchmark:
        f"{BENCHMARKS}/measure_operators/operators.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("measure_operators"),
        run=CONFIG.run,
        names=list(CONFIG.panels),
    message:
        "Measuring row sums, support and rank of the operators"
    script:
        "../scripts/measure_operators.py"


rule repeat_embedding:
    input:
        weights=weights_file(),
        args=checkpoint_file("args.json"),
        vocabulary=checkpoint_file("vocab.json"),
        panels=panels_of_all(),
    output:
        repeat=table("embedding_repeat"),
        tsv=report(
            table_text("embedding_repeat"),
            caption="../report/table_embedding_repeat.rst",
            category="Tables",
            labels={"table": "embedding_repeat"},
        ),
    log:
        f"{LOGS}/repeat_embedding/embedding.log",
    benchmark:
        f"{BENCHMARKS}/repeat_embedding/embedding.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 4 * input.size_mb),
        gpu=model_gpu(),
        runtime=lambda wildcards, attempt: attempt * 120,
    params:
        source=source("repeat_embedding"),
        run=CONFIG.run,
        names=list(CONFIG.panels),
        operators=settings(
            "operators.max_length",
            "operators.seed",
            "model.device",
        ),
    message:
        "Embedding some cells again with the same and another seed"
    script:
        "../scripts/repeat_embedding.py"


rule evaluate_claims:
    input:
        unpack(claim_tables),
        claims_file=located(CONFIG.claims.file),
        model=f"{RESULTS}/describe_model/model.json",
        genes=[f"{RESULTS}/select_genes/{panel}.parquet" for panel in CONFIG.panels],
    output:
        claims=table("claims"),
        tsv=report(
            table_text("claims"),
            caption="../report/table_claims.rst",
            category="Tables",
            labels={"table": "claims"},
        ),
        page=report(
            f"{RESULTS}/evaluate_claims/claims.html",
            caption="../report/page_claims.rst",
            category="Claims",
            labels={"page": "claims"},
        ),
    log:
        f"{LOGS}/evaluate_claims/claims.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("evaluate_claims"),
        names=list(CONFIG.panels),
        settings=settings(
            "run", "endpoints", "statistics", "evidence", "adaptor.width", "claims"
        ),
    message:
        "Setting the published claims beside this run"
    script:
        "../scripts/evaluate_claims.py"


rule claims:
    input:
        rules.evaluate_claims.output,

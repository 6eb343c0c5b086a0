"""Summary: published tables and provenance.

Needs: all run_method tables of the run.
Leaves: tables/*.{parquet,tsv}, provenance.json, config.yaml and the report's landing page.

A table of scores takes 140 times its file in memory (24,964 rows of marrow: 24 MB); the rest of a job is its libraries.
"""


rule collect_scores:
    input:
        scores=run_method_files("scores"),
    output:
        scores=table("scores"),
        tsv=table_text("scores"),
    log:
        f"{LOGS}/collect_scores/scores.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_scores"),
    message:
        "Collecting scores"
    script:
        "../scripts/collect_scores.py"


rule collect_costs:
    input:
        costs=run_method_files("costs"),
    output:
        costs=table("costs"),
        tsv=report(
            table_text("costs"),
            caption="../report/table_costs.rst",
            category="Tables",
            labels={"table": "costs"},
        ),
    log:
        f"{LOGS}/collect_costs/costs.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_costs"),
    message:
        "Collecting costs"
    script:
        "../scripts/collect_costs.py"


rule measure_ratio:
    input:
        costs=table("costs"),
        benchmarks=ratio_benchmarks(),
    output:
        ratio=table("ratio"),
        tsv=report(
            table_text("ratio"),
            caption="../report/table_ratio.rst",
            category="Tables",
            labels={"table": "ratio"},
        ),
    log:
        f"{LOGS}/measure_ratio/ratio.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("measure_ratio"),
    message:
        "Comparing running times with the frozen model's"
    script:
        "../scripts/measure_ratio.py"


rule collect_splits:
    input:
        splits=splits_of_all(),
    output:
        splits=table("splits"),
        tsv=report(
            table_text("splits"),
            caption="../report/table_splits.rst",
            category="Tables",
            labels={"table": "splits"},
        ),
    log:
        f"{LOGS}/collect_splits/splits.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_splits"),
    message:
        "Collecting splits"
    script:
        "../scripts/collect_splits.py"


rule describe_panels:
    input:
        panels=panels_of_all(),
        cells=cells_of(*CONFIG.datasets),
    output:
        panels=table("panels"),
        tsv=report(
            table_text("panels"),
            caption="../report/table_panels.rst",
            category="Tables",
            labels={"table": "panels"},
        ),
        roles=table("roles"),
        roles_tsv=report(
            table_text("roles"),
            caption="../report/table_roles.rst",
            category="Tables",
            labels={"table": "roles"},
        ),
    log:
        f"{LOGS}/describe_panels/panels.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("describe_panels"),
        run=CONFIG.run,
        names=list(CONFIG.panels),
    message:
        "Counting cells per donor and label"
    script:
        "../scripts/describe_panels.py"


rule score_nulls:
    input:
        panels=panels_of_all(),
        splits=splits_of_all(),
    output:
        nulls=table("nulls"),
        tsv=report(
            table_text("nulls"),
            caption="../report/table_nulls.rst",
            category="Tables",
            labels={"table": "nulls"},
        ),
    log:
        f"{LOGS}/score_nulls/nulls.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("score_nulls"),
        names=list(CONFIG.panels),
        nulls=settings("run", "endpoints.nulls", "campaigns"),
    message:
        "Drawing the null of the mean pseudotime correlation"
    script:
        "../scripts/score_nulls.py"


rule audit_leakage:
    input:
        splits=splits_of_all(),
        scores=table("scores"),
        panels=panels_of_all(),
        corpus=f"{RESULTS}/build_corpus/corpus.h5ad",
    output:
        leakage=table("leakage"),
        tsv=report(
            table_text("leakage"),
            caption="../report/table_leakage.rst",
            category="Tables",
            labels={"table": "leakage"},
        ),
    log:
        f"{LOGS}/audit_leakage/leakage.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (2000 + 2 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("audit_leakage"),
        run=CONFIG.run,
        names=list(CONFIG.panels),
        ranked=[
            name for name, panel in CONFIG.panels.items() if panel.genes.kind == "hvg"
        ],
    message:
        "Auditing leakage"
    script:
        "../scripts/audit_leakage.py"


rule compare_methods:
    input:
        scores=table("scores"),
    output:
        comparisons=table("comparisons"),
        tsv=report(
            table_text("comparisons"),
            caption="../report/table_comparisons.rst",
            category="Tables",
            labels={"table": "comparisons"},
        ),
    log:
        f"{LOGS}/compare_methods/comparisons.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("compare_methods"),
        inference=settings("endpoints", "statistics"),
        without_verdict=descriptive_campaigns(),
        batteries=[name for name in CONFIG.campaigns if is_battery(name)],
    message:
        "Comparing methods with donors as the unit"
    script:
        "../scripts/compare_methods.py"


rule summarise_scores:
    input:
        scores=table("scores"),
    output:
        summary=table("summary"),
        tsv=report(
            table_text("summary"),
            caption="../report/table_summary.rst",
            category="Tables",
            labels={"table": "summary"},
        ),
    log:
        f"{LOGS}/summarise_scores/summary.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("summarise_scores"),
        inference=settings("endpoints", "statistics"),
        without_verdict=descriptive_campaigns(),
    message:
        "Summarising scores over donors"
    script:
        "../scripts/summarise_scores.py"


rule write_provenance:
    input:
        tables=[
            table(name)
            for name in (
                "scores",
                "comparisons",
                "summary",
                "costs",
                "ratio",
                "splits",
                "leakage",
                "panels",
                "roles",
                "nulls",
                "evidence",
                "operator_facts",
                "embedding_repeat",
                "claims",
                *DISCOVERY_TABLES,
                *geometry_tables(),
            )
        ],
        model=f"{RESULTS}/describe_model/model.json",
        data=[dataset_file(name) for name in CONFIG.datasets],
        maps=[*(label_file(name) for name in CONFIG.datasets), *ontology_files()],
        checkpoint=[
            weights_file(),
            checkpoint_file("args.json"),
            checkpoint_file("vocab.json"),
        ],
    output:
        provenance=f"{RESULTS}/provenance.json",
        config=f"{RESULTS}/config.yaml",
    log:
        f"{LOGS}/write_provenance/provenance.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("write_provenance"),
        config=CONFIG.model_dump(),
    message:
        "Writing provenance"
    script:
        "../scripts/write_provenance.py"


rule write_landing:
    input:
        summary=table("summary"),
        comparisons=table("comparisons"),
        panels=table("panels"),
        roles=table("roles"),
        genes=[f"{RESULTS}/select_genes/{panel}.parquet" for panel in CONFIG.panels],
        splits=table("splits"),
        leakage=table("leakage"),
        model=f"{RESULTS}/describe_model/model.json",
    output:
        landing=f"{RESULTS}/write_landing/landing.rst",
    log:
        f"{LOGS}/write_landing/landing.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("write_landing"),
        config=CONFIG.model_dump(),
    message:
        "Writing the report's landing page"
    script:
        "../scripts/write_landing.py"

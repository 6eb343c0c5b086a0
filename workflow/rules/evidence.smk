"""Evidence: the real operator against its controls, and how often the rule that judges it is wrong.

Needs: the table of scores; the calibration needs nothing but settings and the stage graph.
Leaves: tables/{evidence,calibration}.{parquet,tsv}, plant_effects/strengths.parquet,
calibrate/{chunk}.parquet, calibrate_end_to_end/{chunk}.parquet.
"""


rule judge_arms:
    input:
        scores=table("scores"),
    output:
        evidence=table("evidence"),
        tsv=report(
            table_text("evidence"),
            caption="../report/table_evidence.rst",
            category="Tables",
            labels={"table": "evidence"},
        ),
    log:
        f"{LOGS}/judge_arms/evidence.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("judge_arms"),
        inference=settings("endpoints", "statistics", "evidence", "adaptor.width"),
        without_verdict=descriptive_campaigns(),
    message:
        "Judging the real operator against its controls"
    script:
        "../scripts/judge_arms.py"


rule plant_effects:
    output:
        strengths=f"{RESULTS}/plant_effects/strengths.parquet",
    log:
        f"{LOGS}/plant_effects/strengths.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=lambda wildcards, attempt: attempt * 30,
    params:
        source=source("plant_effects"),
        calibration=settings(
            "calibration.donors", "calibration.effects", "calibration.seed"
        ),
    message:
        "Measuring how strong a planted signal must be for a known lead"
    script:
        "../scripts/plant_effects.py"


rule calibrate:
    input:
        strengths=f"{RESULTS}/plant_effects/strengths.parquet",
    output:
        trials=f"{RESULTS}/calibrate/{{chunk}}.parquet",
    log:
        f"{LOGS}/calibrate/{{chunk}}.log",
    benchmark:
        f"{BENCHMARKS}/calibrate/{{chunk}}.tsv"
    wildcard_constraints:
        chunk=r"\d+",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1500,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("calibrate"),
        calibration=settings("calibration", "evidence"),
    message:
        "Calibrating the rule, part {wildcards.chunk}"
    script:
        "../scripts/calibrate.py"


rule calibrate_end_to_end:
    input:
        ontology=ontology_files(),
    output:
        trials=f"{RESULTS}/calibrate_end_to_end/{{chunk}}.parquet",
    log:
        f"{LOGS}/calibrate_end_to_end/{{chunk}}.log",
    benchmark:
        f"{BENCHMARKS}/calibrate_end_to_end/{{chunk}}.tsv"
    wildcard_constraints:
        chunk=r"\d+",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=lambda wildcards, attempt: attempt * 60,
    params:
        source=source("calibrate_end_to_end"),
        calibration=settings("calibration", "evidence"),
    message:
        "Calibrating the rule end to end, part {wildcards.chunk}"
    script:
        "../scripts/calibrate_end_to_end.py"


rule collect_calibration:
    input:
        trials=[
            f"{RESULTS}/{rule}/{chunk}.parquet"
            for rule in ("calibrate", "calibrate_end_to_end")
            for chunk in range(CONFIG.calibration.chunks)
        ],
    output:
        calibration=table("calibration"),
        tsv=report(
            table_text("calibration"),
            caption="../report/table_calibration.rst",
            category="Tables",
            labels={"table": "calibration"},
        ),
    log:
        f"{LOGS}/collect_calibration/calibration.log",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 10,
    params:
        source=source("collect_calibration"),
        run=CONFIG.run,
    message:
        "Collecting how often the rule is wrong"
    script:
        "../scripts/collect_calibration.py"


rule calibration:
    input:
        rules.collect_calibration.output,

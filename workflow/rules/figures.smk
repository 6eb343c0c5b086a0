"""Figures: drawn from result tables alone.

Needs: tables/*.parquet and the latent tables.
Leaves: figures/{figure}.{scope}.{svg,png,pdf,csv}; the scope is a panel, a campaign or the run.
"""


rule draw_figure:
    input:
        unpack(figure_inputs),
    output:
        svg=f"{RESULTS}/figures/{{figure}}.{{scope}}.svg",
        png=report(
            f"{RESULTS}/figures/{{figure}}.{{scope}}.png",
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{scope}",
            labels={"figure": "{figure}", "scope": "{scope}"},
        ),
        csv=f"{RESULTS}/figures/{{figure}}.{{scope}}.csv",
        pdf=f"{RESULTS}/figures/{{figure}}.{{scope}}.pdf",
    log:
        f"{LOGS}/draw_figure/{{figure}}.{{scope}}.log",
    wildcard_constraints:
        figure="[a-z0-9_]+",
        scope="[A-Za-z0-9_-]+",
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt * (1500 + 200 * input.size_mb),
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        source=lambda wildcards: source("draw_figure", figure_module(wildcards.figure)),
    message:
        "Drawing {wildcards.figure} for {wildcards.scope}"
    script:
        "../scripts/draw_figure.py"

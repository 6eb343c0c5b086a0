from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.operators.export import export_operator

    operators = parse_config(snakemake.config).operators
    operators = operators.model_copy(update={"convention": snakemake.wildcards.convention})
    export_operator(snakemake.input.attention, "drift", operators, snakemake.output.operator)

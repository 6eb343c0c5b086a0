from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.operators.export import export_operator

    settings = parse_config(snakemake.config).operators
    export_operator(snakemake.input.attention, snakemake.wildcards.operator, settings, snakemake.output.operator)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.statistics.summarise import write_summary

    config = parse_config(snakemake.config)
    write_summary(snakemake.input.scores, config.endpoints, config.statistics, snakemake.output.summary)

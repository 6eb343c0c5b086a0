from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.statistics.summarise import write_summary

    config, out = parse_config(snakemake.config), snakemake.output
    write_summary(
        snakemake.input.scores, config.endpoints, config.statistics, snakemake.params.without_verdict, out.summary
    )

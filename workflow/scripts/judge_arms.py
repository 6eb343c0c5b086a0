from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.statistics.evidence import write_evidence

    config, carry_none = parse_config(snakemake.config), snakemake.params.without_verdict
    settings = config.endpoints, config.statistics, config.evidence, config.adaptor.width
    write_evidence(snakemake.input.scores, *settings, carry_none, snakemake.output.evidence)

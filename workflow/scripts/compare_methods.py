from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.statistics.compare import write_comparisons

    config, out = parse_config(snakemake.config), snakemake.output
    write_comparisons(
        snakemake.input.scores, config.endpoints, config.statistics, snakemake.params.without_verdict,
        snakemake.params.batteries, out.comparisons,
    )  # fmt: skip

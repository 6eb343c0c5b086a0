from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.fetch import fetch_dataset

    config = parse_config(snakemake.config)
    fetch_dataset(config.datasets, snakemake.wildcards.file, snakemake.output.file)

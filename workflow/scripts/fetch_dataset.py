from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.fetch import fetch_dataset

    datasets, out = parse_config(snakemake.config).datasets, snakemake.output
    fetch_dataset(datasets, snakemake.wildcards.file, out.file, out.record)

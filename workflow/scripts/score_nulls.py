from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.readouts.nulls import write_nulls

    config, files = parse_config(snakemake.config), snakemake.input
    panels = dict(zip(snakemake.params.names, files.panels, strict=True))
    write_nulls(config, panels, list(files.splits), snakemake.output.nulls)

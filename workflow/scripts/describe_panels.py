from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.panels.describe import describe_panels

    paths = dict(zip(snakemake.params.names, snakemake.input.panels, strict=True))
    describe_panels(snakemake.params.run, paths, snakemake.output.panels)

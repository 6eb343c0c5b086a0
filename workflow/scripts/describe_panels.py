from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.panels.describe import describe_panels, describe_roles

    paths = dict(zip(snakemake.params.names, snakemake.input.panels, strict=True))
    describe_panels(snakemake.params.run, paths, snakemake.output.panels)
    describe_roles(snakemake.params.run, snakemake.input.cells, snakemake.output.roles)

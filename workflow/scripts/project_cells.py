from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.operators.export import project_cells

    project_cells(snakemake.input.panel, snakemake.input.operator, snakemake.output.features)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.figures.landing import write_landing

    files = snakemake.input
    write_landing(
        snakemake.params.config,
        files.model,
        files.summary,
        files.comparisons,
        files.panels,
        files.splits,
        files.leakage,
        snakemake.output.landing,
    )

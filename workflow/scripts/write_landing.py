from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.figures.landing import write_landing

    tables = ("summary", "comparisons", "panels", "roles", "splits", "leakage")
    write_landing(
        snakemake.params.config,
        snakemake.input.model,
        {name: getattr(snakemake.input, name) for name in tables},
        dict(zip(snakemake.params.config["panels"], snakemake.input.genes, strict=True)),
        snakemake.output.landing,
    )

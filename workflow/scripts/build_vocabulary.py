from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.models.vocabulary import build_vocabulary

    files = snakemake.input
    universe = next(iter(files.universe), None)
    build_vocabulary(
        list(files.genes), list(files.extra), universe, snakemake.params.max_genes, snakemake.output.vocabulary
    )

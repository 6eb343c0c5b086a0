from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.provenance import write_provenance

    files, out = snakemake.input, snakemake.output
    write_provenance(
        snakemake.params.config, files.model, list(files.data), list(files.tables), out.provenance, out.config
    )

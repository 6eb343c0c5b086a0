from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.provenance import write_provenance

    files, out = snakemake.input, snakemake.output
    read = [*files.data, *files.maps, *files.checkpoint]
    write_provenance(snakemake.params.config, files.model, read, list(files.tables), out.provenance, out.config)

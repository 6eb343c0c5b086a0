from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io import tables

    schema = getattr(tables, snakemake.wildcards.name.upper())
    stacked = tables.read_tables(list(snakemake.input.files), schema)
    tables.write_table(stacked, snakemake.output.table, schema, tsv=True)

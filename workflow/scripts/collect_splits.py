from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.tables import SPLITS, read_tables, write_table

    write_table(read_tables(list(snakemake.input.splits), SPLITS), snakemake.output.splits, SPLITS, tsv=True)

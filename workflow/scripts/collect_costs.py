from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.tables import COSTS, read_tables, write_table

    write_table(read_tables(list(snakemake.input.costs), COSTS), snakemake.output.costs, COSTS, tsv=True)

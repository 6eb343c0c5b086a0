from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.tables import SCORES, read_tables, write_table

    write_table(read_tables(list(snakemake.input.scores), SCORES), snakemake.output.scores, SCORES, tsv=True)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.io.tables import SWEEPS, read_tables, write_table

    write_table(read_tables(list(snakemake.input.sweeps), SWEEPS), snakemake.output.sweeps, SWEEPS, tsv=True)

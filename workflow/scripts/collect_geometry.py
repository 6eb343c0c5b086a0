from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.geometry.family import collect_geometry

    out = snakemake.output
    collect_geometry(parse_config(snakemake.config), list(snakemake.input.rows), out.table, out.headlines)

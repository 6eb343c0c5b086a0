from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.claims.write import write_geometry_claims
    from opbench.config import parse_config

    given, out = snakemake.input, snakemake.output.claims
    tables = {"geometry": given.geometry, "geometry_headlines": given.headlines}
    write_geometry_claims(parse_config(snakemake.config), given.claims_file, tables, given.model, out)

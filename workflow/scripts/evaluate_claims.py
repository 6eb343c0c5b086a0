from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.claims.write import write_claims
    from opbench.config import parse_config
    from opbench.config.claims_query import TABLES

    files, out = snakemake.input, snakemake.output
    tables = {name: path for name, path in files.items() if name in TABLES}
    genes = dict(zip(snakemake.params.names, files.genes, strict=True))
    write_claims(parse_config(snakemake.config), files.claims_file, tables, files.model, genes, out.claims, out.page)

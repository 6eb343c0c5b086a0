from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.discovery.enrichment import enrich_factors

    config, files, names = parse_config(snakemake.config), snakemake.input, snakemake.wildcards
    gmt = dict(snakemake.params.gmt)
    enrich_factors(config, names.panel, list(files.programs), files.panel, gmt, snakemake.output.enrichment)

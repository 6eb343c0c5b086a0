from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.readouts.roots import find_roots

    config, files = parse_config(snakemake.config), snakemake.input
    campaign = config.campaigns[snakemake.wildcards.campaign]
    find_roots(files.panel, files.splits, config.ontology, config.endpoints, campaign, snakemake.output.roots)

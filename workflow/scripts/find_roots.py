from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.readouts.roots import find_roots

    config, files = parse_config(snakemake.config), snakemake.input
    ontology, campaign = Path(files.ontology[0]).parent, config.campaigns[snakemake.wildcards.campaign]
    find_roots(files.panel, files.splits, ontology, config.endpoints, campaign, snakemake.output.roots)

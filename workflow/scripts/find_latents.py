from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.latent_findings import LatentFiles, find_latents

    names, given, made = snakemake.wildcards, snakemake.input, snakemake.output
    files = LatentFiles(given.panel, given.parts, Path(given.ontology[0]).parent, list(given.operators))
    find_latents(parse_config(snakemake.config), names.panel, names.arm, files, made.findings, made.views)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.claims.cases import endpoints_by_role
    from opbench.claims.read import read_claims
    from opbench.config import parse_config
    from opbench.discovery.latent_findings import LatentFiles, find_latents

    config, names = parse_config(snakemake.config), snakemake.wildcards
    given, made = snakemake.input, snakemake.output
    roles = endpoints_by_role(read_claims(given.claims_file).roles, config.claims)
    files = LatentFiles(given.panel, given.parts, Path(given.ontology[0]).parent, list(given.operators))
    find_latents(config, names.panel, names.arm, files, made.findings, made.views, roles.get("cd4_cd8"))

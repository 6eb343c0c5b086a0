from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.claims.cases import endpoints_by_role
    from opbench.claims.read import read_claims
    from opbench.config import parse_config
    from opbench.discovery.hybrids import HybridFiles, fit_hybrids

    config, names, inputs = parse_config(snakemake.config), snakemake.wildcards, snakemake.input
    roles = endpoints_by_role(read_claims(inputs.claims_file).roles, config.claims)
    files = HybridFiles(inputs.panel, inputs.parts, Path(inputs.ontology[0]).parent, list(inputs.operators))
    fit_hybrids(config, names.panel, names.arm, files, roles, snakemake.output.hybrids)

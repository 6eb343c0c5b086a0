from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.claims.cases import endpoints_by_role
    from opbench.claims.read import read_claims
    from opbench.config import parse_config
    from opbench.discovery.bench import paper_endpoints
    from opbench.discovery.compaction import ChainFiles, ChainOutputs, compact_operators

    names, files, out = snakemake.wildcards, snakemake.input, snakemake.output
    folder, config = Path(files.ontology[0]).parent, parse_config(snakemake.config)
    inputs = ChainFiles(files.panel, files.parts, folder, files.attention, files.heads, list(files.operators))
    outputs = ChainOutputs(out.compaction, out.factors, out.programs)
    roles = endpoints_by_role(read_claims(files.claims_file).roles, config.claims)
    endpoints = paper_endpoints(config, config.discovery.panels[names.panel].campaign, roles)
    compact_operators(config, names.panel, names.arm, inputs, outputs, endpoints)

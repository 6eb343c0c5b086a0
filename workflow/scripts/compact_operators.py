from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.compaction import ChainFiles, ChainOutputs, compact_operators

    names, files, out = snakemake.wildcards, snakemake.input, snakemake.output
    folder = Path(files.ontology[0]).parent
    inputs = ChainFiles(files.panel, files.parts, folder, files.attention, files.heads, list(files.operators))
    outputs = ChainOutputs(out.compaction, out.factors, out.programs)
    config, endpoints = parse_config(snakemake.config), snakemake.params.get("endpoints")
    compact_operators(config, names.panel, names.arm, inputs, outputs, endpoints)

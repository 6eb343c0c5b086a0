from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.score_gates import GateFiles, score_gates

    names, files = snakemake.wildcards, snakemake.input
    inputs = GateFiles(files.parts, Path(files.ontology[0]).parent, list(files.operators))
    score_gates(parse_config(snakemake.config), names.panel, names.arm, inputs, snakemake.output.gates)

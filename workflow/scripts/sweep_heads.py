from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.readouts.sweeps import SweepFiles, sweep_heads

    names, files = snakemake.wildcards, snakemake.input
    folder = Path(files.ontology[0]).parent
    inputs = SweepFiles(files.panel, files.anchors, folder, list(files.operators))
    sweep_heads(parse_config(snakemake.config), names.panel, names.arm, inputs, snakemake.output.sweep)

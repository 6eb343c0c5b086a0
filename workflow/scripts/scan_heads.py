from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.scan import ScanFiles, scan_heads

    inputs = snakemake.input
    files = ScanFiles(inputs.parts, Path(inputs.ontology[0]).parent, inputs.attention)
    scan_heads(parse_config(snakemake.config), snakemake.wildcards.panel, files, snakemake.output.heads)

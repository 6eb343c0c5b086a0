from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.discovery.control import build_control

    files, panel = snakemake.input, snakemake.wildcards.panel
    config = parse_config(snakemake.config)
    build_control(config, panel, files.data, files.cells[0], files.genes, snakemake.output.panel)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.cells import select_cells

    config, name = parse_config(snakemake.config), snakemake.wildcards.dataset
    select_cells(name, snakemake.input.data, config.datasets[name], config.ontology, snakemake.output.cells)

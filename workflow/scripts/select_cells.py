from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.panels.cells import select_cells

    name, files = snakemake.wildcards.dataset, snakemake.input
    dataset = parse_config(snakemake.config).datasets[name].model_copy(update={"labels": files.labels})
    select_cells(name, files.data, dataset, Path(files.ontology[0]).parent, snakemake.output.cells)

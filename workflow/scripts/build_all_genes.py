from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.all_genes import build_all_genes

    config, name = parse_config(snakemake.config), snakemake.wildcards.panel
    names = snakemake.params.names
    datasets = [config.datasets[dataset] for dataset in names]
    files = zip(snakemake.input.data, datasets, snakemake.input.cells, strict=True)
    sources = dict(zip(names, files, strict=True))
    build_all_genes(name, config.panels[name], sources, snakemake.output.panel)

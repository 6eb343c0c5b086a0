from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.build import build_corpus

    config, name = parse_config(snakemake.config), snakemake.params.name
    files = snakemake.input
    build_corpus(name, files.data, config.datasets[name], files.cells[0], files.vocabulary, snakemake.output.corpus)

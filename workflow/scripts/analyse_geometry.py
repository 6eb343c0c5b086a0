from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.geometry.study import Files, analyse_geometry

    names, given = snakemake.wildcards, snakemake.input
    files = Files(given.tensor, given.corpus, dict(snakemake.params.knowledge))
    analyse_geometry(parse_config(snakemake.config), names.space, names.analysis, files, snakemake.output.rows)

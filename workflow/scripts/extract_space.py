from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.geometry.spaces import extract_space

    config, given = parse_config(snakemake.config), snakemake.input
    folder, found = Path(given.vocabulary).parent, dict(snakemake.params.knowledge)
    extract_space(config, snakemake.wildcards.space, folder, given.corpus, found, snakemake.output.tensor)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.readouts.run_chunk import Job, run_chunk

    names, files, out = snakemake.wildcards, snakemake.input, snakemake.output
    ontology = Path(files.ontology[0]).parent
    task = Job(parse_config(snakemake.config), ontology, names.campaign, names.method, int(names.chunk))
    run_chunk(task, files.panel, files.splits, files.roots, list(files.features), out.scores, out.costs, out.latent)

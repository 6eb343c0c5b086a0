from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.readouts.run_chunk import Job, run_chunk

    wildcards, files, out = snakemake.wildcards, snakemake.input, snakemake.output
    task = Job(parse_config(snakemake.config), wildcards.campaign, wildcards.method, int(wildcards.chunk))
    run_chunk(task, files.panel, files.splits, files.roots, list(files.features), out.scores, out.costs, out.latent)

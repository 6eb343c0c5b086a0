from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.splits.leakage import write_leakage

    files, params, out = snakemake.input, snakemake.params, snakemake.output
    panels = dict(zip(params.names, files.panels, strict=True))
    write_leakage(params.run, list(files.splits), files.scores, panels, files.corpus, out.leakage, params.ranked)

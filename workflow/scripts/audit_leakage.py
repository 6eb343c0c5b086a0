from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.splits.leakage import write_leakage

    files, params = snakemake.input, snakemake.params
    panels = dict(zip(params.names, files.panels, strict=True))
    write_leakage(params.run, list(files.splits), files.scores, panels, files.corpus, snakemake.output.leakage)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.geometry.spaces import extract_reference

    extract_reference(snakemake.input.tensor, snakemake.input.corpus, snakemake.output.tensor)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.statistics.ratio import write_ratios

    write_ratios(snakemake.input.costs, list(snakemake.input.benchmarks), snakemake.output.ratio)

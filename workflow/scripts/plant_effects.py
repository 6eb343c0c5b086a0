from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.calibration.plant import write_strengths
    from opbench.config import parse_config

    write_strengths(parse_config(snakemake.config).calibration, snakemake.output.strengths)

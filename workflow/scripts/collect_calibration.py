from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.calibration.collect import write_calibration
    from opbench.config import parse_config

    run = parse_config(snakemake.config).run
    write_calibration(run, list(snakemake.input.trials), snakemake.output.calibration)

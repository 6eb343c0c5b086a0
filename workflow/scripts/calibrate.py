from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.calibration.closed_form import write_chunk
    from opbench.config import parse_config

    config, chunk = parse_config(snakemake.config), int(snakemake.wildcards.chunk)
    write_chunk(config.calibration, config.evidence, snakemake.input.strengths, chunk, snakemake.output.trials)

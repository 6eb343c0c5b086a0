from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.calibration.end_to_end import write_chunk
    from opbench.config import parse_config

    config, chunk = parse_config(snakemake.config), int(snakemake.wildcards.chunk)
    ontology = Path(snakemake.input.ontology[0]).parent
    write_chunk(config.calibration, config.evidence, ontology, chunk, snakemake.output.trials)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.panels.simulate import simulate_cohort

    simulation = parse_config(snakemake.config).datasets[snakemake.wildcards.dataset].simulate
    ontology = Path(snakemake.input.ontology[0]).parent
    simulate_cohort(simulation, ontology, snakemake.output.cohort)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.panels.simulate import simulate_cohort

    config = parse_config(snakemake.config)
    simulation = config.datasets[snakemake.wildcards.dataset].simulate
    simulate_cohort(simulation, config.ontology, snakemake.output.cohort)

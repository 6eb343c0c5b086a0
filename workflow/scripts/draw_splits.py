from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.splits.draw import write_splits

    config, name = parse_config(snakemake.config), snakemake.wildcards.campaign
    campaign, files = config.campaigns[name], snakemake.input
    write_splits(config.run, campaign.panel, name, campaign, files.panel, files.corpus, snakemake.output.splits)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.repeat import repeat_embedding

    config, files = parse_config(snakemake.config), snakemake.input
    panels = dict(zip(snakemake.params.names, files.panels, strict=True))
    folder, device = Path(files.weights).parent, config.model.device
    repeat_embedding(config.run, folder, panels, config.operators, snakemake.output.repeat, device)

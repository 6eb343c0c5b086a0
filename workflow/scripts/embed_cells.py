from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.embed import embed_panel

    config = parse_config(snakemake.config)
    folder = Path(snakemake.input.weights).parent
    embed_panel(folder, snakemake.input.panel, config.operators, dict(snakemake.output.items()), config.model.device)

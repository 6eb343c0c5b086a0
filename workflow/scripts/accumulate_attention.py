from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.attention import accumulate_panel_attention

    config = parse_config(snakemake.config)
    files, output = snakemake.input, snakemake.output.attention
    folder, device = Path(files.weights).parent, config.model.device
    accumulate_panel_attention(folder, files.corpus, files.genes, config.operators, output, device)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.attention import accumulate_panel_attention

    settings = parse_config(snakemake.config).operators
    files = snakemake.input
    folder = Path(files.weights).parent
    accumulate_panel_attention(folder, files.corpus, files.genes, settings, snakemake.output.attention)

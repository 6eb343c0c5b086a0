from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.attention import accumulate_panel_attention

    config, files = parse_config(snakemake.config), snakemake.input
    operators = config.operators.model_copy(update={"convention": snakemake.wildcards.convention})
    folder, output = Path(files.weights).parent, snakemake.output.attention
    accumulate_panel_attention(folder, files.corpus, files.genes, operators, output, config.model.device)

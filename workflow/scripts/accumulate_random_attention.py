from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.models.random_attention import accumulate_random_attention

    files, device = snakemake.input, parse_config(snakemake.config).model.device
    draw, output = int(snakemake.wildcards.draw), snakemake.output.attention
    accumulate_random_attention(files.attention, files.args, files.vocabulary, draw, output, device)

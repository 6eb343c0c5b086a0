from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.figures.draw import draw_figure

    inputs = {name: [files] if isinstance(files, str) else list(files) for name, files in snakemake.input.items()}
    wildcards, out = snakemake.wildcards, snakemake.output
    draw_figure(wildcards.figure, wildcards.scope, inputs, out.svg, out.png, out.csv, out.pdf)

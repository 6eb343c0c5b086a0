from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.panels.anchors import build_anchors

    build_anchors(snakemake.input.panel, snakemake.params.min_cells, snakemake.output.anchors)

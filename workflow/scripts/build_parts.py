from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from opbench.config import parse_config
    from opbench.discovery.parts import build_parts

    files, made = snakemake.input, snakemake.output
    control = next(iter(files.control), None)
    build_parts(
        parse_config(snakemake.config), snakemake.wildcards.panel, files.panel, control, made.anchors, made.parts,
        made.overlap,
    )  # fmt: skip

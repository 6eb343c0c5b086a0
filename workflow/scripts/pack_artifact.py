from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.pack import PackFiles, pack_artifact

    names, files = snakemake.wildcards, snakemake.input
    folder, store = Path(files.ontology[0]).parent, snakemake.params.get("store")
    inputs = PackFiles(files.panel, files.operator, folder, files.get("model"), files.get("dataset"), store)
    pack_artifact(parse_config(snakemake.config), names.panel, names.variant, inputs, snakemake.output.artifact)

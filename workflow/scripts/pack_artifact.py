from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.pack import PackFiles, pack_artifact

    names, files = snakemake.wildcards, snakemake.input
    # Beside the folders of the rules: what any job of the run has computed serves the others.
    folder, store = Path(files.ontology[0]).parent, Path(snakemake.output.artifact).parents[1] / "store"
    inputs = PackFiles(
        files.panel, folder, files.attention, files.heads, model=files.model, dataset=files.get("dataset"), store=store
    )
    pack_artifact(parse_config(snakemake.config), names.panel, inputs, snakemake.output.artifact)

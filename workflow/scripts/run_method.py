from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.readouts.run_chunk import Inputs, Job, run_chunk

    names, files, out = snakemake.wildcards, snakemake.input, snakemake.output
    config, source = parse_config(snakemake.config), snakemake.params.source
    # Beside the folders of the rules: what any job of the run has computed serves the others.
    store = Path(out.scores).parents[3] / "store"
    everything = list(files.all_genes)
    inputs = Inputs(
        files.panel, files.splits, files.roots, Path(files.ontology[0]).parent, store, list(files.features),
        everything[0] if everything else None,
    )  # fmt: skip
    task = Job(config, names.campaign, names.method, int(names.chunk), source)
    run_chunk(task, inputs, out.scores, out.costs, out.latent)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.models.describe import describe_model

    folder, params = Path(snakemake.input.weights).parent, snakemake.params
    describe_model(folder, snakemake.input.corpus, params.name, params.seed, snakemake.output.model)

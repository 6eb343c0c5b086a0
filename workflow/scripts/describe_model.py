from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.models.describe import describe_model

    folder, params = Path(snakemake.input.weights).parent, snakemake.params
    corpus, output = snakemake.input.corpus, snakemake.output.model
    describe_model(folder, corpus, params.name, params.seed, output, params.device)

from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.models.pretrain import pretrain

    model = parse_config(snakemake.config).model
    folder = Path(snakemake.output.weights).parent
    pretrain(snakemake.input.corpus, snakemake.input.vocabulary, model.pretrain, folder, model.device)

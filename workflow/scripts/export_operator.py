from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.operators.arms import Sources
    from opbench.operators.export import export_operator

    settings, files = parse_config(snakemake.config).operators, snakemake.input
    weights = files.get("weights")
    sources = Sources(weights and Path(weights).parent, files.get("random_attention"), files.get("panel"))
    output = snakemake.output.operator
    export_operator(files.attention, snakemake.wildcards.operator, settings, output, sources)

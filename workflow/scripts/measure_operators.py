from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.operators.facts import measure_operators

    files, panels = snakemake.input, snakemake.params.names
    attention = dict(zip(panels, files.attention, strict=True))
    operators = {panel: [file for file in files.operators if Path(file).parent.name == panel] for panel in panels}
    measure_operators(snakemake.params.run, Path(files.weights).parent, attention, operators, snakemake.output.facts)

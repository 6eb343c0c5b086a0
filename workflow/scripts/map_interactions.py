from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.manifold2 import ManifoldFiles, map_interactions

    given = snakemake.input
    operators: dict[str, list[str]] = {}
    for file in given.operators:
        operators.setdefault(Path(file).stem.partition("-")[0], []).append(file)
    interactions = next(iter(given.interactions), None)
    files = ManifoldFiles(given.parts, given.all_genes, Path(given.ontology[0]).parent, operators, interactions)
    map_interactions(parse_config(snakemake.config), snakemake.wildcards.panel, files, snakemake.output.manifold)

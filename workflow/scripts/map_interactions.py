from opbench.io.jobs import job

with job(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from opbench.config import parse_config
    from opbench.discovery.manifold2 import ManifoldFiles, map_interactions

    given = snakemake.input
    operators: dict[str, list[str]] = {}
    for file in given.operators:
        operators.setdefault(Path(file).stem.partition("-")[0], []).append(file)
    # A table that is found nowhere is no input of the rule.
    found, all_genes = list(given.get("interactions", [])), given.get("all_genes") or None
    files = ManifoldFiles(given.parts, all_genes, Path(given.ontology[0]).parent, operators, (found or [None])[0])
    map_interactions(parse_config(snakemake.config), snakemake.wildcards.panel, files, snakemake.output.manifold)

"""Stage: reads a run's tables, evaluates the claims, and writes their table and the report's page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from opbench.claims.evaluate import Run, evaluate_claims, genes_digest
from opbench.claims.page import claims_page
from opbench.claims.read import read_claims
from opbench.claims.views import Tables
from opbench.config.root import Config
from opbench.io import tables as contracts
from opbench.io.atomic import write_text


def write_claims(
    config: Config,
    claims: str | Path,
    tables: Mapping[str, str | Path],
    model: str | Path,
    genes: Mapping[str, str | Path],
    output: str | Path,
    page: str | Path,
) -> None:
    """Write the table (contract `CLAIMS`, with a TSV copy) and the HTML page.

    tables: those that the run holds, by name; genes: gene list by panel; model: the model card.
    """
    read = {name: contracts.read_table(path, getattr(contracts, name.upper())) for name, path in tables.items()}
    digests = {panel: genes_digest(_genes(path)) for panel, path in genes.items()}
    run = Run(config, Tables(read), json.loads(Path(model).read_text()), digests)
    found = evaluate_claims(read_claims(claims), run)
    contracts.write_table(found, output, contracts.CLAIMS, tsv=True)
    write_text(claims_page(found, config.run), page)


def write_geometry_claims(
    config: Config, claims: str | Path, tables: Mapping[str, str | Path], model: str | Path, output: str | Path
) -> None:
    """Write the claims of the sister paper alone, which read no other table: its target needs no benchmark."""
    file = read_claims(claims)
    mine = file.model_copy(update={"claims": [one for one in file.claims if one.family == "geometry"]})
    read = {name: contracts.read_table(path, getattr(contracts, name.upper())) for name, path in tables.items()}
    run = Run(config, Tables(read), json.loads(Path(model).read_text()), {})
    contracts.write_table(evaluate_claims(mine, run), output, contracts.GEOMETRY_CLAIMS, tsv=True)


def _genes(path: str | Path) -> Sequence[str]:
    return contracts.read_table(path, contracts.GENES)["gene"].tolist()

"""Stage: draw one figure of one scope from result tables, as SVG, PNG, PDF and the table of what is drawn."""

from importlib import import_module
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from opbench.figures.catalog import FIGURES
from opbench.figures.style import RC
from opbench.io import tables as contracts
from opbench.io.atomic import atomic
from opbench.io.errors import InputError


def draw(name: str, tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Draw figure `name` of `scope` in the house style; return it with the table of exactly what is drawn."""
    if name not in FIGURES:
        raise InputError(f"figure '{name}' is none of {', '.join(FIGURES)}; name one of these.")
    missing = [table for table in FIGURES[name][0] if table not in tables]
    if missing:
        raise InputError(f"figure {name}: table '{missing[0]}' was not given; add it to the figure's inputs.")
    with rc_context(RC):
        return import_module(f"opbench.figures.{name}").draw(tables, scope)


def draw_figure(
    name: str,
    scope: str,
    inputs: dict[str, list[str]] | dict[str, list[Path]],
    output_svg: str | Path,
    output_png: str | Path,
    output_csv: str | Path,
    output_pdf: str | Path | None = None,
) -> None:
    """Read `inputs` (paths by table name) under their contracts and write the files of a figure, a PDF too when asked.

    The same tables give the same bytes: no dates, and identifiers in the SVG from a fixed salt.
    Raises `InputError` when a table is missing, breaks its contract or knows nothing of `scope`.
    """
    required, optional, _ = FIGURES.get(name, ((), (), ""))
    read = {
        table: contracts.read_tables(inputs[table], getattr(contracts, table.upper()))
        for table in (*required, *optional)
        if table in inputs
    }
    figure, source = draw(name, read, scope)
    with rc_context(RC), atomic(output_svg) as svg, atomic(output_png) as png:
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": "opbench"})
        figure.savefig(png, format="png", metadata={"Software": "opbench"})
    if output_pdf is not None:
        facts = {"CreationDate": None, "Creator": "opbench", "Producer": "opbench"}
        with rc_context(RC), atomic(output_pdf) as pdf:
            figure.savefig(pdf, format="pdf", metadata=facts)
    with atomic(output_csv) as csv:
        source.to_csv(csv, index=False, float_format="%.10g", lineterminator="\n")

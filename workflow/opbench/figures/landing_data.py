"""The landing page's blocks on what went in: model, datasets and panels."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from opbench.figures.rst import count, escape, list_table

#: Labels of dropped cells that are named; the others are summed.
TOP = 5


def model_lines(model: dict[str, Any], foreign: bool) -> list[str]:
    """Name, digest and size of the checkpoint, and whether it has learnt anything beyond gene means.

    `foreign`: the checkpoint was given, so that this run does not know what it was trained on.
    """
    shape = f"{model['layers']} layers, {model['heads']} heads, width {model['width']}"
    origin = "the paper's checkpoint" if model["published"] else "not the paper's checkpoint"
    lines = [
        f"{escape(model['name'])} (digest {escape(str(model['digest'])[:16])}; {origin}): {shape}, "
        f"{int(model['parameters']):,} parameters.",
        escape(model["verdict"]),
    ]
    if not model["published"]:
        lines.append(
            "Numbers here are about this model; they neither confirm nor refute numbers published for another."
        )
    if foreign:
        lines.append(
            "This run did not train the checkpoint. ``pretraining_overlap`` speaks of this run's corpus donors only; "
            "what else the checkpoint saw is unknown to it."
        )
    return ["\n\n".join(lines), ""]


def dataset_lines(datasets: dict[str, Any], panels: pd.DataFrame) -> list[str]:
    """Every dataset with its origin, donors and cells (a dataset in several panels is counted once)."""
    rows = []
    for name, entry in datasets.items():
        simulated = bool(entry.get("simulate"))
        origin = (
            "**simulated** by the workflow" if simulated else escape(entry.get("source") or "real, source not stated")
        )
        mine = panels[panels["dataset"] == name]
        if mine.empty:
            rows.append([escape(name), origin, "not benchmarked", "", ""])
            continue
        one = mine[mine["panel"] == mine["panel"].iloc[0]]
        conditions = one.groupby("condition")["donor"].nunique()
        split = ", ".join(f"{escape(c)} {n}" for c, n in conditions.items())
        donors, cells, labels = one["donor"].nunique(), one["n_cells"].sum(), one["label"].nunique()
        rows.append([escape(name), origin, f"{donors} ({split})", f"{cells:,}", f"{labels}"])
    return list_table(["Dataset", "Origin", "Donors", "Cells", "Labels"], rows)


def panel_lines(panels: pd.DataFrame, genes: Mapping[str, int], roles: pd.DataFrame) -> list[str]:
    """Genes of each panel, those zero-filled in each dataset, and the cells that no panel holds.

    panels PANELS, genes by panel, roles ROLES.
    """
    facts = panels.groupby(["panel", "dataset"], sort=False)[["missing_genes", "library_is_partial"]].first()
    rows = []
    for (panel, dataset), (missing, partial) in zip(facts.index, facts.itertuples(index=False), strict=True):
        library = "**over a partial library**" if partial else "over the whole library"
        rows.append([escape(panel), escape(dataset), f"{genes[panel]:,}", f"{missing:,}", library])
    lines = list_table(["Panel", "Dataset", "Genes", "Zero-filled genes", "Counts per 10,000"], rows)
    if facts["library_is_partial"].any():
        lines += [
            "A partial library: the file holds only some genes, so that counts per 10,000 are relative to those and "
            "not comparable with other datasets.",
            "",
        ]
    return [*lines, *(f"- {escape(name)}: {_dropped(part)}" for name, part in roles.groupby("dataset")), ""]


def _dropped(roles: pd.DataFrame) -> str:
    """Dropped cells of one dataset, by label from the largest down."""
    labels = roles[roles["role"] == "dropped"].sort_values(["n_cells", "label"], ascending=[False, True])
    if labels.empty:
        return "no cell was dropped."
    named = [f"{escape(row.label or 'no label')} {row.n_cells:,}" for row in labels[:TOP].itertuples()]
    if len(labels) > TOP:
        named.append(f"{count(len(labels) - TOP, 'other label')} {labels['n_cells'][TOP:].sum():,}")
    return (
        f"{count(labels['n_cells'].sum(), 'cell')} of {roles['n_cells'].sum():,} dropped, by the filters or for having "
        f"no stage ({', '.join(named)})."
    )

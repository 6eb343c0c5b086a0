"""Stages: export operators from an attention file, and project cells through one."""

import numpy as np

from opbench.config.model import Operators
from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.models.attention_file import AttentionSums, load_attention
from opbench.operators.arms import Material, Sources, build_arm
from opbench.operators.controls import gaussian_blocks, gaussian_halves
from opbench.operators.drift import parse_head
from opbench.operators.features import cell_features
from opbench.operators.operator import Operator, from_blocks, read_operator, write_operator


def build_operator(
    attention: AttentionSums, name: str, settings: Operators, sources: Sources | None = None
) -> Operator:
    """Build one operator by name: `drift`, `head-L2H5`, `gaussian-<draw>` or a control arm's.

    `sources` names the files that some control arms need besides the attention (`operators.names.needs`).
    """
    made = Material(attention, settings.seed, sources or Sources())
    support, genes = made.support, tuple(attention.genes)
    record = {**attention.metadata, "operator": name, "seed": settings.seed}
    kind, _, rest = name.partition("-")
    if kind == "head":
        layer, head = parse_head(rest)
        if layer >= attention.sums.shape[0] or head >= attention.sums.shape[1]:
            raise InputError(
                f"operators.single_heads: '{rest}' is outside the model's {attention.sums.shape[0]} layers x "
                f"{attention.sums.shape[1]} heads; both count from 0."
            )
        return from_blocks([attention.sums[layer, head]], support, genes, arm="real", **record)
    if kind == "drift":
        return from_blocks(made.halves, support, genes, arm="real", **record)
    if kind == "gaussian":
        draw = int(rest)
        if settings.gaussian_arm == "blocks":
            halves = gaussian_blocks(made.blocks, support, settings.seed, draw)
        else:
            halves = gaussian_halves(made.halves, support, settings.seed, draw)
        return from_blocks(halves, support, genes, arm=f"gaussian_{settings.gaussian_arm}", draw=draw, **record)
    return build_arm(made, name, **record)


def export_operator(
    attention: str, name: str, settings: Operators, output: str, sources: Sources | None = None
) -> None:
    """Write one operator of an attention file."""
    write_operator(build_operator(load_attention(attention, stored=True), name, settings, sources), output)


def project_cells(panel: str, operator: str, output: str) -> None:
    """Write what an operator makes of every cell of a panel, f(x) = xA but for its encoding: (n_cells, F) `.npy`.

    The map does not depend on the split, so it is computed once and read by memory map.
    """
    from opbench.panels.panel import read_panel

    cells = read_panel(panel)
    op = read_operator(operator, tuple(cells.var_names))
    labels = (cells.obs["dataset"].astype(str) + ":" + cells.obs["label"].astype(str)).to_numpy()
    log1p, ids = cells.layers["log1p"], cells.obs_names.to_numpy()
    shape = (cells.n_obs, op.matrix.shape[1])
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    # Written in order: a memory map on a full disk would end the process without a word.
    with atomic(output) as partial, open(partial, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, cells.n_obs, 4096):
            part = slice(start, start + 4096)
            file.write(cell_features(op, log1p[part], ids[part], labels[part]).astype("<f4"))

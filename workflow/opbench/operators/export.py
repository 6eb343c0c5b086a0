"""Stages: export operators from an attention file, and project cells through one."""

import numpy as np

from opbench.config.model import Operators
from opbench.io.atomic import atomic
from opbench.io.errors import InputError
from opbench.models.attention import AttentionSums, load_attention
from opbench.operators.controls import gaussian_blocks, gaussian_halves
from opbench.operators.drift import block_means, drift_halves, parse_head
from opbench.operators.operator import Operator, from_blocks, read_operator, write_operator
from opbench.panels.panel import read_panel


def build_operator(attention: AttentionSums, name: str, settings: Operators) -> Operator:
    """Build one operator by name: `drift`, `head-L2H5` or `gaussian-<draw>`."""
    support, genes = attention.cotokenised > 0, tuple(attention.genes)
    record = {"operator": name, "seed": settings.seed, **attention.metadata}
    kind, _, rest = name.partition("-")
    if kind == "head":
        layer, head = parse_head(rest)
        if layer >= attention.sums.shape[0] or head >= attention.sums.shape[1]:
            raise InputError(
                f"operators.single_heads: '{rest}' is outside the model's {attention.sums.shape[0]} layers x "
                f"{attention.sums.shape[1]} heads; both count from 0."
            )
        return from_blocks([attention.sums[layer, head]], support, genes, arm="real", **record)
    blocks = block_means(attention.sums)
    if kind == "drift":
        return from_blocks(drift_halves(blocks), support, genes, arm="real", **record)
    if kind == "gaussian":
        draw = int(rest)
        if settings.gaussian_arm == "blocks":
            halves = gaussian_blocks(blocks, support, settings.seed, draw)
        else:
            halves = gaussian_halves(drift_halves(blocks), support, settings.seed, draw)
        return from_blocks(halves, support, genes, arm=f"gaussian_{settings.gaussian_arm}", draw=draw, **record)
    raise InputError(f"operator '{name}' is unknown; use drift, head-L<layer>H<head> or gaussian-<draw>.")


def export_operator(attention: str, name: str, settings: Operators, output: str) -> None:
    """Write one operator of an attention file."""
    write_operator(build_operator(load_attention(attention, stored=True), name, settings), output)


def project_cells(panel: str, operator: str, output: str) -> None:
    """Write f(x) = xA for every cell of a panel: (n_cells, K*G) float32 `.npy`.

    The map does not depend on the split, so it is computed once and read by memory map.
    """
    cells, op = read_panel(panel), read_operator(operator)
    if tuple(cells.var_names) != op.genes:
        raise InputError(f"{operator}: its genes are not those of {panel}; export the operator for this panel again.")
    log1p = cells.layers["log1p"]
    shape = (cells.n_obs, op.matrix.shape[1])
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    # Written in order: a memory map on a full disk would end the process without a word.
    with atomic(output) as partial, open(partial, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, cells.n_obs, 4096):
            block = log1p[start : start + 4096] @ op.matrix
            file.write(np.ascontiguousarray(block, dtype="<f4"))

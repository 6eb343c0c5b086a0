"""Stage: what the exported matrices are: row sums, support, rank, and whether the model has such a tensor (spec K1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.io.tables import OPERATOR_FACTS, write_table
from opbench.models.attention import AttentionSums, load_attention
from opbench.models.checkpoint import read_checkpoint
from opbench.operators.operator import Operator, read_operator

#: Name of the row of the attention sums themselves.
ATTENTION = "attention"
NAN = float("nan")


def attention_facts(attention: AttentionSums) -> dict[str, object]:
    """Facts of the sums, one head at a time: `sums` (L, H, G, G) may lie in its file.

    `row_sum_error` is the largest |row sum - tokenised| / tokenised of any head's row (tokenised at least 1), and
    `row_sum_correlation` the smallest Pearson correlation of a head's row sums with the tokenised counts.
    """
    layers, heads = attention.sums.shape[:2]
    tokenised = np.asarray(attention.tokenised, dtype=np.float64)
    total, errors, correlations = np.zeros(attention.sums.shape[2:]), [], []
    for layer in range(layers):
        for head in range(heads):
            one = np.asarray(attention.sums[layer, head], dtype=np.float64)
            total += one
            rows = one.sum(1)
            errors.append(float((np.abs(rows - tokenised) / np.maximum(tokenised, 1)).max()))
            varied = tokenised.std() > 0 and rows.std() > 0
            correlations.append(float(np.corrcoef(rows, tokenised)[0, 1]) if varied else NAN)
    return {
        "arm": "real", "convention": str(attention.metadata.get("convention", "")), "genes": len(tokenised),
        "zero_rows": int((total == 0).all(1).sum()), "untokenised": int((tokenised == 0).sum()),
        "row_sum_error": max(errors), "row_sum_correlation": float(np.min(correlations)), "half_sum": NAN,
        "support_share": float((attention.cotokenised > 0).mean()), "nonzero_share": float((total != 0).mean()),
        "rank": rank_of(total),
    }  # fmt: skip


def operator_facts(operator: Operator) -> dict[str, object]:
    """Facts of an operator file; `half_sum` is the largest |row sum| / row sum of magnitudes of any row of a block."""
    blocks = operator.blocks.astype(np.float64)
    sums, sizes = np.abs(blocks.sum(2)), np.abs(blocks).sum(2)
    meta = operator.meta
    return {
        "arm": str(meta.get("arm", "")), "convention": str(meta.get("convention", "")), "genes": len(operator.genes),
        "zero_rows": int((sizes == 0).all(0).sum()), "untokenised": int((~operator.support).all(1).sum()),
        "row_sum_error": NAN, "row_sum_correlation": NAN,
        "half_sum": float((sums[sizes > 0] / sizes[sizes > 0]).max(initial=0.0)),
        "support_share": float(operator.support.mean()), "nonzero_share": float((operator.matrix != 0).mean()),
        "rank": rank_of(operator.matrix),
    }  # fmt: skip


def rank_of(matrix: np.ndarray) -> int:
    """Numerical rank of a float32 matrix: singular values above the largest × the longer side × float32's precision.

    From the Gram matrix of the non-zero rows in double precision, which resolves them and is ten times faster.
    """
    rows = np.asarray(matrix, dtype=np.float64)
    rows = rows[np.abs(rows).any(1)]
    if not len(rows):
        return 0
    values = np.sqrt(np.clip(np.linalg.eigvalsh(rows @ rows.T), 0, None))
    return int((values > values.max() * max(matrix.shape) * np.finfo(np.float32).eps).sum())


def measure_operators(
    run: str,
    checkpoint: str | Path,
    attention: Mapping[str, str],
    operators: Mapping[str, Sequence[str]],
    output: str | Path,
) -> None:
    """Write the table (contract `OPERATOR_FACTS`) of each panel's attention file and operator files.

    `square_parameters` counts the tensors of the checkpoint that are genes × genes.
    """
    model = read_checkpoint(checkpoint)
    shapes = [tuple(tensor.shape) for tensor in model.state.values()]
    rows = []
    for panel, path in attention.items():
        sums = load_attention(path, stored=True)
        found = {ATTENTION: attention_facts(sums)}
        for file in operators.get(panel, ()):
            operator = read_operator(file, tuple(sums.genes))
            if operator.encoding != "label":  # a matrix of labels by features has no genes
                found[Path(file).stem] = operator_facts(operator)
        for name, facts in found.items():
            square = sum(shape == (facts["genes"],) * 2 for shape in shapes)
            own = {"run": run, "panel": panel, "operator": name, "width": model.args["embsize"]}
            rows.append(own | facts | {"square_parameters": square})
    write_table(pd.DataFrame(rows, columns=OPERATOR_FACTS.names), output, OPERATOR_FACTS, tsv=True)

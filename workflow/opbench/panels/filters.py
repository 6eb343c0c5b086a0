"""Filters of cells: pandas queries over `obs`, restricted to comparisons so that a configuration cannot run code."""

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.io.errors import InputError

#: Methods of a column, or of its `.str`, that a filter may call.
METHODS = {"isin", "isna", "notna", "between", "startswith", "endswith", "contains", "lower", "upper", "strip"}
_NODES = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.BinOp, ast.BitAnd,
    ast.BitOr, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Name, ast.Load,
    ast.Constant, ast.List, ast.Tuple, ast.keyword,
)  # fmt: skip


def filter_cells(obs: pd.DataFrame, query: str | None, path: str | Path, field: str, everything: bool) -> np.ndarray:
    """Return (cells,) bool of the filter `query` over `obs`; None keeps all or no cells.

    A filter compares columns (in backticks when a name has spaces) with values, joined by and, or, not, and may
    call `METHODS`. Raises InputError when it does more, fails, is no condition or keeps no cell.
    """
    if query is None:
        return np.full(len(obs), everything)
    if reason := _beyond_comparison(query):
        raise InputError(f'{path}: the {field} filter "{query}" {reason}; compare columns with values.')
    try:
        kept = np.asarray(obs.eval(query, engine="python"))
    except Exception as error:  # pandas raises many kinds for a wrong expression
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f'{path}: the {field} filter "{query}" does not work on obs ({reason}); obs has {list(obs.columns)}.'
        ) from error
    if kept.shape != (len(obs),) or kept.dtype != bool:
        raise InputError(f'{path}: the {field} filter "{query}" is not true or false for each cell; compare a column.')
    if not kept.any():
        raise InputError(f'{path}: the {field} filter "{query}" keeps no cell; widen it.')
    return kept


def _beyond_comparison(query: str) -> str | None:
    """What in the filter is no comparison, or None."""
    try:
        tree = ast.parse(re.sub("`[^`]*`", "column", query).strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        return f"is no expression ({getattr(error, 'msg', error)})"
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            return f"calls '{ast.unparse(node.func)}', which is none of {sorted(METHODS)}"
        if isinstance(node, ast.Attribute) and node not in called and node.attr != "str":
            return f"reads '{ast.unparse(node)}', which is no column"
        if not isinstance(node, (*_NODES, ast.Call, ast.Attribute)):
            return f"holds '{ast.unparse(node)}', which is no comparison"
    return None

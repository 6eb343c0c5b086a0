"""Filters of cells: comparisons of `obs` columns in pandas' query notation, evaluated here so none can run code."""

import ast
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opbench.io.errors import InputError

#: Methods of a column, or of its `.str`, that a filter may call.
METHODS = {"isin", "isna", "notna", "between", "startswith", "endswith", "contains", "lower", "upper", "strip"}
COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a.isin(b), ast.NotIn: lambda a, b: ~a.isin(b),
}  # fmt: skip
JOIN: dict[type, Callable[[Any, Any], Any]] = {
    ast.And: operator.and_, ast.Or: operator.or_, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
}  # fmt: skip
#: A quoted text, or a column in backticks.
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`([^`]*)`""")


class _RefusedError(Exception):
    """Why a filter is no comparison."""


def filter_cells(obs: pd.DataFrame, query: str | None, path: str | Path, field: str, everything: bool) -> np.ndarray:
    """Return (cells,) bool of the filter `query` over `obs`; None keeps all or no cells.

    A filter compares columns (in backticks when a name has spaces) with values, joined by and, or, not, and may
    call `METHODS`. Raises InputError when it does more, fails, is no condition or keeps no cell.
    """
    if query is None:
        return np.full(len(obs), everything)
    try:
        kept = _Filter(obs).value(query)
    except _RefusedError as error:
        raise InputError(f'{path}: the {field} filter "{query}" {error}; compare columns with values.') from None
    except Exception as error:  # comparisons of odd columns raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f'{path}: the {field} filter "{query}" does not work on obs ({reason}); obs has {list(obs.columns)}.'
        ) from error
    kept = np.asarray(kept)
    if kept.shape != (len(obs),) or kept.dtype != bool:
        raise InputError(f'{path}: the {field} filter "{query}" is not true or false for each cell; compare a column.')
    if not kept.any():
        raise InputError(
            f'{path}: the {field} filter "{query}" keeps no cell; widen it, or quote values that are text.'
        )
    return kept


class _Filter:
    """Evaluates the few kinds of expression that a filter consists of; anything else is refused."""

    def __init__(self, obs: pd.DataFrame) -> None:
        self.obs, self.quoted = obs, {}

    def value(self, query: str) -> Any:
        def name(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0]
            self.quoted[key := f"_column_{len(self.quoted)}"] = found[1]
            return key

        try:
            tree = ast.parse(_QUOTED.sub(name, query).strip(), mode="eval")
        except (SyntaxError, ValueError) as error:
            raise _RefusedError(f"is no expression ({getattr(error, 'msg', error)})") from None
        return self._of(tree.body)

    def _of(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=str() | int() | float() | bool()):
                return node.value
            case ast.List() | ast.Tuple():
                return [self._of(item) for item in node.elts]
            case ast.Name():
                return self._column(self.quoted.get(node.id, node.id))
            case ast.BoolOp():
                values = [self._of(value) for value in node.values]
                for value in values[1:]:
                    values[0] = JOIN[type(node.op)](values[0], value)
                return values[0]
            case ast.BinOp() if type(node.op) in JOIN:
                return JOIN[type(node.op)](self._of(node.left), self._of(node.right))
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return ~self._of(node.operand)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return -node.operand.value
            case ast.Compare():
                return self._compared(node)
            case ast.Call(func=ast.Attribute()) if node.func.attr in METHODS:
                return self._called(node, node.func)
        held = ast.unparse(node)
        raise _RefusedError(f"holds '{held}', which is no comparison and none of the calls {sorted(METHODS)}")

    def _column(self, name: str) -> pd.Series:
        if name not in self.obs.columns:
            raise KeyError(f"name '{name}' is no column")
        column = self.obs[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            return column
        # Categories compare as what they name, so that a filter means the same whatever the file's encoding.
        return column.astype(object if column.hasnans else column.cat.categories.dtype)

    def _compared(self, node: ast.Compare) -> Any:
        operands = [self._of(item) for item in (node.left, *node.comparators)]
        kept: Any = None
        for kind, left, right in zip(node.ops, operands[:-1], operands[1:], strict=True):
            if type(kind) not in COMPARE:
                raise _RefusedError(f"holds '{ast.unparse(node)}', which is no comparison")
            part = COMPARE[type(kind)](left, right)
            kept = part if kept is None else kept & part
        return kept

    def _called(self, node: ast.Call, function: ast.Attribute) -> Any:
        match function.value:
            case ast.Attribute(attr="str"):
                owner = self._of(function.value.value).str
            case ast.Name() | ast.Call():
                owner = self._of(function.value)
            case other:
                raise _RefusedError(f"calls a method of '{ast.unparse(other)}', which is no column")
        named = {keyword.arg: self._of(keyword.value) for keyword in node.keywords if keyword.arg}
        return getattr(owner, function.attr)(*(self._of(item) for item in node.args), **named)

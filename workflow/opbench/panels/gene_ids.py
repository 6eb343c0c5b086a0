"""Names of genes: Ensembl ids become symbols, and repeated symbols become one gene.

The rule for a symbol that names several columns is `duplicates` of the dataset. `sum`: the gene's count in a cell is
the sum over all its columns; the library size is that of all columns either way, and the gene counts once among the
detected genes of the cell. `error`: the file is refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from opbench.config.data import Dataset
from opbench.io.errors import InputError
from opbench.io.locate import locate

#: An Ensembl gene id, with the version and the mark of the pseudoautosomal copy that GENCODE adds.
ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})(\.\d+)?(_PAR_Y)?")


@dataclass(frozen=True)
class GeneNames:
    """The gene of each column of a counts matrix, and what was done to name it.

    `mapped` Ensembl ids became symbols, `unmapped` are not in the table and keep their id (`first_unmapped` for one),
    `unnamed` columns had no name and took that of the index.
    """

    symbols: list[str]
    mapped: int = 0
    unmapped: int = 0
    first_unmapped: str = ""
    unnamed: int = 0

    @property
    def repeated(self) -> list[str]:
        """Symbols that name several columns, in the order of their second column."""
        names = pd.Series(self.symbols)
        return names[names.duplicated()].drop_duplicates().tolist()

    def groups(self) -> np.ndarray | None:
        """Return (columns,) int32: the number of a repeated symbol, -1 for all others; None when none is repeated."""
        repeated = self.repeated
        return pd.Index(repeated).get_indexer(self.symbols).astype(np.int32) if repeated else None

    def notes(self) -> list[str]:
        """Return what was done, a sentence each, for the log."""
        notes = []
        if self.unnamed:
            notes.append(f"{self.unnamed} columns without a gene name take the name of the var index")
        if self.mapped or self.unmapped:
            notes.append(f"{self.mapped} Ensembl ids became symbols")
        if self.unmapped:
            notes.append(f"{self.unmapped} ids that the table lacks keep their id, '{self.first_unmapped}' the first")
        if repeated := self.repeated:
            columns = pd.Series(self.symbols).isin(repeated).sum()
            notes.append(
                f"{len(repeated)} symbols, '{repeated[0]}' the first, name {columns} columns: counts are summed"
            )
        return notes


def gene_names(var: pd.DataFrame, dataset: Dataset, source: str) -> GeneNames:
    """Name the columns of a counts matrix from its `var` table, by `columns.gene`, `symbols` and `duplicates`.

    Raises InputError when most names are Ensembl ids and no table is given, when a name is missing, when a symbol
    is repeated and `duplicates` says `error`. `source` names file and table in messages.
    """
    column = dataset.columns.gene
    names, unnamed = _read_names(var, column, source)
    parts = [ENSEMBL.fullmatch(name) for name in names]
    ids = sum(part is not None for part in parts)
    if dataset.symbols is None:
        if 2 * ids > len(names):
            raise InputError(_ask_for_symbols(var, column, source, ids, len(names)))
        found = GeneNames(names, unnamed=unnamed)
    else:
        table = read_symbols(dataset.symbols)
        known = [part is not None and part[1] in table for part in parts]
        lacking = [name for name, part, is_known in zip(names, parts, known, strict=True) if part and not is_known]
        symbols = [
            table[part[1]] if part is not None and is_known else name
            for name, part, is_known in zip(names, parts, known, strict=True)
        ]
        found = GeneNames(symbols, sum(known), len(lacking), next(iter(lacking), ""), unnamed)
    if dataset.duplicates == "error" and (repeated := found.repeated):
        raise InputError(
            f"{source}: gene '{repeated[0]}' occurs twice in '{column}', and {len(repeated) - 1} more genes do; set "
            "'duplicates: sum' to add their counts up, or name another column in 'columns.gene'."
        )
    return found


def read_symbols(name: str) -> dict[str, str]:
    """Return {Ensembl id without version: symbol} of the table `name`, found as datasets are.

    It has columns `ensembl_gene_id` and `symbol` (as HGNC's complete set has), or it has no header and its first two
    columns are id and symbol; separated by tabs or, in a `.csv`, by commas. The first symbol of an id counts.
    """
    path = Path(str(locate(name, required=True)))
    comma = ".csv" in path.suffixes
    how = {"sep": "," if comma else "\t", "quoting": 0 if comma else 3, "dtype": str, "keep_default_na": False}
    try:
        header = pd.read_csv(path, header=None, nrows=1, **how).iloc[0].tolist()
        titled = {"ensembl_gene_id", "symbol"} <= set(header)
        if not titled and not (len(header) > 1 and ENSEMBL.fullmatch(header[0])):
            raise InputError(
                f"{path}: has no columns 'ensembl_gene_id' and 'symbol' (it begins with {header[:3]}); give HGNC's "
                "complete set or name the columns so."
            )
        columns = [header.index(title) for title in ("ensembl_gene_id", "symbol")] if titled else [0, 1]
        pair = pd.read_csv(path, header=0 if titled else None, usecols=columns, **how)
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: 'symbols' names no readable table ({error}); give columns ensembl_gene_id and symbol."
        ) from error
    pair = pair.iloc[:, np.argsort(np.argsort(columns))]  # as asked for, not as in the file
    pair = pair.set_axis(["id", "symbol"], axis=1)
    pair = pair.assign(id=[part[1] if (part := ENSEMBL.fullmatch(text)) else "" for text in pair["id"]])
    pair = pair[(pair["id"] != "") & (pair["symbol"] != "")].drop_duplicates("id")
    return dict(zip(pair["id"], pair["symbol"], strict=True))


def looks_like_symbols(values: pd.Series) -> bool:
    """Return whether a var column could be gene symbols: mostly unique names that are no ids and no numbers."""
    if isinstance(values.dtype, pd.CategoricalDtype) or values.dtype == object or pd.api.types.is_string_dtype(values):
        names = values.dropna().astype(str)
        named = names.str.match(r"[A-Za-z]") & ~names.str.fullmatch(ENSEMBL)
        return bool(len(values)) and names.nunique() > len(values) / 2 and bool(named.sum() > len(values) / 2)
    return False


def _read_names(var: pd.DataFrame, column: str, source: str) -> tuple[list[str], int]:
    index = var.index.astype(object).to_series()
    names = index if column == "index" else var[column].astype(object)
    empty = (names.isna() | (names.astype(str) == "")).to_numpy()
    names = names.astype(str).to_numpy(dtype=object)
    names[empty] = index.astype(str).to_numpy()[empty]
    if column == "index" and empty.any():
        raise InputError(
            f"{source}: column {int(empty.argmax())} has no gene name in '{column}'; name another var column in "
            "'columns.gene'."
        )
    return names.tolist(), int(empty.sum())


def _ask_for_symbols(var: pd.DataFrame, column: str, source: str, ids: int, size: int) -> str:
    others = [str(name) for name in var.columns if name != column and looks_like_symbols(var[name])]
    if column != "index" and looks_like_symbols(var.index.to_series()):
        others.append("index")
    held = " or ".join(f"'{name}'" for name in others)
    where = f"set 'columns.gene' to {held}, which looks like symbols, or name" if others else "name"
    return (
        f"{source}: '{column}' holds Ensembl ids ({ids} of {size} genes) but models know symbols; {where} a table from "
        "id to symbol in 'symbols' (HGNC's complete set)."
    )

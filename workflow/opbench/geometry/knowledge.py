"""Readers of knowledge tables into tidy tables by gene symbol (spectral-geometry, section 4).

Nothing of theirs is shipped. A file that is missing or not what it should be is an InputError.
"""

import csv
import gzip
import json
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from opbench.config.geometry import CHANNELS
from opbench.io.errors import InputError
from opbench.panels.gene_ids import ENSEMBL

#: Chance that two proteins interact before any evidence, in STRING's combined score (von Mering et al. 2005).
STRING_PRIOR = 0.041
#: `Cytosol (GO:0005829)` in the HPA table.
_TERM = re.compile(r"\s*(.+?)\s*\((GO:\d{7})?\)\s*")
#: What no gene symbol is: numbers (of Entrez, PubMed, scores), and text with a space, `:` or `;`.
_NO_SYMBOL = re.compile(r"[\d.,;+-]+(e-?\d+)?|.*[\s:;].*")
#: Files that do not open where they are cut off.
_PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")


def read_trrust(path: str | Path) -> pd.DataFrame:
    """TRRUST v2 `trrust_rawdata.human.tsv` to unique edges: source, target, sign.

    `sign` is `activation`, `repression`, `unknown` (no record has one) or `ambiguous` (records of both). Self edges
    are left out.
    """
    raw = _table(path, sep="\t", header=None, names=["source", "target", "mode", "references"])
    modes = {"Activation", "Repression", "Unknown"}
    if wrong := sorted(set(raw["mode"].astype(str)) - modes):
        raise InputError(
            f"{path}: column 3 holds '{wrong[0]}', not Activation, Repression or Unknown; use TRRUST's raw table."
        )
    return _signed(raw, raw["mode"] == "Activation", raw["mode"] == "Repression")


def read_dorothea(path: str | Path, confidences: Collection[str] = ("A", "B", "C")) -> pd.DataFrame:
    """DoRothEA `tf,confidence,target,mor` to unique edges of `confidences`: source, target, sign."""
    raw = _table(path, ("tf", "confidence", "target", "mor"))
    if wrong := sorted(set(confidences) - set(raw["confidence"].astype(str))):
        raise InputError(f"{path}: 'confidence' has no level '{wrong[0]}'; use levels that it holds.")
    raw = raw[raw["confidence"].isin(list(confidences))].rename(columns={"tf": "source"})
    return _signed(raw, raw["mor"] > 0, raw["mor"] < 0)


def _signed(raw: pd.DataFrame, activates: pd.Series, represses: pd.Series) -> pd.DataFrame:
    """One row per edge; records of both signs make it ambiguous."""
    frame = raw[["source", "target"]].assign(activates=activates, represses=represses)
    frame = frame[frame["source"] != frame["target"]]
    edges = frame.groupby(["source", "target"], sort=True, as_index=False)[["activates", "represses"]].any()
    signs = np.select(
        [edges["activates"] & edges["represses"], edges["activates"], edges["represses"]],
        ["ambiguous", "activation", "repression"],
        "unknown",
    )
    return edges[["source", "target"]].assign(sign=signs)


def transcription_factors(table: pd.DataFrame) -> list[str]:
    """Sources of an edge table, or all symbols of gene sets, sorted; a list from the edges under test is circular."""
    return sorted(table["source" if "source" in table else "symbol"].unique())


def read_string(path: str | Path) -> pd.DataFrame:
    """STRING API JSON (plain or gzip) to unordered pairs, a < b: a, b, score and the seven `CHANNELS`, all 0 to 1.

    Of a pair listed twice the larger of each score is kept.
    """
    entries = _parsed(path, _load_json)
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: is no list of STRING network entries; save the API's JSON answer there.")
    frame = pd.DataFrame(entries)
    _need(path, frame, ("preferredName_A", "preferredName_B", "score", *CHANNELS.values()))
    names = np.sort(frame[["preferredName_A", "preferredName_B"]].astype(str).to_numpy(), axis=1)
    scores = frame.rename(columns={code: name for name, code in CHANNELS.items()})[["score", *CHANNELS]].astype(float)
    if not scores.stack().between(0, 1).all():
        raise InputError(f"{path}: a score is outside 0 to 1; use the API's scale, not the download's 0 to 1000.")
    pairs = scores.assign(a=names[:, 0], b=names[:, 1]).query("a != b")
    return pairs.groupby(["a", "b"], sort=True, as_index=False)[["score", *CHANNELS]].max()


def combined_score(pairs: pd.DataFrame, channels: Sequence[str]) -> pd.Series:
    """STRING's combined score from `channels` alone: 1 - prod(1 - s'), s' with the prior removed, the prior put back.

    Without co-expression and text mining it is evidence that a co-expression model has not seen. The correction for
    homology is left out, which the JSON has no data for.
    """
    if unknown := [name for name in channels if name not in CHANNELS]:
        raise InputError(f"geometry: '{unknown[0]}' is no STRING channel; choose among {', '.join(CHANNELS)}.")
    freed = (pairs[list(channels)] - STRING_PRIOR).clip(lower=0) / (1 - STRING_PRIOR)
    together = 1 - (1 - freed).prod(axis=1)
    return (together + STRING_PRIOR * (1 - together)).where(together > 0, 0.0)


def read_hpa(path: str | Path, reliabilities: Collection[str] = ("Enhanced", "Supported", "Approved")) -> pd.DataFrame:
    """Human Protein Atlas `subcellular_location.tsv` to one row per gene and place: symbol, term, go_id, reliability.

    Genes of another reliability (`Uncertain`) are left out.
    """
    raw = _table(path, ("Gene name", "Reliability", "GO id"), sep="\t")
    raw = raw[raw["Reliability"].isin(list(reliabilities)) & raw["GO id"].notna()]
    rows = [
        (symbol, *_location(path, place), reliability)
        for symbol, reliability, places in raw[["Gene name", "Reliability", "GO id"]].itertuples(index=False)
        for place in places.split(";")
    ]
    return _unique(path, pd.DataFrame(rows, columns=["symbol", "term", "go_id", "reliability"]), ["symbol", "term"])


def _location(path: str | Path, text: str) -> tuple[str, str]:
    if not (match := _TERM.fullmatch(text)):
        raise InputError(f"{path}: 'GO id' holds '{text}', not like 'Cytosol (GO:0005829)'; use HPA's own table.")
    return match[1], match[2] or ""


def read_panglao(path: str | Path, species: str = "Hs", canonical: bool = True) -> pd.DataFrame:
    """PanglaoDB markers of a species to symbol, cell_type; `canonical`: only those marked so."""
    raw = _table(path, ("species", "official gene symbol", "cell type", "canonical marker"), sep="\t")
    raw = raw[raw["species"].astype(str).str.split().map(lambda held: species in held)]
    if canonical:
        raw = raw[pd.to_numeric(raw["canonical marker"], errors="coerce") == 1]
    raw = raw.rename(columns={"official gene symbol": "symbol", "cell type": "cell_type"})
    return _unique(path, raw[["symbol", "cell_type"]], ["symbol", "cell_type"])


def read_cellmarker(path: str | Path, tissues: Collection[str] = ()) -> pd.DataFrame:
    """CellMarker 2 (`Tissue,CT,Gene`, genes joined by commas) to symbol, cell_type, tissue; `tissues`: only those."""
    raw = _table(path, ("Tissue", "CT", "Gene"))
    if wrong := sorted(set(tissues) - set(raw["Tissue"])):
        raise InputError(f"{path}: 'Tissue' has no '{wrong[0]}'; use tissues that it holds.")
    raw = raw[raw["Tissue"].isin(list(tissues))] if tissues else raw
    long = raw.assign(symbol=raw["Gene"].str.split(",")).explode("symbol")
    long["symbol"] = long["symbol"].str.strip()
    long = long.rename(columns={"CT": "cell_type", "Tissue": "tissue"})[["symbol", "cell_type", "tissue"]]
    return _unique(path, long[long["symbol"] != ""], ["symbol", "cell_type", "tissue"])


def read_gene_sets(path: str | Path) -> pd.DataFrame:
    """A GMT file (term, description, symbols by tabs) to symbol, term.

    A file in which more than half of the distinct members are Ensembl ids, numbers, or hold a space, `:` or `;` is an
    InputError: another table, or sets by another identifier.
    """

    def rows(place: Path) -> list[tuple[str, str]]:
        lines = (line.split("\t") for line in _text(place).splitlines() if line.strip())
        return [(symbol, fields[0]) for fields in lines for symbol in fields[2:] if symbol]

    sets = _unique(path, pd.DataFrame(_parsed(path, rows), columns=["symbol", "term"]), ["symbol", "term"])
    symbols = sets["symbol"].unique()
    odd = [name for name in symbols if ENSEMBL.fullmatch(name) or _NO_SYMBOL.fullmatch(name)]
    if 2 * len(odd) > len(symbols):
        raise InputError(
            f"{path}: {len(odd)} of {len(symbols)} members are no gene symbols, '{odd[0]}' the first; give gene sets "
            "by symbol in GMT layout, or name the table's own kind."
        )
    return sets


def membership(
    table: pd.DataFrame, genes: Sequence[str], least: int = 5, most: int | None = None, column: str = "term"
) -> pd.DataFrame:
    """Terms × genes, boolean, of a table of symbol and `column`: terms with `least` to `most` of the genes."""
    held = table[table["symbol"].isin(set(genes))]
    wide = pd.crosstab(held[column], held["symbol"]).reindex(columns=list(genes), fill_value=0).astype(bool)
    size = wide.sum(axis=1)
    return wide[(size >= least) & (size <= (most if most is not None else len(genes)))]


def marker_panel(
    table: pd.DataFrame, genes: Collection[str], types: Collection[str] = (), least: int = 2
) -> dict[str, str]:
    """Cell type of each of `genes` that marks one of the `types` alone, types with `least` such: symbol -> type."""
    held = table[table["symbol"].isin(set(genes))]
    held = held[held["cell_type"].isin(list(types))] if types else held
    held = held[["symbol", "cell_type"]].drop_duplicates()
    single = held[~held["symbol"].duplicated(keep=False)]
    size = single.groupby("cell_type")["symbol"].transform("size")
    return dict(single[size >= least].sort_values(["cell_type", "symbol"]).itertuples(index=False))


def _unique(path: str | Path, frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    frame = frame.dropna(subset=["symbol"]).drop_duplicates(keys).sort_values(keys).reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{path}: no row is left after the filters; loosen them or restore the file.")
    return frame


def _table(path: str | Path, columns: Sequence[str] = (), **options: Any) -> pd.DataFrame:
    # 'NA' is a symbol nowhere here, and 'NAN' or 'nan' must stay text.
    frame = _parsed(path, lambda place: pd.read_csv(place, keep_default_na=False, na_values=[""], **options))
    _need(path, frame, columns)
    if frame.empty:
        raise InputError(f"{path}: has no rows; restore the file.")
    _whole_lines(path, frame.shape[1], options.get("sep", ","))
    return frame


def _whole_lines(path: str | Path, columns: int, separator: str) -> None:
    """Pandas fills a line that is cut off with missing values, which would then be left out in silence."""
    if Path(path).suffix in _PACKED:
        return

    def lengths(place: Path) -> list[tuple[int, int]]:
        with place.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter=separator)
            return [(reader.line_num, len(line)) for line in reader if line]

    if short := next((found for found in _parsed(path, lengths) if found[1] < columns), None):
        raise InputError(
            f"{path}: line {short[0]} has {short[1]} of {columns} columns, as where a file is cut off; fetch it again."
        )


def _need(path: str | Path, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in frame.columns]:
        raise InputError(f"{path}: the column '{missing[0]}' is missing; use the table as its source gives it.")


def _parsed(path: str | Path, parse: Callable[[Path], Any]) -> Any:
    if not Path(path).is_file():
        raise InputError(f"{path}: knowledge table not found; put the file there or name its folder.")
    try:
        return parse(Path(path))
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: is not readable as a knowledge table ({error}); restore it.") from error


def _load_json(path: Path) -> Any:
    return json.loads(_text(path))


def _text(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return file.read()

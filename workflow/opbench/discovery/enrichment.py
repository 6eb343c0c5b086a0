"""Stage: gene sets enriched among the genes that factors read and write (spec H.3).

Hypergeometric test, the panel's genes the background; BH over all factors, sides and sets of a collection, for each
operator on its own. Random operators' factors are tested as the real one's: they show what is found by chance.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.stats import hypergeom

from opbench.config import Config
from opbench.io.errors import InputError
from opbench.io.tables import ENRICHMENT, PROGRAMS, read_tables, write_table
from opbench.panels.panel import read_panel
from opbench.panels.reading import check_sha256
from opbench.statistics.tests import bh

log = logging.getLogger("opbench.enrich_factors")
#: Sets of each list that are told whatever their q.
BEST = 5
OPERATOR = ["arm", "operator", "draw"]
LIST = ["factor", "side"]


def read_gmt(path: str | Path) -> dict[str, frozenset[str]]:
    """Gene sets by name from a GMT file: name, description and genes between tabs.

    InputError for a line without a gene, a name that comes twice, or a file without a set.
    """
    sets: dict[str, frozenset[str]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no readable GMT file ({error}); correct the path in 'knowledge'.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        genes = frozenset(gene.strip() for gene in rest[1:] if gene.strip())
        if not genes:
            raise InputError(f"{path}: line {number} holds no gene; a GMT line is name, description and genes by tabs.")
        if name in sets:
            raise InputError(f"{path}: line {number} names the set '{name}' a second time; keep one.")
        sets[name] = genes
    if not sets:
        raise InputError(f"{path}: holds no gene set; give a GMT file or take it out of 'compaction.gene_sets'.")
    return sets


def enrich(
    programs: pd.DataFrame, genes: Sequence[str], sets: Mapping[str, frozenset[str]], min_set: int
) -> pd.DataFrame:
    """Every list of genes against every set with at least `min_set` genes in the panel, of one operator's programs.

    Returns factor, side, gene_set, overlap, set_size, listed, background, fold, p, q and the shared genes.
    """
    place = {gene: i for i, gene in enumerate(genes)}
    kept = {name: inside for name, held in sets.items() if len(inside := sorted(held & place.keys())) >= min_set}
    lists = [(key, part["gene"].tolist()) for key, part in programs.groupby(LIST, sort=True)]
    if not kept or not lists:
        return pd.DataFrame()

    def indicator(groups: Sequence[Sequence[str]]) -> sp.csr_matrix:
        row = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        column = [place[gene] for group in groups for gene in group]
        return sp.csr_matrix((np.ones(len(row), np.int64), (row, column)), shape=(len(groups), len(genes)))

    names, members = list(kept), indicator(list(kept.values()))
    overlap = (indicator([listed for _, listed in lists]) @ members.T).toarray()  # (lists, sets)
    listed = np.array([len(found) for _, found in lists])[:, None]
    size = np.array([len(found) for found in kept.values()])[None]
    p = hypergeom.sf(overlap - 1, len(genes), size, listed)
    fold = overlap * len(genes) / (listed * size)
    at, of = np.indices(overlap.shape).reshape(2, -1)
    frame = pd.DataFrame([key for key, _ in lists], columns=LIST).iloc[at].reset_index(drop=True)
    frame = frame.assign(
        gene_set=np.array(names, dtype=object)[of], overlap=overlap.ravel(), set_size=size[0][of],
        listed=listed[at, 0], background=len(genes), fold=fold.ravel(), p=p.ravel(), q=bh(p.ravel()),
    )  # fmt: skip
    shared = (";".join(sorted(set(lists[i][1]) & set(kept[names[j]]))) for i, j in zip(at, of, strict=True))
    return frame.assign(genes=list(shared))


def _told(found: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Significant sets, and the best few of each list; `reason` says of how many tests."""
    place = found.sort_values(["p", "gene_set"]).groupby(LIST).cumcount().reindex(found.index)
    told = found[(found["q"] < alpha) | (place < BEST)]
    per_list = found.groupby(LIST).size().iloc[0]
    note = f"of {per_list} sets in {len(found)} tests; of sets with q of {alpha} or more the best {BEST} of a list"
    return told.assign(status="ok", reason=note)


def _nothing(collection: str, reason: str, **about: object) -> dict:
    numbers = dict.fromkeys(("overlap", "set_size", "listed", "background"), 0)
    numbers |= {name: float("nan") for name in ("fold", "p", "q")}
    text = {"arm": "", "operator": "", "side": "", "gene_set": "", "genes": ""}
    about = {"draw": -1, "factor": -1, **text, **about}
    return about | {"collection": collection, "status": "not_testable", "reason": reason} | numbers


def _collections(config: Config, gmt: Mapping[str, str | Path | None]) -> Iterator[tuple[str, dict | None, str]]:
    """Name, sets and, where there are none, the reason of every gene-set table that is asked for."""
    if not gmt:
        yield "", None, "discovery.compaction.gene_sets names no table"
    for name, path in gmt.items():
        if path is not None:
            check_sha256(path, config.knowledge[name].sha256 if name in config.knowledge else None)
            yield name, read_gmt(path), ""
            continue
        file = config.knowledge[name].path if name in config.knowledge else name
        yield name, None, f"'{file}' is found nowhere; put it into the folder $OPBENCH_KNOWLEDGE"


def enrich_factors(
    config: Config,
    panel: str,
    programs: Sequence[str] | Sequence[Path],
    panel_file: str | Path,
    gmt: Mapping[str, str | Path | None],
    output: str | Path,
) -> None:
    """Stage: write the enrichment (`ENRICHMENT`) of the programs of all arms of a panel.

    programs: `PROGRAMS` files; panel_file: whose genes are the background; gmt: knowledge table -> its GMT file, None
    where it is found nowhere, which is a row of its own.
    """
    genes = tuple(read_panel(panel_file).var_names)
    table = read_tables(list(programs), PROGRAMS)  # type: ignore[arg-type]
    min_set, parts = config.discovery.compaction.min_set, []
    for collection, sets, reason in _collections(config, gmt):
        if sets is None or table.empty:
            parts.append(pd.DataFrame([_nothing(collection, reason or "no operator has factors")]))
            continue
        for key, part in table.groupby(OPERATOR, sort=True):
            about = dict(zip(OPERATOR, key, strict=True))
            found = enrich(part, genes, sets, min_set)
            if found.empty:
                why = f"no set has {min_set} genes of the panel; lower 'compaction.min_set'"
                parts.append(pd.DataFrame([_nothing(collection, why, **about)]))
                continue
            told = _told(found, config.evidence.alpha)
            parts.append(told.assign(collection=collection, **about))
            n = int((found["q"] < config.evidence.alpha).sum())
            log.info("%s, %s %s: %d of %d tests significant", collection, about["operator"], key[2], n, len(found))
    frame = pd.concat(parts, ignore_index=True).assign(run=config.run, panel=panel)
    write_table(frame[ENRICHMENT.names], output, ENRICHMENT)

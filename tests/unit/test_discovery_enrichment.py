"""Enrichment: a planted set is found, random lists find what chance gives, and what is missing is a typed row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from compaction_cohort import config
from scipy.stats import fisher_exact

from opbench.discovery.enrichment import enrich, enrich_factors, read_gmt
from opbench.io.errors import InputError
from opbench.io.tables import ENRICHMENT, PROGRAMS, read_table, write_table

GENES = tuple(f"g{i}" for i in range(300))
ABOUT = {"run": "toy", "panel": "p", "draw": 0, "seed": 0, "singular_value": 1.0, "weight": 1.0}


def programs(lists: dict[tuple[int, str], list[str]], arm: str = "real") -> pd.DataFrame:
    rows = [
        ABOUT | {"arm": arm, "operator": arm, "factor": factor, "side": side, "rank": rank, "gene": gene}
        for (factor, side), genes in lists.items()
        for rank, gene in enumerate(genes, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)[PROGRAMS.names]


def random_lists(rng: np.random.Generator, n: int = 16) -> dict[tuple[int, str], list[str]]:
    return {(i, side): rng.choice(GENES, 20, replace=False).tolist() for i in range(n) for side in ("read", "write")}


def random_sets(rng: np.random.Generator, n: int = 100) -> dict[str, frozenset[str]]:
    return {f"s{i}": frozenset(rng.choice(GENES, rng.integers(5, 40), replace=False)) for i in range(n)}


def test_a_planted_set_is_found_and_the_test_is_fishers():
    rng = np.random.default_rng(0)
    sets = random_sets(rng) | {"s7": frozenset(GENES[:12])}
    lists = random_lists(rng)
    lists[2, "read"] = list(GENES[2:15])
    found = enrich(programs(lists), GENES, sets, 5)
    assert len(found) == 32 * 100
    assert set(found["background"]) == {300}
    best = found.loc[found["p"].idxmin()]
    assert (best["factor"], best["side"], best["gene_set"], best["overlap"]) == (2, "read", "s7", 10)
    assert best["genes"] == ";".join(sorted(GENES[2:12]))
    inside, size, listed = best["overlap"], best["set_size"], best["listed"]
    table = [[inside, listed - inside], [size - inside, 300 - listed - size + inside]]
    assert best["p"] == pytest.approx(fisher_exact(table, "greater")[1])
    assert best["fold"] == pytest.approx(inside * 300 / (listed * size))


def test_random_lists_find_nothing():
    significant = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        significant += (enrich(programs(random_lists(rng)), GENES, random_sets(rng), 5)["q"] < 0.05).any()
    assert significant <= 4  # 5 % of 20, and some luck


def test_sets_outside_the_panel_do_not_count():
    sets = {"small": frozenset(["g0", "g1", "x", "y", "z"]), "large": frozenset([*GENES[:6], *map(str, range(1000))])}
    found = enrich(programs({(0, "read"): list(GENES[:10])}), GENES, sets, 5)
    assert found["gene_set"].tolist() == ["large"]
    assert found["set_size"].tolist() == [6]


def write_gmt(path: Path, sets: dict[str, frozenset[str]]) -> Path:
    path.write_text("".join("\t".join([name, "about", *sorted(genes)]) + "\n" for name, genes in sets.items()))
    return path


def panel(path: Path) -> Path:
    counts = sp.csr_matrix(np.ones((2, 300), np.int32))
    obs = pd.DataFrame({"dataset": "a", "donor": "d", "tissue": "t", "condition": "c", "label": "l", "stages": "HSC"},
                       index=["a:0", "a:1"]).assign(branch="b", depth=0.0, library_size=1.0)  # fmt: skip
    var = pd.DataFrame({"present_a": True}, index=list(GENES))
    adata = AnnData(counts, obs=obs, var=var, layers={"log1p": counts.astype(np.float32)})
    adata.uns["panel"] = {"name": "p", "missing": {"a": np.array([], dtype=object)}, "library_is_partial": {"a": False}}
    adata.write_h5ad(path)
    return path


def test_the_stage_writes_what_is_found_and_what_is_missing(tmp_path):
    rng = np.random.default_rng(3)
    sets, files = random_sets(rng), []
    for arm in ("real", "gaussian_halves"):
        lists = random_lists(rng)
        if arm == "real":
            lists[0, "write"] = sorted(sets["s1"])
        write_table(programs(lists, arm), tmp_path / f"{arm}.parquet", PROGRAMS)
        files.append(tmp_path / f"{arm}.parquet")
    gmt = {"found": write_gmt(tmp_path / "sets.gmt", sets), "lost": None}
    enrich_factors(config(), "p", files, panel(tmp_path / "panel.h5ad"), gmt, tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet", ENRICHMENT)
    lost = table[table["collection"] == "lost"]
    assert lost["status"].tolist() == ["not_testable"]
    assert "'lost' is found nowhere" in lost["reason"].item()
    found = table[table["collection"] == "found"]
    per_list = found.groupby(["arm", "factor", "side"]).size()
    assert len(per_list) == 64
    assert (per_list >= 5).all()
    assert len(found) < 1000
    real = found[found["arm"] == "real"]
    assert real.loc[real["q"].idxmin(), "gene_set"] == "s1"
    assert (found.loc[found["arm"] == "gaussian_halves", "q"] > 0.01).all()
    enrich_factors(config(), "p", files, tmp_path / "panel.h5ad", {}, tmp_path / "none.parquet")
    assert "names no table" in read_table(tmp_path / "none.parquet", ENRICHMENT)["reason"].item()


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "holds no gene set"), ("a\tb\n", "line 1 holds no gene"), ("a\tb\tg\na\tb\tg\n", "a second time")],
)
def test_a_broken_gmt_is_refused(tmp_path, text, says):
    (tmp_path / "x.gmt").write_text(text)
    with pytest.raises(InputError, match=says):
        read_gmt(tmp_path / "x.gmt")


def test_a_gmt_is_read(tmp_path):
    (tmp_path / "x.gmt").write_text("a\turl\tg1\tg2\t\n\nb\t\tg3\n")
    assert read_gmt(tmp_path / "x.gmt") == {"a": frozenset({"g1", "g2"}), "b": frozenset({"g3"})}

"""The geometry before a run: its tables are read, its names looked up, and its estimates follow the model's size."""

import json
from pathlib import Path

import pytest
from check_cohort import edited, put, write_cohort, write_config

from opbench.check.command import check
from opbench.check.cost import Work
from opbench.check.cost_geometry import SLOW, UNITS, Space, geometry_costs
from opbench.check.data import Facts
from opbench.check.findings import Findings
from opbench.check.knowledge import check_names, describe_knowledge
from opbench.check.model import ModelFacts
from opbench.check.report import as_record
from opbench.check.text import render
from opbench.config import parse_config

MADE = {"source": "made up", "licence": "none"}
TABLES = {
    "edges": ("trrust", "G0001\tG0002\tActivation\t1\nG0002\tG0003\tUnknown\t2\nG0003\tABSENT\tUnknown\t3\n"),
    "sets": ("gmt", "SET\turl\tG0001\tG0002\nOTHER\turl\tG0003\n"),
    "pairs": ("interactions", "source_genesymbol,target_genesymbol\nG0001,G0002\nG0001,ELSEWHERE\n"),
    "types": ("panglao", "species\tofficial gene symbol\tcell type\tcanonical marker\nHs\tG0001\tT cells\t1\n"
                         "Hs\tG0002\tB cells\t1\n"),
}  # fmt: skip
USED = {"edges": "edges", "localisation": "sets", "markers": "types"}
BAD = {
    "cut off": ("edges", lambda text: text[: text.rindex("\t")], ("edges.txt", "line 3 has 3 of 4 columns")),
    "not the kind": ("edges", lambda _: TABLES["pairs"][1], ("edges.txt",)),
    "no symbols": ("sets", lambda _: "SET\turl\t1\t2\t7157\n", ("sets.txt", "no gene symbols")),
    "a set without genes": ("sets", lambda text: text + "EMPTY\turl\n", ("sets.txt", "line 3 holds no gene")),
    "a missing column": ("types", lambda text: text.replace("cell type", "type"), ("types.txt", "'cell type'")),
    "no interactions": ("pairs", lambda text: text.splitlines()[0] + "\n", ("pairs.txt", "no interaction")),
}


def tables(folder: Path, **texts: str) -> dict:
    """Write the tables, some with another text, and return the section that names them."""
    out = {}
    for name, (kind, text) in TABLES.items():
        (folder / f"{name}.txt").write_text(texts.get(name, text))
        out[name] = {"path": str(folder / f"{name}.txt"), "kind": kind} | MADE
    return out


def configured(folder: Path, texts: dict[str, str] | None = None, **geometry: object) -> dict:
    """The cohort's configuration with a geometry and its tables; the gene sets are those of a chain as well."""
    settings = {"spaces": ["model", "coexpression"], "knowledge": USED} | geometry
    return edited(put("knowledge", tables(folder, **(texts or {}))), put("geometry", settings),
                  put("discovery", {"compaction": {"gene_sets": ["sets"]}}))  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_be_read_is_a_problem(name, tmp_path):
    table, harm, parts = BAD[name]
    config, findings = parse_config(configured(tmp_path, {table: harm(TABLES[table][1])})), Findings()
    found = describe_knowledge(config, None, findings)
    assert set(TABLES) - set(found) == {table}
    (problem,) = findings.problems
    assert all(part in problem for part in parts), problem


def test_rows_symbols_and_what_the_model_knows_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cohort(tmp_path)
    raw = configured(tmp_path, marker_types=["T cells", "b cell"], sequence=["SET", "OTHERS"], anchors=["G0001"],
                     converging=["G0002", "G9999"])  # fmt: skip
    report = check([write_config(tmp_path, raw)], 2, with_jobs=False)
    assert report.status == 0, report.findings.problems
    text = render(report)
    assert "edges.txt (trrust), 3 rows, 4 symbols, the model knows 3 of them" in text
    assert "pairs.txt (interactions), 2 rows, 3 symbols, the model knows 2 of them" in text
    held = json.loads(json.dumps(as_record(report)["knowledge"]))["types"]
    assert (held["rows"], held["symbols"], held["known"]) == (2, 2, 2)
    said = "\n".join(report.findings.warnings)
    assert "geometry.marker_types: 'b cell' (near: 'B cells', 'T cells') is not in knowledge.types" in said
    assert "geometry.sequence: 'OTHERS' (near: 'OTHER') is not in knowledge.sets, so that this is not testable" in said
    assert "geometry.converging: 'G9999'" in said
    assert "geometry.anchors" not in said


def test_names_are_looked_up_where_an_analysis_uses_them(tmp_path):
    absent = {"marker_types": ["T cell"], "anchors": ["PAX5"], "sequence": ["SET"]}
    for analyses, fields in ((["spectrum"], []), (["markers"], ["marker_types"]), (["convergence"], ["anchors"])):
        config, findings = (
            parse_config(configured(tmp_path, analyses=analyses, converging=["G1"], **absent)),
            Findings(),
        )
        known = describe_knowledge(config, {"G1"}, findings)
        findings.warnings.clear()
        check_names(config, known, {"G1"}, findings)
        assert [one.split(":")[0].removeprefix("geometry.") for one in findings.warnings] == fields
    check_names(config, known, (), silent := Findings())  # genes that are not known are no warning
    assert silent.warnings == []


def test_a_table_of_other_symbols_is_warned_of(tmp_path):
    findings = Findings()
    describe_knowledge(parse_config(configured(tmp_path)), {"CD19"}, findings)
    assert any("knowledge.sets: the model knows none of the 3 symbols" in one for one in findings.warnings)


#: Seconds and megabytes of the jobs of two runs: 6 blocks of width 64, 12 blocks of width 512, and their references.
SPACES = {"small": Space(7, 4784, 64), "small_svd": Space(1, 4784, 64), "large": Space(13, 8269, 512),
          "large_svd": Space(1, 8269, 256)}  # fmt: skip
MEASURED = {
    "spectrum": {"small": (9, 500), "small_svd": (5, 499), "large": (12, 773), "large_svd": (4, 526)},
    "compartments": {"small": (26, 1247), "small_svd": (14, 721), "large": (93, 1213), "large_svd": (20, 947)},
    "ppi": {"small": (17, 614), "small_svd": (14, 631), "large": (22, 1096), "large_svd": (13, 834)},
    "tf_target": {"small": (245, 864), "small_svd": (29, 843), "large": (336, 2006), "large_svd": (28, 888)},
    "edges": {"small": (71, 1317), "small_svd": (112, 1037), "large": (97, 2469), "large_svd": (47, 1408)},
    "signs": {"small": (11, 914), "small_svd": (8, 864), "large": (17, 1345), "large_svd": (6, 1135)},
    "convergence": {"small": (5, 489), "small_svd": (4, 479), "large": (5, 749), "large_svd": (3, 518)},
    "markers": {"small": (46, 1124), "small_svd": (9, 971), "large": (62, 1513), "large_svd": (10, 1417)},
    "attention": {"small": (18, 918), "large": (17, 961)},
}


@pytest.mark.parametrize("analysis", MEASURED)
def test_estimates_are_within_a_factor_of_two_of_what_was_measured(analysis):
    for name, (seconds, memory) in MEASURED[analysis].items():
        space = SPACES[name]
        assert 0.5 < space.seconds(UNITS[analysis], 1) / seconds < 2, (name, space.seconds(UNITS[analysis], 1))
        assert 0.6 < space.memory(UNITS[analysis]) / memory < 1.6, (name, space.memory(UNITS[analysis]))


def work(tmp_path: Path, blocks: int, width: int, **geometry: object) -> Work:
    """Costs' facts for a model of a size on 8,269 genes of a corpus that has half as many more."""
    config = parse_config(configured(tmp_path, **geometry))
    genes = [f"G{gene}" for gene in range(12400)]
    facts = Facts("mine", "present", genes=genes)
    model = ModelFacts("here", blocks, 8, width, width, 1200, set(genes[:8269]) | {"ELSEWHERE"})
    return Work(config, {"mine": facts}, {}, model, {}, {})


def test_costs_grow_with_the_model_its_genes_and_permutations(tmp_path, monkeypatch):
    monkeypatch.setattr(Facts, "detected", lambda self, genes: 900.0)
    named = {use: frozenset({f"G{gene}" for gene in range(200)} | {"OTHER"}) for use in
             ("edges", "interactions", "localisation", "markers")}  # fmt: skip
    held = work(tmp_path, 12, 512, cells=256, spaces=["model", "random", "coexpression"])
    large = {cost.rule: cost for cost in geometry_costs(held, named)}
    small = {cost.rule: cost for cost in geometry_costs(work(tmp_path, 6, 64, cells=256), named)}
    space = large["extract_space"]
    assert space.disk_mb == pytest.approx(2 * (13 * 8269 * 512 + 12 * 200**2) * 4e-6)
    assert 0.5 < space.longest / 103 < 2
    assert 0.7 < space.memory_mb / 1125 < 1.4
    assert small["extract_space"].disk_mb < 20
    assert large["analyse_geometry"].jobs == 27
    assert 300 < large["analyse_geometry"].longest < 700
    assert "longest tf_target, most memory edges" in large["analyse_geometry"].basis
    assert large["analyse_geometry"].memory_mb > 1.2 * small["analyse_geometry"].memory_mb

    def analyses(**geometry: object) -> float:
        return next(cost.seconds for cost in geometry_costs(work(tmp_path, 12, 512, **geometry), named)
                    if cost.rule == "analyse_geometry")  # fmt: skip

    assert analyses(analyses=["edges"], permutations=500) < 0.5 * analyses(analyses=["edges"])
    assert analyses(analyses=["tf_target"], permutations=500) == analyses(analyses=["tf_target"])
    assert analyses(analyses=["tf_target"], slow_permutations=SLOW // 5) < 0.5 * analyses(analyses=["tf_target"])
    assert analyses(analyses=["compartments"], genes=1000) < 0.8 * analyses(analyses=["compartments"])
    assert analyses(analyses=["edges"], scopes=["nonzero"]) < 0.4 * analyses(analyses=["edges"])
    assert analyses(analyses=["attention"], scopes=["nonzero"]) < 0.4 * analyses(analyses=["attention"])
    one = analyses(analyses=["tf_target"])
    named["factors"] = frozenset({"G1"})
    assert analyses(analyses=["tf_target"]) > 1.1 * one
    absent = {cost.rule: cost for cost in geometry_costs(held, named | {"edges": frozenset()})}
    assert absent["analyse_geometry"].longest < large["analyse_geometry"].longest / 3


def test_genes_are_those_of_the_corpus_that_the_model_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(Facts, "detected", lambda self, genes: 900.0)
    every = geometry_costs(work(tmp_path, 12, 512), {})[0].disk_mb
    some = geometry_costs(work(tmp_path, 12, 512, genes=1000), {"markers": frozenset({"G1", "G2", "ELSEWHERE"})})[0]
    assert every == pytest.approx(13 * 8269 * 512 * 4e-6)
    assert some.disk_mb == pytest.approx(13 * 1002 * 512 * 4e-6)

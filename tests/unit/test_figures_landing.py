"""The landing page and the captions survive the template engine and docutils, and say what the tables say."""

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_string
from figure_tables import world, write_world
from jinja2 import Environment, StrictUndefined

from opbench.figures.draw import FIGURES
from opbench.figures.landing import _healthy, control_sentences, write_landing
from opbench.figures.rst import escape
from opbench.io import tables as contracts

REPORT = Path(__file__).parents[2] / "workflow" / "report"
LEAKS = "LEAKING by design"
NASTY = "we{{ird}}_ `name`* {% if %} |x| :: <a>_"


def html(text: str, **context: object) -> str:
    """Render as the report does; any docutils warning is an error."""
    page = (
        Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined).from_string(text).render(**context)
    )
    return publish_string(page, writer="html", settings_overrides={"halt_level": 2, "report_level": 5}).decode()


def make_landing(tmp_path: Path, n_donors: int = 14, checkpoint: str | None = None, design: str = "") -> str:
    tables = world(n_donors)
    leakage = pd.DataFrame(
        [("demo", "marrow", "lodo", s, m, p, 13, 1, 900, 60, x, x, 0, 1, p == "leaking", v) for s in range(3)
         for m, p, x, v in (("pca10", "inductive", 0, "disjoint"), ("leaking_head", "leaking", 1, LEAKS))],
        columns=contracts.LEAKAGE.names)  # fmt: skip
    paths = write_world({**tables, "leakage": leakage}, tmp_path)
    genes = pd.DataFrame({"gene": [f"g{k}" for k in range(1234)], "rank": range(1234), "score": 0.0, "source": "x"})
    contracts.write_table(genes, tmp_path / "genes.parquet", contracts.GENES)
    model = {
        "name": NASTY, "digest": "0123456789abcdef0123", "published": False, "layers": 6, "heads": 4, "width": 32,
        "parameters": 123456, "learnt": True, "verdict": "nano_x is 12 % better than gene means.",
    }  # fmt: skip
    (tmp_path / "model.json").write_text(json.dumps(model))
    config = {
        "run": "demo_run", "statistics": {"level": 0.95, "healthy": ["healthy"]}, "model": {"checkpoint": checkpoint},
        "datasets": {"vangalen": {"simulate": None, "source": NASTY}, "kang": {"simulate": {"donors": 8}}},
        "campaigns": {"lodo": {"panel": "marrow", "design": design or "leave_one_donor_out"}},
    }  # fmt: skip
    names = ("summary", "comparisons", "panels", "roles", "splits", "leakage")
    files = {name: paths[name][0] for name in names}
    write_landing(config, tmp_path / "model.json", files, {"marrow": tmp_path / "genes.parquet"}, tmp_path / "l.rst")
    return (tmp_path / "l.rst").read_text()


def test_panels_block_counts_zero_filled_genes_and_dropped_cells(tmp_path):
    rst = make_landing(tmp_path)
    html(rst)
    block = rst[rst.index("Panels\n---") : rst.index("Campaign lodo")]
    assert "1,234" in block
    # 51 without a label and 10 to 15 of six labels: the five largest are named, two labels are summed.
    assert "126 cells of 626 dropped" in block
    assert "(no label 51, cDC 15, Mono 14, ProMono 13, GMP 12, 2 other labels 21)" in block
    assert "kang: no cell was dropped." in block
    rows = {row.split("- ")[1].strip(): row for row in block.split("   * - ")[2:]}
    assert {name: ("- 7\n" in row, "partial library**" in row) for name, row in rows.items()} == {
        "vangalen": (False, False), "kang": (True, True),
    }  # fmt: skip


def test_healthy_donors_have_a_table_of_their_own(tmp_path):
    page = html(make_landing(tmp_path))
    row = world()["summary"].query(
        "campaign == 'lodo' and subset == 'healthy' and method == 'pca10' and endpoint == 'stage_macro_f1'"
    ).iloc[0]  # fmt: skip
    assert "Healthy donors alone: 4 donors, descriptive; none of them gave cells to the corpus" in page
    assert f"{row['mean']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" in page
    assert "Healthy donors alone" not in make_landing(tmp_path, n_donors=1)


def test_healthy_donors_of_the_corpus_are_no_check():
    drawn = world()["splits"].assign(pretraining_overlap=True)
    lines = _healthy(world()["summary"].query("campaign == 'lodo'"), drawn, ["healthy"])
    assert "4 of them also gave cells to the corpus" in lines[0]
    assert _healthy(world()["summary"].query("subset == 'all'"), drawn, ["healthy"]) == []


def test_caveats_appear_where_they_apply(tmp_path):
    plain, other = make_landing(tmp_path), make_landing(tmp_path, checkpoint="some/folder", design="frozen")
    for words in ("shares a stage with the truth", "what else the checkpoint saw is unknown"):
        assert words in other
        assert words not in plain
    assert "resamples donors and draws of the control" in plain
    assert "that takes many more draws" in html(plain)


def test_page_renders_and_names_come_out_as_they_went_in(tmp_path):
    page = html(make_landing(tmp_path))
    assert page.count("we{{ird}}_ `name`* {% if %} |x| :: &lt;a&gt;_") == 2
    assert "Run demo_run" in page
    assert "<strong>simulated</strong>" in page
    assert "123,456 parameters" in page


def test_page_gives_the_means_of_the_summary(tmp_path):
    page = html(make_landing(tmp_path))
    row = (
        world()["summary"]
        .query("campaign == 'lodo' and subset == 'all' and method == 'pca10' and endpoint == 'stage_macro_f1'")
        .iloc[0]
    )
    assert f"{row['mean']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" in page
    assert "no value" in page  # the failed method keeps its row
    assert page.count("LEAKING by design") == 1


def test_one_donor_page_renders(tmp_path):
    assert "carries a verdict; all are descriptive" in html(make_landing(tmp_path, n_donors=1))


def pair(low: float, high: float, q: float = np.nan, family: str = "descriptive") -> pd.DataFrame:
    row = ("r", "p", "c", family, "stage_macro_f1", "extracted_head", "gaussian_head", "donor", 14,
           (low + high) / 2, low, high, 3.0, 0.2, q, 0.0001)  # fmt: skip
    return pd.DataFrame([row], columns=contracts.COMPARISONS.names)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pair(0.01, 0.05), "**interval above 0**"), (pair(-0.05, -0.01), "**interval below 0**"),
        (pair(-0.01, 0.05), "interval includes 0"), (pair(0.0, 0.05), "interval includes 0"),
        (pair(-0.01, 0.05, q=0.001, family="verdict"), "interval includes 0"), (pair(np.nan, np.nan), "no interval"),
    ],
)  # fmt: skip
def test_sentences_about_the_control_speak_from_the_interval(table, said):
    (sentence,) = control_sentences(table, "c", 0.95)
    assert said in sentence
    assert "14 donors" in sentence
    assert "q =" not in sentence
    assert not any(word in sentence.lower() for word in ("no difference", "equal", "same as", "no effect"))


@pytest.mark.parametrize(
    "name", ["- a", "1. b", "#. c", ".. d", "a::", "`x`_", "{{ y }}", "{% z %}", "{# w #}", "A. b", "x_", "*s*", "|t|"]
)
def test_escaped_names_stay_text(name):
    body = html(f"before\n\n{escape(name)}\n\nafter")
    plain = name.replace("'", "&#x27;")
    assert f"<p>{plain}</p>" in body


def caption(file: str, **wildcards: str) -> str:
    """The caption of one figure or table, as the report renders it; it answers every question."""
    page = html((REPORT / file).read_text(), snakemake=SimpleNamespace(wildcards=SimpleNamespace(**wildcards)))
    parts = [page.count(f"<strong>{part}.</strong>") for part in ("Question", "Data", "Test", "n", "How to read")]
    assert parts == [1] * 5, wildcards
    return page


def chain_tables() -> list[str]:
    """Tables of the discovery chain, as its rules name them."""
    code = (REPORT.parent / "rules" / "discovery_helpers.smk").read_text()
    (node,) = [node for node in ast.parse(code).body if isinstance(node, ast.Assign)
               and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EVERY_TABLE"]  # fmt: skip
    assert isinstance(node.value, ast.Dict)
    return [key.value for key in node.value.keys]


def test_captions_render_for_every_table_of_the_chain():
    names = chain_tables()
    pages = {name: caption("table_discovery.rst", name=name) for name in names}
    assert {"parts", "gates", "compaction", "enrichment"} <= set(names)
    assert len(set(pages.values())) == len(names)
    said = re.findall(r'name == "(\w+)"', (REPORT / "table_discovery.rst").read_text())
    assert sorted(said) == sorted(names)
    assert all(hasattr(contracts, name.upper()) for name in names)


def test_captions_render_for_every_figure_and_table():
    pages = [caption("figure.rst", figure=figure, scope="scope_x") for figure in FIGURES]
    assert len(set(pages)) == len(FIGURES)
    assert all("scope_x" in page for page in pages)
    for path in sorted(set(REPORT.glob("table_*.rst")) - {REPORT / "table_discovery.rst"}):
        assert "<strong>How to read.</strong>" in html(path.read_text()), path
    expected = {
        f"table_{name}.rst"
        for name in ("scores", "summary", "comparisons", "costs", "splits", "leakage", "panels", "roles")
    }
    assert expected <= {path.name for path in REPORT.glob("table_*.rst")}

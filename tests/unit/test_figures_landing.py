"""The landing page and the captions survive the template engine and docutils, and say what the tables say."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from docutils.core import publish_string
from figure_tables import world, write_world
from jinja2 import Environment, StrictUndefined

from opbench.figures.draw import FIGURES
from opbench.figures.landing import control_sentences, escape, write_landing
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


def make_landing(tmp_path: Path, n_donors: int = 14) -> str:
    tables = world(n_donors)
    leakage = pd.DataFrame(
        [("demo", "marrow", "lodo", s, m, p, 13, 1, 900, 60, x, x, 0, 1, p == "leaking", v) for s in range(3)
         for m, p, x, v in (("pca10", "inductive", 0, "disjoint"), ("leaking_head", "leaking", 1, LEAKS))],
        columns=contracts.LEAKAGE.names)  # fmt: skip
    paths = write_world({**tables, "leakage": leakage}, tmp_path)
    model = {
        "name": NASTY, "digest": "0123456789abcdef0123", "published": False, "layers": 6, "heads": 4, "width": 32,
        "parameters": 123456, "learnt": True, "verdict": "nano_x is 12 % better than gene means.",
    }  # fmt: skip
    (tmp_path / "model.json").write_text(json.dumps(model))
    config = {
        "run": "demo_run", "statistics": {"level": 0.95},
        "datasets": {"vangalen": {"simulate": None, "source": NASTY}, "kang": {"simulate": {"donors": 8}}},
        "campaigns": {"lodo": {"panel": "marrow", "design": "leave_one_donor_out"}},
    }  # fmt: skip
    names = ("summary", "comparisons", "panels", "splits", "leakage")
    write_landing(config, tmp_path / "model.json", *(paths[name][0] for name in names), tmp_path / "landing.rst")
    return (tmp_path / "landing.rst").read_text()


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
    assert "carry a verdict" in html(make_landing(tmp_path, n_donors=1))


def pair(q: float, effect: float = 0.02, p_floor: float = 0.0001, family: str = "verdict") -> pd.DataFrame:
    row = (
        "r",
        "p",
        "c",
        family,
        "stage_macro_f1",
        "extracted_head",
        "gaussian_head",
        "donor",
        14,
        effect,
        -0.01,
        0.05,
        3.0,
        0.2,
        q,
        p_floor,
    )
    return pd.DataFrame([row], columns=contracts.COMPARISONS.names)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pair(0.01), "**above** the control"), (pair(0.01, -0.02), "**below** the control"),
        (pair(0.3), "undecided: these donors do not exclude"), (pair(0.3, p_floor=0.25), "cannot decide"),
        (pair(float("nan"), family="descriptive"), "descriptive only"),
    ],
)  # fmt: skip
def test_sentences_about_the_control(table, said):
    (sentence,) = control_sentences(table, "c", 0.95)
    assert said in sentence
    assert "14 donors" in sentence
    assert not any(word in sentence.lower() for word in ("no difference", "equal", "same as", "no effect"))


@pytest.mark.parametrize(
    "name", ["- a", "1. b", "#. c", ".. d", "a::", "`x`_", "{{ y }}", "{% z %}", "{# w #}", "A. b", "x_", "*s*", "|t|"]
)
def test_escaped_names_stay_text(name):
    body = html(f"before\n\n{escape(name)}\n\nafter")
    plain = name.replace("'", "&#x27;")
    assert f"<p>{plain}</p>" in body


def test_captions_render_for_every_figure_and_table():
    for figure in FIGURES:
        wildcards = SimpleNamespace(figure=figure, scope="scope_x")
        page = html((REPORT / "figure.rst").read_text(), snakemake=SimpleNamespace(wildcards=wildcards))
        assert all(f"<strong>{part}.</strong>" in page for part in ("Question", "Data", "Test", "n", "How to read")), (
            figure
        )
    for path in sorted(REPORT.glob("table_*.rst")):
        assert "<strong>How to read.</strong>" in html(path.read_text()), path
    expected = {
        f"table_{name}.rst" for name in ("scores", "summary", "comparisons", "costs", "splits", "leakage", "panels")
    }
    assert expected <= {path.name for path in REPORT.glob("table_*.rst")}

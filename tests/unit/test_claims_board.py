"""The board and the page show a claim's worst tested case, and nothing runs out of its place."""

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from claims_tables import MODEL, config, world
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from opbench.claims.evaluate import Run, evaluate_claims
from opbench.claims.page import MARKS, claims_page, number
from opbench.claims.published import VERDICTS as MEANINGS
from opbench.claims.read import read_claims
from opbench.claims.views import Tables
from opbench.figures import claims_board, style
from opbench.figures.claims_board import VERDICTS, WORST, compact, draw, halves, worst_cases
from opbench.io.tables import CLAIMS

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "claims.yaml"


@pytest.fixture(scope="module")
def claims() -> pd.DataFrame:
    return evaluate_claims(read_claims(SHIPPED), Run(config(), Tables(world()), MODEL, {}))


def board_of(claims: pd.DataFrame, scope: str = "r"):
    with rc_context(style.RC):
        return draw({"claims": claims}, scope)


def test_the_worst_tested_case_is_shown(claims):
    board = worst_cases(claims).set_index("claim")
    assert list(board.index) == list(range(1, 43))
    assert board.loc[27, ["analogue", "case", "tested", "cases"]].tolist() == [
        "contradicted", "cell head, fixed budget, branch_balanced_accuracy, arms", 6, 6,
    ]  # fmt: skip
    assert board.loc[18, ["analogue", "case", "tested", "cases"]].tolist() == ["fails", "extracted, p", 1, 2]
    assert board.loc[5, "analogue"] == "not_testable"
    verdicts = claims.assign(analogue="holds").head(4).assign(claim=1, case=list("abcd"))
    verdicts["analogue"] = ["model_specific", "not_testable", "readable", "holds"]
    assert worst_cases(verdicts)["case"].tolist() == ["c"]


def test_verdicts_are_told_apart_without_colour():
    assert set(VERDICTS) == set(WORST) == set(MEANINGS) == set(MARKS)
    shapes = [(marker, name == "not_testable") for name, (marker, _, _) in VERDICTS.items()]  # that one is hollow
    assert len(set(shapes)) == len(VERDICTS)
    assert len({mark for mark, _ in MARKS.values()}) == len(MARKS)


def test_the_board_has_every_claim_once_and_its_numbers(claims):
    figure, source = board_of(claims)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert [texts.count(str(number_)) for number_ in range(10, 33)] == [1] * 23
    assert len(source) == 32
    assert {"0.867", "0.690", "0.680 raw", "24,010", "0.004 floor"} <= set(texts)
    assert figure.texts[0].get_text().startswith("Run r: 17 of 32 published claims tested")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"contradicted ({(source['analogue'] == 'contradicted').sum()})" in legend
    assert sum(int(text.split("(")[1][:-1]) for text in legend) == 32


def test_nothing_runs_out_of_the_slide_or_into_its_neighbour(claims):
    figure, _ = board_of(claims, "a_run_with_a_very_long_name_indeed")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # a legend is laid out when it is drawn
    renderer = canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    assert figure.get_size_inches()[0] == pytest.approx(style.DOUBLE)
    assert 1.5 < width / height < 1.9
    for text in [*figure.texts, *(t for ax in figure.axes for t in ax.texts), *figure.legends[0].get_texts()]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, text.get_text()  # noqa: PT018
        assert text.get_fontsize() >= style.SMALL
    for ax in figure.axes:
        lines: dict[float, list] = {}
        for text in ax.texts:
            lines.setdefault(text.get_position()[1], []).append(text)
        for cells in lines.values():
            boxes = sorted((t.get_window_extent(renderer) for t in cells if t.get_text()), key=lambda box: box.x0)
            assert all(a.x1 <= b.x0 + 1 for a, b in pairwise(boxes)), [t.get_text() for t in cells]


def test_families_stay_whole_and_the_halves_are_even(claims):
    claims = claims[claims["family"] != "geometry"]  # the sister paper's have a board of their own
    parts = halves(worst_cases(claims))
    assert [name for part in parts for name, _ in part] == list(dict.fromkeys(claims["family"]))
    sizes = [sum(len(rows) + 1 for _, rows in part) for part in parts]
    assert abs(sizes[0] - sizes[1]) <= 2


def test_a_run_without_claims_says_so():
    figure, source = board_of(CLAIMS.empty_table().to_pandas())
    assert source.empty
    assert "no claims" in figure.texts[0].get_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8671, "0.867"), (-0.0471, "−0.047"), (34.5, "34.5"), (172610, "172,610"), (3e-7, "3e−7"), (0, "0"),
     (-1e-17, "0"), (float("nan"), "–")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert compact(value) == text


def test_long_reports_lose_their_brackets_first():
    shortened = claims_board.shortened
    found = [shortened(text, 8) for text in ("fails", "tie (p 0.156)", "left out of it", "49–80 %")]
    assert found == ["fails", "tie", "left ou…", "49–80 %"]


def test_every_letter_of_a_control_and_a_report_has_room():
    assert max(len(name) for name in claims_board.CONTROLS.values()) <= claims_board.LONGEST["control"]


def test_the_page_escapes_what_it_is_given(claims):
    evil = claims.head(2).assign(wording="<script>alert(1)</script>", analogue_reason='"><b>', where="a < 1 & b")
    page = claims_page(evil, "<run>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;run&gt;" in page
    assert number(-1234.4) == "−1,234"

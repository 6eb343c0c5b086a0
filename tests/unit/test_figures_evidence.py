"""Figures of the control arms, on a synthetic campaign whose outcome is known."""

import pytest
from evidence_tables import ENDPOINTS, battery
from matplotlib import rc_context

from opbench.figures import evidence_arms, evidence_nulls
from opbench.figures.style import RC


@pytest.fixture(scope="module")
def tables():
    return battery()


def test_every_draw_is_a_point_beside_the_real_line(tables):
    with rc_context(RC):
        figure, source = evidence_nulls.draw(tables, "evidence")
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
    assert all("n = 12 donors" in title for title in titles)
    assert len(titles) == len(ENDPOINTS)
    counted = source[source["endpoint"] == ENDPOINTS[0]].groupby("arm").size()
    assert counted.to_dict() == {"gaussian": 6, "real": 4, "shuffle": 6, "uniform": 4}
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["Gaussian on support", "Own values shuffled", "Uniform attention"]


def test_outcomes_are_drawn_by_shape_and_colour(tables):
    evidence = tables["evidence"]
    at_rule = evidence[(evidence["subset"] == "all") & (evidence["width"] == 10)]
    outcome = at_rule[at_rule["endpoint"] == ENDPOINTS[0]].set_index("control")["outcome"]
    assert outcome["gaussian"] == "beats"
    assert outcome["uniform"] == "loses"
    assert outcome["shuffle"] in ("equivalent", "not_separable")
    with rc_context(RC):
        figure, source = evidence_arms.draw(tables, "evidence")
    assert len(source) == len(evidence)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert sum("full width, no head" in title for title in titles) == len(ENDPOINTS)
    markers = {line.get_marker() for ax in figure.axes for line in ax.get_lines() if len(line.get_xdata()) == 1}
    assert {"o", "v"} <= markers


def test_an_arm_without_values_says_so(tables):
    some = tables["evidence"].assign(
        effect=lambda f: f["effect"].mask((f["control"] == "uniform") & (f["width"] == 10))
    )
    with rc_context(RC):
        figure, _ = evidence_arms.draw({"evidence": some}, "evidence")
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "not testable" in texts
    assert "not run" in texts

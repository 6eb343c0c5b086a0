"""What every figure must keep: texts inside the page and large enough, and nothing drawn that its axes cut off."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from opbench.figures import style


def words(figure: Figure) -> list[str]:
    """Texts of a figure that are shown."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


def undrawn(figure: Figure) -> set[Text]:
    """Labels of ticks beyond the ends of their axis, of axes without frame, and of hidden axes."""
    out = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            out |= {t.label1 for t in axis.get_major_ticks() if not low <= t.get_loc() <= high or not ax.axison}
            out |= {t.label1 for t in axis.get_minor_ticks()}
        out |= set() if ax.get_visible() else set(ax.findobj(Text))
    return out


def assert_fits(figure: Figure) -> None:
    """Texts lie inside the page and are large enough, and the page is no larger than a journal's."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, renderer = figure.bbox, canvas.get_renderer()
    for text in set(figure.findobj(Text)) - undrawn(figure):
        if not text.get_text().strip() or not text.get_visible():
            continue
        extent = text.get_window_extent(renderer)
        assert -1 <= extent.x0 <= extent.x1 <= box.x1 + 1, text.get_text()
        assert -1 <= extent.y0 <= extent.y1 <= box.y1 + 1, text.get_text()
        assert text.get_fontsize() >= style.SMALL, text.get_text()
    width, height = figure.get_size_inches()
    assert width <= style.DOUBLE + 1e-9
    assert height <= 247 * style.MM


def assert_curves_are_whole(figure: Figure) -> None:
    """No point of a curve is cut off above or below."""
    for ax in (ax for ax in figure.axes if ax.get_visible()):
        low, high = sorted(ax.get_ylim())
        slack = 1e-6 * (high - low)
        for line in ax.get_lines():
            if line.get_transform().contains_branch(ax.transData) and len(line.get_xdata()) > 2:
                y = np.asarray(line.get_ydata(), float)
                y = y[np.isfinite(y)]
                assert ((y >= low - slack) & (y <= high + slack)).all(), (ax.get_title(), y.min(), y.max(), low, high)

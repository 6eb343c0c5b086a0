"""Drawing parts that several figures share: grids of endpoint panels, donor dots, rows without a value."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from opbench.figures.style import DOUBLE, INK, MM, SINGLE, method_colour

ROW = 3.6  # mm per method row


def note_figure(text: str) -> Figure:
    """A figure that says why it is empty, since a missing file would say nothing."""
    figure = Figure(figsize=(SINGLE, 20 * MM))
    figure.text(0.5, 0.5, textwrap.fill(text, 60), ha="center", va="center")
    return figure


def endpoint_grid(
    n: int, rows: int, foot: float, columns: int = 4, title_lines: int = 3, row: float = ROW
) -> tuple[Figure, list[Axes]]:
    """A double-column figure of `n` panels with `rows` method rows each and `foot` mm of legend below."""
    columns = min(columns, max(n, 1))
    lines = -(-n // columns)
    panel = rows * row + 7 + 3.1 * title_lines
    width = DOUBLE if columns > 2 else DOUBLE * (0.55 if columns == 1 else 0.75)
    figure = Figure(figsize=(width, (lines * panel + foot) * MM), layout="constrained")
    height = lines * panel + foot
    figure.get_layout_engine().set(rect=(0, foot / height, 1, 1 - foot / height), w_pad=0.03, h_pad=0.02)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for ax in grid[n:]:
        ax.set_visible(False)
    return figure, list(grid[:n])


def method_axis(ax: Axes, names: Sequence[str], bold: Sequence[bool], labelled: bool) -> None:
    """Methods on y from the top down; the extracted head in bold. Pale bands guide the eye along a row."""
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), labels=list(names))
    ax.tick_params(axis="y", length=0, labelleft=labelled)
    for y in range(0, len(names), 2):
        ax.axhspan(y - 0.5, y + 0.5, color="#F5F5F5", lw=0, zorder=0)
    for tick, heavy in zip(ax.yaxis.get_major_ticks(len(names)), bold, strict=True):
        tick.label1.set_fontweight("bold" if heavy else "normal")
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def spread(donors: Sequence[str], height: float = 0.46) -> dict[str, float]:
    """A fixed small offset per donor, the same in every row, so that equal values stay apart."""
    offsets = np.linspace(-height / 2, height / 2, len(donors)) if len(donors) > 1 else [0.0]
    return dict(zip(donors, offsets, strict=True))


def donor_dots(
    ax: Axes, x: pd.Series, y: np.ndarray, method: str, hollow: bool, filled: np.ndarray | None = None
) -> None:
    """One dot per donor in the method's colour; hollow for leaking methods or where `filled` is False."""
    colour = method_colour(method)
    face = [colour if full and not hollow else "white" for full in (filled if filled is not None else [True] * len(x))]
    ax.scatter(x, y, s=9, facecolors=face, edgecolors=colour, linewidths=0.6, alpha=0.9, zorder=3)


def mean_bar(ax: Axes, mean: float, low: float, high: float, y: float) -> None:
    """Donor mean as a black diamond with its bootstrap interval; nothing for one donor, which is its own mean."""
    if low != low or high != high:
        return
    ax.plot([low, high], [y, y], color="white", lw=2.6, zorder=4, solid_capstyle="butt")
    ax.plot([low, high], [y, y], color=INK, lw=1.2, zorder=5, solid_capstyle="butt")
    ax.plot([mean], [y], marker="D", ms=3.8, color=INK, mec="white", mew=0.6, zorder=6, linestyle="")


def no_value(ax: Axes, y: float, text: str) -> None:
    """Say in the row itself why a method has no value here."""
    ax.text(0.5, y, text, transform=ax.get_yaxis_transform(), ha="center", va="center", style="italic", color="#666666",
            bbox={"facecolor": "#FAFAFA", "lw": 0, "pad": 0.6}, zorder=7)  # fmt: skip


def key(marker: str, label: str, fill: bool = True, colour: str = INK, size: float = 4) -> Line2D:
    """A legend entry of one marker."""
    face = colour if fill else "white"
    return Line2D([], [], linestyle="", marker=marker, color=colour, mfc=face, mec=colour, ms=size, label=label)


def bottom_legend(figure: Figure, handles: list, columns: int, bottom: float = 0.0) -> None:
    """A legend in the strip that `endpoint_grid` leaves free, from `bottom` (share of the height) upwards."""
    figure.legend(handles=handles, loc="lower center", ncols=columns, bbox_to_anchor=(0.5, bottom), handlelength=1.4)

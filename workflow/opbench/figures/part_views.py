"""Anchors of every part in the first three axes of a head's latent, coloured by branch, depth and donor."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.arms import arm_name, arms_in, is_random
from opbench.figures.chain import head_name, missing, part_name, part_order, preferred_head
from opbench.figures.style import DOUBLE, INK, MM, OKABE_ITO, branch_colours

SIDE, HEAD, FOOT, LEFT, KEY, GAP = 34.0, 13.0, 10.0, 9.0, 41.0, 5.0  # mm
#: Direction from which all panels are seen, in degrees.
ELEVATION, AZIMUTH = 22.0, -58.0
#: Shape says the donor where colours repeat.
STRONG = ("blue", "vermillion", "green", "purple", "black", "orange", "sky")
MARKERS = ("o", "^", "s", "D", "v")


def _blocks(views: pd.DataFrame) -> list[str]:
    """The real operator, then the first Gaussian arm where there is one, else the first control."""
    return arms_in(views)[:2]


def _looks(donors: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Colour and marker of each anchor's donor: a palette of seven, then the same with the next marker."""
    order = {name: i for i, name in enumerate(sorted(donors.unique()))}
    index = donors.map(order).to_numpy()
    colours = to_rgba_array([OKABE_ITO[name] for name in STRONG])
    return colours[index % len(STRONG)], np.array(MARKERS)[index // len(STRONG) % len(MARKERS)]


def _axes(figure: Figure, box: tuple[float, float, float, float], limits: np.ndarray) -> Axes:
    """An empty box of three axes with the same limits for every part of an arm."""
    ax = figure.add_axes(box, projection="3d")
    ax.patch.set_alpha(0)
    ax.view_init(ELEVATION, AZIMUTH)
    ax.set_box_aspect(None, zoom=1.1)
    for axis, (low, high) in zip((ax.xaxis, ax.yaxis, ax.zaxis), limits, strict=True):
        axis.set_pane_color((0.965, 0.965, 0.965, 1.0))
        axis.line.set(color="#909090", linewidth=0.5)
        axis.set_ticks([])
        axis.set_label_text(f"{'xyz'.index(axis.axis_name) + 1}")
        axis.labelpad = -15
        axis._axinfo["grid"]["linewidth"] = 0
        (ax.set_xlim, ax.set_ylim, ax.set_zlim)["xyz".index(axis.axis_name)](low, high)
    return ax


def _scatter(ax: Axes, anchors: pd.DataFrame, colours: np.ndarray, markers: np.ndarray) -> None:
    """Anchors as dots whose area grows slowly with their cells."""
    size = 5 + 3 * np.log2(np.maximum(anchors["n_cells"].to_numpy(), 1) / 5 + 1)
    for marker in sorted(set(markers)):
        mask = markers == marker
        place = [anchors[name].to_numpy()[mask] for name in "xyz"]
        ax.scatter(*place, s=size[mask], c=colours[mask], marker=marker, edgecolors=INK, linewidths=0.2, alpha=0.95,
                   depthshade=False)  # fmt: skip


def _limits(anchors: pd.DataFrame) -> np.ndarray:
    """Limits (3, 2) that hold all parts of an arm, with one scale for the three axes."""
    low, high = anchors[["x", "y", "z"]].min().to_numpy(), anchors[["x", "y", "z"]].max().to_numpy()
    half = max(float((high - low).max()) / 2, 1e-9)
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], axis=1)


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Latent of panel `scope` (PART_VIEWS): rows by colouring, columns by part, a block per arm."""
    views = tables["part_views"]
    views = views[(views["panel"] == scope) & views[["x", "y", "z"]].notna().all(axis=1)]
    if views.empty:
        return canvas.note_figure(missing("Latent views", scope, views.assign(status="ok", reason=""))), views
    head = preferred_head(list(views["head"]))
    views = views[views["head"] == head]
    blocks, parts = _blocks(views), part_order(list(views["part"]))
    views = views[views["arm"].isin(blocks)].reset_index(drop=True)
    # Beside each other where they fit into the width, else below each other.
    beside = len(blocks) * len(parts) <= 4
    across, down = (len(blocks), 1) if beside else (1, len(blocks))
    gap = GAP if beside else 0
    side = min(SIDE, (DOUBLE / MM - LEFT - KEY - gap * across) / (len(parts) * across))
    block = side * len(parts) + gap
    width = LEFT + block * across + KEY
    height = (HEAD + 3 * side) * down + FOOT
    figure = Figure(figsize=(width * MM, height * MM))
    paint = _Paint(views)
    for number, arm in enumerate(blocks):
        left = LEFT + (block * number if beside else 0)
        top = 0 if beside else (HEAD + 3 * side) * number
        _block(figure, views[views["arm"] == arm], (left, top, side, width, height), parts, paint)
    _keys(figure, LEFT + block * across, (side, width, height), paint)
    text = (
        f"{head_name(head)} on panel {scope}; dot area: cells\n"
        "Axes 1 to 3: principal axes of the internal anchors' latent; one scale in each block"
    )
    figure.text(1 / width, 1.5 / height, text, va="bottom", linespacing=1.3)
    columns = ["panel", "head", "arm", "part", "anchor", "donor", "label", "branch", "depth", "n_cells", "x", "y", "z"]
    return figure, views[columns]


class _Paint:
    """Colours and markers of all anchors for the three colourings, and what their keys need."""

    def __init__(self, views: pd.DataFrame) -> None:
        self.views = views
        self.branch = branch_colours(list(views["branch"]))
        depth = views["depth"]
        self.norm = Normalize(depth.min(), depth.max()) if depth.notna().any() else Normalize(0, 1)
        shade = colormaps["cividis"](self.norm(depth.to_numpy()))
        shade[depth.isna()] = (0.75, 0.75, 0.75, 1)
        round_ = np.full(len(views), "o")
        donor = np.zeros((len(views), 4))
        marker = round_.copy()
        for part in views["part"].unique():
            mine = (views["part"] == part).to_numpy()
            donor[mine], marker[mine] = _looks(views["donor"][mine])
        self.rows = {
            "branch": (to_rgba_array([self.branch[name] for name in views["branch"]]), round_),
            "depth": (shade, round_),
            "donor": (donor, marker),
        }


def _block(figure: Figure, views: pd.DataFrame, place: tuple[float, ...], parts: list[str], paint: _Paint) -> None:
    """Panels of one arm; `place` is its left and top edge, the side of a panel and the size of the page, in mm."""
    left, top, side, width, height = place
    limits = _limits(views)
    arm = views["arm"].iloc[0]
    title = arm_name(arm) + ("" if arm == "real" else ", one draw" if is_random(arm) else ", one seed")
    bold = "bold" if arm == "real" else "normal"
    figure.text(left / width, 1 - (top + 3.5) / height, title, va="center", fontweight=bold)
    for column, part in enumerate(parts):
        mine = (views["part"] == part).to_numpy()
        for line, (name, (colours, markers)) in enumerate(paint.rows.items()):
            low = top + HEAD + side * (line + 1)
            box = ((left + side * column) / width, 1 - (low - 1) / height, (side - 2) / width, (side - 2) / height)
            index = views.index.to_numpy()[mine]
            if not len(index):
                figure.text(box[0] + box[2] / 2, box[1] + box[3] / 2, "no anchor", ha="center", style="italic")
                continue
            ax = _axes(figure, box, limits)
            _scatter(ax, views[mine], colours[index], markers[index])
            if line == 0:
                n, donors = len(index), views["donor"][mine].nunique()
                text = f"{part_name(part)}\n{n} anchors, {donors} donor{'s' * (donors != 1)}"
                figure.text(box[0], 1 - (top + 10.5) / height, text, va="center", linespacing=1.3)
            if column == 0 and left == LEFT:
                middle = 1 - (low - side / 2) / height
                figure.text((left - 1) / width, middle, f"by {name}", rotation=90, ha="right", va="center")


def _keys(figure: Figure, left: float, page: tuple[float, ...], paint: _Paint) -> None:
    """Keys of the three colourings, beside the rows of the first block."""
    side, width, height = page
    x = (left + 4) / width
    tops = [1 - (HEAD + side * line) / height for line in range(3)]
    handles = [canvas.key("o", name.replace("_", "/"), colour=colour) for name, colour in paint.branch.items()]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(x, tops[0]), borderaxespad=0, labelspacing=0.3)
    bar = figure.add_axes((x + 2 / width, tops[1] - (side - 1) / height, 2.5 / width, (side - 13) / height))
    figure.colorbar(ScalarMappable(paint.norm, colormaps["cividis"]), cax=bar)
    bar.set_title("mean depth\n(graph steps)", pad=4)
    most = paint.views.groupby("part")["donor"].nunique().max()
    lines = ["one colour for each donor", "of a part"]
    lines += ["(and one shape for each", f"{len(STRONG)} of them)"] if most > len(STRONG) else []
    figure.text(x, tops[2] - (side / 2 - 8) / height, "\n".join(lines), va="top", linespacing=1.4)

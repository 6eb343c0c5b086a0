"""First two principal axes of the methods' latents, coloured by branch, depth and donor."""

import colorsys

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure

from opbench.figures import canvas
from opbench.figures.style import INK, MM, OKABE_ITO, REAL, Label, branch_colours, method_name, method_order
from opbench.io.seeds import keyed_rng

MOST = 4
SIDE, HEAD, FOOT, LEFT, KEY = 35.0, 15.0, 6.0, 7.0, 36.0  # mm
TRAIN, TEST, CROWD = 1.6, 7.0, 400  # areas of the dots, square points; tested cells that still fit at full size
MOST_TESTED = 3000


def _chosen(names: list[str]) -> list[str]:
    """At most four methods: one of each kind first, then further budgets."""
    order = method_order(names)
    seen = [Label.parse(name).name for name in order]
    first = [name for index, name in enumerate(order) if seen[index] not in seen[:index]]
    return method_order((first + [name for name in order if name not in first])[:MOST])


def _tint(index: int, n: int) -> tuple[float, float, float]:
    """A pale colour for one training donor among `n`."""
    return colorsys.hls_to_rgb(index / max(n, 1), 0.76, 0.5)


def _shuffled(latent: pd.DataFrame) -> pd.DataFrame:
    """Cells in a fixed random order, the same for all methods, so that no donor or branch is always on top.

    At most `MOST_TESTED` tested cells are kept: more would hide each other.
    """
    ids = np.sort(latent["cell_id"].unique())
    rank = pd.Series(keyed_rng("latent view").permutation(len(ids)), index=ids)
    latent = latent.assign(rank=latent["cell_id"].map(rank)).sort_values(["method", "role", "rank"])
    place = latent.groupby(["method", "role"]).cumcount()
    kept = latent[(latent["role"] != "test") | (place < MOST_TESTED)]
    return kept.drop(columns="rank").reset_index(drop=True)


def _donor_colours(latent: pd.DataFrame) -> dict[str, object]:
    """Strong colours for tested donors, pale tints for the others."""
    tested = sorted(latent.loc[latent["role"] == "test", "donor"].unique())
    others = sorted(set(latent["donor"]) - set(tested))
    strong = [OKABE_ITO[n] for n in ("blue", "vermillion", "green", "purple", "black", "orange", "sky")] + ["#B8A900"]
    colours: dict[str, object] = {donor: _tint(i, len(others)) for i, donor in enumerate(others)}
    return colours | {donor: strong[i % len(strong)] for i, donor in enumerate(tested)}


def _scatter(ax: Axes, cells: pd.DataFrame, colours: np.ndarray) -> None:
    """Training cells small and pale below, tested cells larger with an edge above."""
    test = (cells["role"] == "test").to_numpy()
    size = max(1.6, TEST * min(1.0, CROWD / max(test.sum(), 1)))
    for mask, area, alpha, edge in ((~test, TRAIN, 0.45, "none"), (test, size, 0.95, INK)):
        ax.scatter(cells["x"][mask], cells["y"][mask], s=area, c=colours[mask], alpha=alpha, edgecolors=edge,
                   linewidths=0.25 if size > 4 else 0.05, rasterized=True)  # fmt: skip
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.4, color="#B0B0B0")
    ax.set_box_aspect(1)
    ax.set_aspect("equal", adjustable="datalim")


def draw(tables: dict[str, pd.DataFrame], scope: str) -> tuple[Figure, pd.DataFrame]:
    """Latents of up to four methods on the first split of campaign `scope` (LATENT)."""
    latent = tables["latent"]
    latent = latent[latent["campaign"] == scope]
    if latent.empty:
        return canvas.note_figure(f"No method of campaign {scope} has a latent of few dimensions."), latent
    latent = latent[latent["split"] == latent["split"].min()]
    methods = _chosen(list(latent["method"]))
    latent = latent[latent["method"].isin(methods)]
    n_tested = latent.loc[latent["role"] == "test", "cell_id"].nunique()
    latent = _shuffled(latent)
    branch, donor = branch_colours(list(latent["branch"])), _donor_colours(latent)
    norm = Normalize(latent["depth"].min(), latent["depth"].max())
    depth = colormaps["cividis"](norm(latent["depth"].to_numpy()))
    depth[latent["depth"].isna()] = (0.75, 0.75, 0.75, 1)
    paint = {
        "branch": to_rgba_array([branch[name] for name in latent["branch"]]),
        "depth": depth,
        "donor": to_rgba_array([donor[name] for name in latent["donor"]]),
    }
    width, height = LEFT + SIDE * len(methods) + KEY, HEAD + 3 * SIDE + FOOT
    figure = Figure(figsize=(width * MM, height * MM))
    for column, method in enumerate(methods):
        mine = (latent["method"] == method).to_numpy()
        for line, (name, colours) in enumerate(paint.items()):
            box = (
                (LEFT + SIDE * column) / width,
                1 - (HEAD + SIDE * (line + 1) - 1) / height,
                (SIDE - 2) / width,
                (SIDE - 2) / height,
            )
            ax = figure.add_axes(box)
            _scatter(ax, latent[mine], colours[mine])
            if line == 0:
                heavy = "bold" if Label.parse(method).name == REAL else "normal"
                ax.set_title(method_name(method).replace(" [", "\n["), fontweight=heavy)
            if column == 0:
                ax.set_ylabel(f"{name}\naxis 2", labelpad=2)
            if line == 2:
                ax.set_xlabel("axis 1", labelpad=2)
    counts = latent[latent["method"] == methods[0]]["role"].value_counts()
    tested = sorted(latent.loc[latent["role"] == "test", "donor"].unique())
    some = f"{counts.get('test', 0):,} of " if counts.get("test", 0) < n_tested else ""
    title = (
        f"{scope}, split {latent['split'].iloc[0]}: {some}{n_tested:,} cells of {len(tested)} tested "
        f"donor{'s' * (len(tested) != 1)}, {counts.get('train', 0):,} training cells"
    )
    figure.text(1 / width, 1 - 3.5 / height, title, va="center")
    _keys(figure, width, height, SIDE * len(methods) + LEFT, branch, norm, donor, tested, latent)
    columns = ["method", "split", "cell_id", "role", "donor", "label", "branch", "depth", "x", "y"]
    return figure, latent[columns]


def _keys(
    figure: Figure, width: float, height: float, left: float, branch: dict[str, str], norm: Normalize,
    donor: dict[str, object], tested: list[str], latent: pd.DataFrame,
) -> None:  # fmt: skip
    """Keys of the three rows, beside them."""
    x = (left + 1) / width
    tops = [1 - (HEAD + SIDE * line) / height for line in range(3)]
    handles = [canvas.key("o", name.replace("_", "/"), colour=colour) for name, colour in branch.items()]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(x, tops[0]), borderaxespad=0, labelspacing=0.3)
    bar = figure.add_axes((x + 2 / width, tops[1] - 33 / height, 2.5 / width, 24 / height))
    figure.colorbar(ScalarMappable(norm, colormaps["cividis"]), cax=bar)
    bar.set_title("mean depth\n(graph steps)", pad=4)
    others = len(set(latent["donor"]) - set(tested))
    shown = [canvas.key("o", name, colour=donor[name]) for name in tested[:8]]
    place = {"loc": "upper left", "borderaxespad": 0, "labelspacing": 0.3}
    columns = 2 if len(shown) > 4 else 1
    figure.legend(handles=shown, bbox_to_anchor=(x, tops[2]), ncols=columns, **place)
    lines = [f"and {len(tested) - 8} more tested"] if len(tested) > 8 else []
    lines += [f"pale: {others} training donor{'s' * (others != 1)},", "one tint each"] if others else []
    figure.text(
        x + 2 / width,
        tops[2] - (3.7 * -(-len(shown) // columns) + 3) / height,
        "\n".join(lines),
        va="top",
        linespacing=1.4,
    )
    sizes = [
        canvas.key("o", "tested cell", colour="#888888", size=3),
        canvas.key("o", "training cell", colour="#BBBBBB", size=1.6),
    ]
    figure.legend(handles=sizes, loc="upper right", bbox_to_anchor=(0.99, 1 - 2 / height), ncols=2, borderaxespad=0)
